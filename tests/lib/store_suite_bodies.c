/* What every adapter of the store port promises: copies, odd names, long bodies. */
#include <stdio.h>
#include <string.h>
#include <azlon/limits.h>
#include "store_suite.h"

void
store_test_copy(void **state)
{
	struct store_fix *f = *state;
	struct az_err err;

	assert_int_equal(store_put(f, "a/from é+%", "one"), AZ_OK);
	assert_int_equal(store_put(f, "b", "old"), AZ_OK);
	assert_int_equal(az_store_copy(f->s, &f->b, AZ_S("a/from é+%"), AZ_S("b"), &err), AZ_OK);
	assert_int_equal(az_store_copy(f->s, &f->b, AZ_S("a/from é+%"), AZ_S("c/d"), &err), AZ_OK);
	assert_int_equal(store_put(f, "a/from é+%", "two"), AZ_OK);
	assert_string_equal(store_get(f, "b"), "one");
	assert_string_equal(store_get(f, "c/d"), "one");
	assert_int_equal(az_store_copy(f->s, &f->b, AZ_S("no"), AZ_S("e"), &err), AZ_ENOTFOUND);
	assert_string_equal(store_keys(f, "", false, 10), "a/from é+% b c/d ");
}

void
store_test_odd_names(void **state)
{
	struct store_fix *f = *state;
	static const char *const odd[] = {"a b", "a&b<c>\"d'", "q?x=1#y", "~*()!;:@,$=", "%2F", "+",
	    "ж/日本/é", "-", "_", "[x]{y}^`|"};

	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		char list[64];

		assert_int_equal(store_put(f, odd[i], odd[i]), AZ_OK);
		assert_string_equal(store_get(f, odd[i]), odd[i]);
		snprintf(list, sizeof list, "%s ", odd[i]);
		assert_string_equal(store_keys(f, odd[i], false, 2), list);
	}
}

void
store_test_longest_key(void **state)
{
	struct store_fix *f = *state;
	char key[1025], list[1027];

	memset(key, 'k', 1024);
	key[1024] = '\0';
	for (int i = 255; i < 1023; i += 256)
		key[i] = '/';
	key[1022] = '/';
	assert_int_equal(store_put(f, key, "x"), AZ_OK);
	assert_string_equal(store_get(f, key), "x");
	snprintf(list, sizeof list, "%s ", key);
	assert_string_equal(store_keys(f, "", false, 5), list);
}

/* A body of this size: no two places of it are alike. *kept: it is under the key it began with. */
static enum az_code
put_long(struct store_fix *f, const char *begun, const char *key, size_t n, bool *kept)
{
	static char chunk[100003];
	struct az_put *p;
	struct az_err err;
	enum az_code rc = az_store_put_open(f->s, &f->b, az_str_c(begun), &p, &err);

	for (size_t at = 0; !rc && at < n;) {
		size_t k = n - at < sizeof chunk ? n - at : sizeof chunk;

		for (size_t i = 0; i < k; i++, at++)
			chunk[i] = (char)(at * 2654435761u >> 13);
		rc = az_store_put_write(p, az_str_n(chunk, k), &err);
	}
	if (!rc)
		rc = az_store_put_name(p, az_str_c(key), &err);
	*kept = rc == AZ_EUNSUPPORTED;
	return rc && !*kept ? rc : az_store_put_commit(p, &err);
}

static void
assert_long(struct store_fix *f, const char *key, size_t from, size_t n)
{
	static char chunk[65536];
	struct az_get *g;
	struct az_obj o;
	struct az_err err;
	size_t got = 1, at = from, wrong = 0;

	assert_int_equal(
	    az_store_get_open(f->s, &f->b, az_str_c(key), (int64_t)from, &o, &g, &err), AZ_OK);
	assert_int_equal(o.bytes, n);
	while (got) {
		assert_int_equal(az_store_get_read(g, chunk, sizeof chunk, &got, &err), AZ_OK);
		for (size_t i = 0; i < got; i++, at++)
			wrong += chunk[i] != (char)(at * 2654435761u >> 13);
	}
	az_store_get_close(g);
	assert_int_equal(at, n);
	assert_int_equal(wrong, 0);
}

void
store_test_long_bodies(void **state)
{
	struct store_fix *f = *state;
	/* around the 5 MiB that one part of an S3 upload has */
	static const size_t sizes[] = {AZ_KIB(256) + 1, AZ_MIB(5), AZ_MIB(5) + 1, AZ_MIB(12)};

	bool kept;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(put_long(f, "w/a", "w/a", sizes[i], &kept), AZ_OK);
		assert_long(f, "w/a", 0, sizes[i]);
		assert_long(f, "w/a", sizes[i] - 1000, sizes[i]);
		assert_long(f, "w/a", sizes[i], sizes[i]);
	}
}

void
store_test_long_body_named_at_the_end(void **state)
{
	struct store_fix *f = *state;
	bool kept;

	assert_int_equal(put_long(f, "w/.azlon/first", "w/.azlon/last", AZ_MIB(12), &kept), AZ_OK);
	assert_long(f, kept ? "w/.azlon/first" : "w/.azlon/last", 0, AZ_MIB(12));
	assert_string_equal(
	    store_keys(f, "", false, 10), kept ? "w/.azlon/first " : "w/.azlon/last ");
	/* a place where no file can be */
	assert_int_equal(store_put(f, "d/e", "x"), AZ_OK);
	assert_int_equal(put_long(f, "d", "d", AZ_MIB(6), &kept), AZ_ECONFLICT);
	assert_string_equal(store_keys(f, "d", false, 10), "d/e ");
}

void
store_test_long_body_aborted(void **state)
{
	struct store_fix *f = *state;
	static char chunk[AZ_MIB(1)];
	struct az_put *p;
	struct az_err err;

	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("k"), &p, &err), AZ_OK);
	for (int i = 0; i < 11; i++)
		assert_int_equal(az_store_put_write(p, az_str_n(chunk, sizeof chunk), &err), AZ_OK);
	az_store_put_abort(p);
	assert_string_equal(store_keys(f, "", false, 10), "");
}

void
store_test_users_do_not_meet(void **state)
{
	struct store_fix *f = *state;
	static const char *const uids[] = {"Al", "al", "AL", "al ", "a", "al/", "ali"};
	struct az_bucket b[sizeof uids / sizeof *uids];
	struct az_buf got;
	struct az_err err;

	for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
		b[i] = az_bucket_of(az_str_c(uids[i]));
		assert_int_equal(
		    az_store_put(f->s, &b[i], AZ_S("k"), az_str_c(uids[i]), &err), AZ_OK);
	}
	for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
		az_buf_init(&got, 100);
		assert_int_equal(az_store_get(f->s, &b[i], AZ_S("k"), &got, &err), AZ_OK);
		assert_true(az_str_eqc(az_buf_str(&got), uids[i]));
		az_buf_release(&got);
		assert_int_equal(az_store_remove_bucket(f->s, &b[i], &err), AZ_OK);
	}
}
