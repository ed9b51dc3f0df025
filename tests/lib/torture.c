#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "torture.h"

enum { ALLOCATIONS_MAX = 20000 };

/* names of the linker's --wrap */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
/* NOLINTEND(bugprone-reserved-identifier) */

static long left; /* this many to go to the one that fails; 0: none will */
static long live; /* blocks taken and not given back */
static bool struck, paused;
static char *made; /* at the first time, or NULL */
static size_t made_n;

static bool
fails(void)
{
	if (paused || left == 0 || --left > 0)
		return false;
	struck = true;
	return true;
}

static void *
taken(void *p)
{
	live += p != NULL;
	return p;
}

void *
__wrap_malloc(size_t n)
{
	return fails() ? NULL : taken(__real_malloc(n));
}

void *
__wrap_calloc(size_t n, size_t each)
{
	return fails() ? NULL : taken(__real_calloc(n, each));
}

void *
__wrap_realloc(void *p, size_t n)
{
	if (!p)
		return __wrap_malloc(n);
	return fails() ? NULL : __real_realloc(p, n);
}

void
__wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

void
torture_pause(void)
{
	paused = true;
}

void
torture_resume(void)
{
	paused = false;
}

void
torture_made(struct az_str text)
{
	if (!made) {
		made = __real_malloc(text.n + 1);
		assert_non_null(made);
		if (text.n)
			memcpy(made, text.p, text.n);
		made_n = text.n;
	} else if (!az_str_eq(text, az_str_n(made, made_n))) {
		fail_msg(
		    "made\n%.*s\ninstead of\n%.*s", AZ_FMT(text), AZ_FMT(az_str_n(made, made_n)));
	}
}

void
torture(const char *what, enum az_code (*work)(struct az_err *err))
{
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	__real_free(made);
	made = NULL;
	/* once untouched: what a library sets up at its first use stays */
	if ((rc = work(&err)))
		fail_msg("%s: %s: %s", what, az_code_name(rc), err.text);
	for (long nth = 1;; nth++) {
		long before = live;

		assert_in_range(nth, 1, ALLOCATIONS_MAX);
		err = (struct az_err)AZ_ERR_INIT;
		struck = false;
		left = nth;
		rc = work(&err);
		left = 0;
		if (paused)
			fail_msg("%s, allocation %ld: it left the pause on", what, nth);
		if (rc && rc != AZ_ENOMEM)
			fail_msg(
			    "%s, allocation %ld: %s: %s", what, nth, az_code_name(rc), err.text);
		if (rc && !struck)
			fail_msg("%s, allocation %ld: failed by itself: %s", what, nth, err.text);
		if (rc && err.code != rc)
			fail_msg("%s, allocation %ld: no error was filled in", what, nth);
		if (live != before)
			fail_msg("%s, allocation %ld: %ld blocks were not given back", what, nth,
			    live - before);
		if (!struck) {
			print_message("# %s: %ld allocations\n", what, nth - 1);
			return;
		}
	}
}
