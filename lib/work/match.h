/*
 * Matching a stranger's pattern. The C library's matcher may take all time and memory
 * for a short pattern, and cannot be stopped: it works in a process of its own, which
 * the kernel ends when its time is up.
 */
#ifndef AZ_WORK_MATCH_H
#define AZ_WORK_MATCH_H

#include <azlon/str.h>

enum match { MATCH_NO = 0, MATCH_YES, MATCH_BAD /* no valid expression */, MATCH_HARD };

/* POSIX extended; ^ and $ at every line. pattern is NUL-terminated. */
enum match match_lines(const char *pattern, struct az_str text);

#endif
