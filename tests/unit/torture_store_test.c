/*
 * Out of memory in the store in memory: an object is there whole or not at all, a list
 * is complete or refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include <azlon/store.h>
#include "torture.h"

/* Two of the keys share a directory, one body is replaced. */
static enum az_code
fill(struct az_store *s, const struct az_bucket *b, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	char key[64];

	for (int i = 0; !rc && i < 70; i++) {
		snprintf(key, sizeof key, "runs/%d/file%d", i % 5, i);
		rc = az_store_put(s, b, az_str_c(key), az_str_c(key), err);
	}
	if (!rc)
		rc = az_store_put(s, b, AZ_S("runs/0/file0"), AZ_S("another"), err);
	return rc;
}

/* Every object there is, bodies too, must be one that was put. */
static void
check(struct az_store *s, const struct az_bucket *b, struct az_buf *all)
{
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	struct az_store_list q = {.limit = 1000};
	struct az_store_page page = {NULL, 0, {NULL, 0}};
	struct az_buf body;

	assert_non_null(a);
	az_buf_init(&body, AZ_KIB(64));
	assert_int_equal(az_store_list(s, b, &q, a, &page, NULL), AZ_OK);
	for (size_t i = 0; i < page.n; i++) {
		struct az_str key = page.objs[i].key;

		az_buf_reset(&body);
		assert_int_equal(az_store_get(s, b, key, &body, NULL), AZ_OK);
		assert_int_equal(page.objs[i].bytes, body.n);
		assert_true(az_str_starts(key, AZ_S("runs/")));
		if (!az_str_eqc(az_buf_str(&body), "another") &&
		    !az_str_eqc(az_buf_str(&body), "made"))
			assert_true(az_str_eq(az_buf_str(&body), key));
		az_buf_addf(all, "%.*s=%s\n", AZ_FMT(key), body.p);
	}
	az_buf_release(&body);
	az_arena_free(a);
}

static enum az_code
stores(struct az_err *err)
{
	struct az_store *s = NULL;
	struct az_bucket b;
	struct az_buf all;
	enum az_code rc = az_store_mem_open(&s, err);

	if (rc)
		return rc;
	torture_pause();
	b = az_bucket_of(AZ_S("alice"));
	torture_resume();
	if (!(rc = fill(s, &b, err)))
		rc = az_store_put_if(
		    s, &b, AZ_S("runs/0/file0"), AZ_S("another"), AZ_S("made"), err);
	if (!rc)
		rc = az_store_put_if(
		    s, &b, AZ_S("runs/new"), (struct az_str){NULL, 0}, AZ_S("made"), err);
	if (!rc)
		rc = az_store_remove(s, &b, AZ_S("runs/1/file1"), err);
	if (!rc)
		rc = az_store_remove_prefix(s, &b, AZ_S("runs/2/"), err);
	torture_pause();
	az_buf_init(&all, AZ_MIB(1));
	check(s, &b, &all);
	if (!rc)
		torture_made(az_buf_str(&all));
	az_buf_release(&all);
	az_store_close(s);
	torture_resume();
	return rc;
}

static struct az_store *full;
static struct az_bucket theirs;

static enum az_code
lists(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	struct az_store_list q = {.prefix = AZ_S("runs/"), .limit = 7};
	struct az_buf b;
	enum az_code rc = AZ_OK;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	torture_pause();
	az_buf_init(&b, AZ_MIB(1));
	torture_resume();
	for (int level = 0; !rc && level < 2; level++) {
		q.one_level = level;
		q.after = AZ_S("");
		do {
			struct az_store_page page = {NULL, 0, {NULL, 0}};

			if ((rc = az_store_list(full, &theirs, &q, a, &page, err)))
				break;
			torture_pause();
			for (size_t i = 0; i < page.n; i++)
				az_buf_addf(&b, "%.*s\n", AZ_FMT(page.objs[i].key));
			torture_resume();
			q.after = page.next;
		} while (q.after.n);
	}
	if (!rc)
		torture_made(az_buf_str(&b));
	torture_pause();
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

static enum az_code
reads(struct az_err *err)
{
	struct az_obj o;
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(64));
	rc = az_store_stat(full, &theirs, AZ_S("runs/3/file3"), &o, err);
	if (!rc)
		rc = az_store_get(full, &theirs, AZ_S("runs/3/file3"), &b, err);
	if (!rc)
		torture_made(az_buf_str(&b));
	az_buf_release(&b);
	return rc;
}

static void
puts_are_whole(void **state)
{
	(void)state;
	torture("puts", stores);
}

static void
lists_and_reads_are_complete(void **state)
{
	(void)state;
	theirs = az_bucket_of(AZ_S("bob"));
	assert_int_equal(az_store_mem_open(&full, NULL), AZ_OK);
	assert_int_equal(fill(full, &theirs, NULL), AZ_OK);
	torture("lists", lists);
	torture("gets", reads);
	az_store_close(full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(puts_are_whole),
	    cmocka_unit_test(lists_and_reads_are_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
