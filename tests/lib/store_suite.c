/* What every adapter of the store port promises: the names of objects, lists, conditions. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <azlon/limits.h>
#include "store_suite.h"

enum az_code
store_put(struct store_fix *f, const char *key, const char *body)
{
	struct az_err err;

	return az_store_put(f->s, &f->b, az_str_c(key), az_str_c(body), &err);
}

const char *
store_get(struct store_fix *f, const char *key)
{
	struct az_buf b;
	struct az_err err;
	const char *out = NULL;

	az_buf_init(&b, 1 << 20);
	if (az_store_get(f->s, &f->b, az_str_c(key), &b, &err) == AZ_OK)
		out = az_arena_cstr(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return out;
}

/* All keys of a listing in one text, a page of limit at a time. */
const char *
store_keys(struct store_fix *f, const char *prefix, bool one_level, int limit)
{
	struct az_store_list q = {
	    .prefix = az_str_c(prefix), .limit = limit, .one_level = one_level};
	struct az_buf b;
	const char *out;
	int pages = 0;

	az_buf_init(&b, 1 << 20);
	do {
		struct az_store_page p;
		struct az_err err;

		assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
		assert_true(p.n <= (size_t)limit);
		for (size_t i = 0; i < p.n; i++) {
			assert_int_equal(
			    p.objs[i].dir, p.objs[i].key.p[p.objs[i].key.n - 1] == '/');
			az_buf_adds(&b, p.objs[i].key);
			az_buf_addch(&b, ' ');
		}
		q.after = p.next;
		assert_true(++pages < 1000);
	} while (q.after.n);
	out = az_arena_cstr(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return out ? out : "";
}

void
store_test_body_comes_back(void **state)
{
	struct store_fix *f = *state;
	char body[] = "a\0b\xff\n";
	struct az_buf b;
	struct az_err err;
	struct az_obj o;

	assert_int_equal(
	    az_store_put(f->s, &f->b, AZ_S("w/x y+%é.bin"), az_str_n(body, sizeof body), &err),
	    AZ_OK);
	az_buf_init(&b, 100);
	assert_int_equal(az_store_get(f->s, &f->b, AZ_S("w/x y+%é.bin"), &b, &err), AZ_OK);
	assert_int_equal(b.n, sizeof body);
	assert_memory_equal(b.p, body, sizeof body);
	az_buf_release(&b);
	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("w/x y+%é.bin"), &o, &err), AZ_OK);
	assert_int_equal(o.bytes, sizeof body);
	assert_true(o.modified_ms > INT64_C(1600000000000));
}

void
store_test_replace_and_empty(void **state)
{
	struct store_fix *f = *state;

	assert_int_equal(store_put(f, "k", "one"), AZ_OK);
	assert_int_equal(store_put(f, "k", "two"), AZ_OK);
	assert_string_equal(store_get(f, "k"), "two");
	assert_int_equal(store_put(f, "k", ""), AZ_OK);
	assert_string_equal(store_get(f, "k"), "");
}

void
store_test_missing(void **state)
{
	struct store_fix *f = *state;
	struct az_obj o;
	struct az_err err;
	struct az_get *g;

	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("no"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(
	    az_store_get_open(f->s, &f->b, AZ_S("no/such"), 0, NULL, &g, &err), AZ_ENOTFOUND);
	assert_null(g);
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("no/such"), &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "");
	assert_int_equal(store_put(f, "a/b", "x"), AZ_OK);
	/* a prefix is no object, an object no prefix */
	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("a"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("a/b/c"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("a"), &err), AZ_OK);
	assert_string_equal(store_get(f, "a/b"), "x");
}

void
store_test_offsets(void **state)
{
	struct store_fix *f = *state;
	struct az_get *g;
	struct az_err err;
	char p[16];
	size_t got;

	assert_int_equal(store_put(f, "k", "0123456789"), AZ_OK);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 7, NULL, &g, &err), AZ_OK);
	assert_int_equal(az_store_get_read(g, p, sizeof p, &got, &err), AZ_OK);
	assert_int_equal(got, 3);
	assert_memory_equal(p, "789", 3);
	assert_int_equal(az_store_get_read(g, p, sizeof p, &got, &err), AZ_OK);
	assert_int_equal(got, 0);
	az_store_get_close(g);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 10, NULL, &g, &err), AZ_OK);
	az_store_get_close(g);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 11, NULL, &g, &err), AZ_ERANGE);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), -1, NULL, &g, &err), AZ_ERANGE);
}

void
store_test_nothing_visible_before_commit(void **state)
{
	struct store_fix *f = *state;
	struct az_put *p;
	struct az_err err;

	assert_int_equal(store_put(f, "k", "old"), AZ_OK);
	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("k"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, AZ_S("new"), &err), AZ_OK);
	assert_string_equal(store_get(f, "k"), "old");
	assert_string_equal(store_keys(f, "", false, 10), "k ");
	assert_int_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_string_equal(store_get(f, "k"), "new");

	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("gone"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, AZ_S("new"), &err), AZ_OK);
	az_store_put_abort(p);
	assert_null(store_get(f, "gone"));
	az_store_put_abort(NULL);
}

void
store_test_reader_keeps_its_version(void **state)
{
	struct store_fix *f = *state;
	struct az_get *g;
	struct az_err err;
	char p[16];
	size_t got;

	assert_int_equal(store_put(f, "k", "old"), AZ_OK);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 0, NULL, &g, &err), AZ_OK);
	assert_int_equal(store_put(f, "k", "newer"), AZ_OK);
	assert_int_equal(az_store_get_read(g, p, sizeof p, &got, &err), AZ_OK);
	assert_int_equal(got, 3);
	assert_memory_equal(p, "old", 3);
	az_store_get_close(g);
}

void
store_test_named_at_the_end(void **state)
{
	struct store_fix *f = *state;
	struct az_put *p;
	struct az_err err;

	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("w/tmp-1"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, AZ_S("body"), &err), AZ_OK);
	assert_int_equal(az_store_put_name(p, AZ_S("../x"), &err), AZ_EINVAL);
	assert_int_equal(az_store_put_name(p, AZ_S("w/final"), &err), AZ_OK);
	assert_int_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "w/final ");
}

void
store_test_file_or_directory(void **state)
{
	struct store_fix *f = *state;

	assert_int_equal(store_put(f, "a/b", "x"), AZ_OK);
	assert_int_equal(store_put(f, "a", "x"), AZ_ECONFLICT);
	assert_int_equal(store_put(f, "a/b/c", "x"), AZ_ECONFLICT);
	assert_int_equal(store_put(f, "a/b/c/d/e", "x"), AZ_ECONFLICT);
	assert_string_equal(store_keys(f, "", false, 10), "a/b ");
	assert_string_equal(store_get(f, "a/b"), "x");
}

void
store_test_bad_keys(void **state)
{
	struct store_fix *f = *state;
	static const char *const bad[] = {"", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b",
	    "a\\b", "a\nb", "a\x7f", "\xff", "c:/x", "a/.git/x"};
	char longer[1200];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(store_put(f, bad[i], "x"), AZ_EINVAL);
	memset(longer, 'a', sizeof longer);
	longer[256] = '\0';
	assert_int_equal(store_put(f, longer, "x"), AZ_EINVAL);
	assert_string_equal(store_keys(f, "", false, 10), "");
}

void
store_test_foreign_bucket_name(void **state)
{
	struct store_fix *f = *state;
	struct az_bucket bad = {"../../etc"};
	struct az_err err;

	assert_int_equal(az_store_put(f->s, &bad, AZ_S("k"), AZ_S("x"), &err), AZ_EINTERNAL);
}

void
store_test_list_is_bytewise_over_whole_keys(void **state)
{
	struct store_fix *f = *state;
	static const char *const in[] = {
	    "a/b", "a.b", "a0", "a-/x", "a/a/z", "a/a.txt", "b", "a/a0", "A"};
	const char *want = "A a-/x a.b a/a.txt a/a/z a/a0 a/b a0 b ";

	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		assert_int_equal(store_put(f, in[i], "x"), AZ_OK);
	for (int limit = 1; limit <= 12; limit++)
		assert_string_equal(store_keys(f, "", false, limit), want);
	assert_string_equal(store_keys(f, "a/", false, 3), "a/a.txt a/a/z a/a0 a/b ");
	assert_string_equal(store_keys(f, "a/a", false, 2), "a/a.txt a/a/z a/a0 ");
	assert_string_equal(store_keys(f, "a/a/", false, 2), "a/a/z ");
	assert_string_equal(store_keys(f, "a/b", false, 2), "a/b ");
	assert_string_equal(store_keys(f, "zz", false, 2), "");
}

void
store_test_list_one_level(void **state)
{
	struct store_fix *f = *state;
	static const char *const in[] = {"a/b", "a.b", "a/c/d", "a/c/e", "b", "c/x/y"};

	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		assert_int_equal(store_put(f, in[i], "x"), AZ_OK);
	for (int limit = 1; limit <= 5; limit++) {
		assert_string_equal(store_keys(f, "", true, limit), "a.b a/ b c/ ");
		assert_string_equal(store_keys(f, "a/", true, limit), "a/b a/c/ ");
		assert_string_equal(store_keys(f, "a", true, limit), "a.b a/ ");
	}
}

void
store_test_list_many_in_one_directory(void **state)
{
	struct store_fix *f = *state;
	struct az_buf want;
	char key[32];

	az_buf_init(&want, 1 << 16);
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof key, "d/%03d", (i * 7) % 300);
		assert_int_equal(store_put(f, key, "x"), AZ_OK);
	}
	for (int i = 0; i < 300; i++)
		az_buf_addf(&want, "d/%03d ", i);
	assert_string_equal(store_keys(f, "", false, 7), want.p);
	assert_string_equal(store_keys(f, "d/", true, 11), want.p);
	az_buf_release(&want);
}

void
store_test_list_after(void **state)
{
	struct store_fix *f = *state;
	struct az_store_list q = {.after = AZ_S("a/b"), .limit = 10};
	struct az_store_page p;
	struct az_err err;

	store_put(f, "a/a", "x");
	store_put(f, "a/b", "x");
	store_put(f, "a/c", "xy");
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 1);
	assert_true(az_str_eqc(p.objs[0].key, "a/c"));
	assert_int_equal(p.objs[0].bytes, 2);
	q.after = AZ_S("a/bz/../.."); /* any bytes, only compared */
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 1);
	/* a place before or behind all of the prefix */
	q = (struct az_store_list){.prefix = AZ_S("a/"), .after = AZ_S("Z"), .limit = 10};
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 3);
	q.after = AZ_S("b");
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 0);
	q.limit = 0;
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_EINVAL);
	q = (struct az_store_list){.prefix = AZ_S("../"), .limit = 1};
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_EINVAL);
}

void
store_test_remove(void **state)
{
	struct store_fix *f = *state;
	struct az_err err;

	store_put(f, "w/a/b/c", "x");
	store_put(f, "w/a/d", "x");
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("w/a/b/c"), &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "w/a/d ");
	/* the parent that became empty does not occupy its name */
	assert_int_equal(store_put(f, "w/a/b", "file now"), AZ_OK);
	assert_string_equal(store_keys(f, "", true, 10), "w/ ");
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("w/a/b"), &err), AZ_OK);
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("w/a/d"), &err), AZ_OK);
	assert_string_equal(store_keys(f, "", true, 10), "");
}

void
store_test_remove_many(void **state)
{
	struct store_fix *f = *state;
	static char names[1003][16];
	static struct az_str keys[1003];
	struct az_err err;

	/* more than an S3 takes at once; three of them exist, one with a name of its own kind */
	for (size_t i = 0; i < 1003; i++) {
		snprintf(names[i], sizeof names[i], i == 500 ? "w/\xc3\xa9 &+%%" : "w/%04zu", i);
		keys[i] = az_str_c(names[i]);
	}
	store_put(f, names[0], "x");
	store_put(f, names[500], "x");
	store_put(f, names[1002], "x");
	store_put(f, "w/other", "x");
	assert_int_equal(az_store_remove_many(f->s, &f->b, keys, 1003, &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "w/other ");
	assert_int_equal(az_store_remove_many(f->s, &f->b, keys, 0, &err), AZ_OK);
	keys[1] = AZ_S("../x");
	store_put(f, names[0], "x");
	assert_int_equal(az_store_remove_many(f->s, &f->b, keys, 2, &err), AZ_EINVAL);
	assert_string_equal(store_keys(f, "", false, 10), "w/0000 w/other ");
}

void
store_test_remove_prefix(void **state)
{
	struct store_fix *f = *state;
	struct az_err err;

	store_put(f, "user-1/a/b", "x");
	store_put(f, "user-1/c", "x");
	store_put(f, "user-12/c", "x");
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-1"), &err), AZ_EINVAL);
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-1/"), &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "user-12/c ");
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-1/"), &err), AZ_OK);
	/* an object of that name is not below the prefix */
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-12/c/"), &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "user-12/c ");
}

void
store_test_buckets_are_apart(void **state)
{
	struct store_fix *f = *state;
	struct az_bucket bob = az_bucket_of(AZ_S("bob"));
	struct az_obj o;
	struct az_err err;

	store_put(f, "k", "alice's");
	assert_int_equal(az_store_stat(f->s, &bob, AZ_S("k"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_put(f->s, &bob, AZ_S("k"), AZ_S("bob's"), &err), AZ_OK);
	assert_int_equal(az_store_remove_bucket(f->s, &bob, &err), AZ_OK);
	assert_int_equal(az_store_remove_bucket(f->s, &bob, &err), AZ_OK);
	assert_int_equal(az_store_stat(f->s, &bob, AZ_S("k"), &o, &err), AZ_ENOTFOUND);
	assert_string_equal(store_get(f, "k"), "alice's");
}

void
store_test_put_if(void **state)
{
	struct store_fix *f = *state;
	struct az_str none = {NULL, 0};
	struct az_err err;

	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v0"), AZ_S("v1"), &err), AZ_EPRECOND);
	assert_int_equal(az_store_put_if(f->s, &f->b, AZ_S("m"), none, AZ_S("v1"), &err), AZ_OK);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), none, AZ_S("v2"), &err), AZ_EPRECOND);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v0"), AZ_S("v2"), &err), AZ_EPRECOND);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v"), AZ_S("v2"), &err), AZ_EPRECOND);
	assert_string_equal(store_get(f, "m"), "v1");
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v1"), AZ_S(""), &err), AZ_OK);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S(""), AZ_S("v3"), &err), AZ_OK);
	assert_string_equal(store_get(f, "m"), "v3");
}

static void *
racer(void *arg)
{
	struct store_fix *f = arg;

	/* each adds one byte, starting over when another was faster */
	for (int done = 0; done < 20;) {
		struct az_buf now;
		char next[256];
		struct az_err err;
		bool there;
		enum az_code rc;

		az_buf_init(&now, 200);
		there = az_store_get(f->s, &f->b, AZ_S("m"), &now, &err) == AZ_OK;
		memset(next, 'x', sizeof next);
		rc = az_store_put_if(f->s, &f->b, AZ_S("m"),
		    there ? az_str_n(now.p ? now.p : "", now.n) : (struct az_str){NULL, 0},
		    az_str_n(next, now.n + 1), &err);
		if (rc == AZ_OK)
			done++;
		else if (rc != AZ_EPRECOND)
			return f;
		az_buf_release(&now);
	}
	return NULL;
}

void
store_test_put_if_loses_no_writer(void **state)
{
	struct store_fix *f = *state;
	pthread_t t[4];
	void *r;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, racer, f), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i], &r), 0);
		assert_null(r);
	}
	assert_int_equal(strlen(store_get(f, "m")), 80);
}
