/*
 * Out of memory, everywhere: a piece of work is done again and again, each time with
 * the next allocation failing, until one goes through untouched. Linked with --wrap, so
 * that it is our own calls that fail, not those inside other libraries.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <azlon/str.h>

/*
 * work() must come to AZ_OK when nothing fails; with a failure to AZ_ENOMEM, or to
 * AZ_OK when it can do without. It gives back all it took, whatever the end.
 */
void torture(const char *what, enum az_code (*work)(struct az_err *err));
/*
 * Called by work() with all it made, as text: half a result is no result, so this must
 * be the same each time.
 */
void torture_made(struct az_str text);
/* Allocations are not made to fail between these: for what only checks or sets up. */
void torture_pause(void);
void torture_resume(void);

#endif
