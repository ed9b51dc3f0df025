/*
 * Two texts by lines: what makes the second out of the first, as hunks of a unified diff.
 * Pure; time and memory are bounded whatever the texts are.
 */
#ifndef AZLON_API_DIFF_H
#define AZLON_API_DIFF_H

#include <azlon/buf.h>

#define DIFF_LINES 50000   /* of one text */
#define DIFF_STEPS 5000000 /* lines compared, of one pair of texts */

/*
 * Append "@@ … @@" hunks with three lines of context; nothing where the texts are equal.
 * It is the shortest way from a to b unless that costs more than steps (DIFF_STEPS; tests
 * give less): then what is not decided yet is taken out and put in whole. AZ_ETOOBIG when one
 * has more than DIFF_LINES lines, and when out is full.
 */
AZ_MUST_CHECK enum az_code diff_hunks(
    struct az_str a, struct az_str b, int64_t steps, struct az_buf *out, struct az_err *err);
/* UTF-8 without a NUL: what can be shown by lines. */
bool diff_is_text(struct az_str s);

#endif
