/* Between the fake_sandbox*.c files only; tests use fake_sandbox.h. */
#ifndef FAKE_SANDBOX_INT_H
#define FAKE_SANDBOX_INT_H

#include "fake_sandbox.h"

static inline struct fake_sandbox *
fake_self(struct az_sandbox *s)
{
	return (struct fake_sandbox *)(void *)s;
}

/* fake_sandbox.c: counts a call, and fails if it cannot be served. b: NULL, or it must be alive. */
enum az_code fake_usable(struct fake_sandbox *s, const struct az_box_ref *b, struct az_err *err);

/* fake_sandbox_files.c */
/* NULL when there is none. A path that is not absolute is one of the home's. */
struct fake_file *fake_find(struct fake_sandbox *s, const char *path);
/* Empty, changed now; made if it was not there. */
struct fake_file *fake_make(struct fake_sandbox *s, const char *path);
/* Is path dir, or something in it? */
bool fake_below(const char *path, const char *dir);

/* fake_sandbox_run.c: the port's run. */
enum az_code fake_run(struct az_sandbox *p, const struct az_box_ref *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err);

#endif
