/* What a user may keep: refused early, refused midway, free again after a removal. */
#include <stdatomic.h>
#include <azlon/archive.h>
#include "files_fixture.h"

static struct az_store_ops counting;
static enum az_code (*real_list)(struct az_store *s, const struct az_bucket *b,
    const struct az_store_list *q, struct az_arena *a, struct az_store_page *out,
    struct az_err *err);
static atomic_int lists;
static atomic_bool list_away;

static enum az_code
list_counted(struct az_store *s, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err)
{
	lists++;
	if (list_away)
		return az_fail(err, AZ_EUNAVAIL, "test", "away");
	return real_list(s, b, q, a, out, err);
}

static int
setup_quota(void **state)
{
	struct fixture *f;
	int rc = setup(state, false);

	f = *state;
	counting = *f->api.store->ops;
	real_list = counting.list;
	counting.list = list_counted;
	f->api.store->ops = &counting;
	f->api.usage = az_api_usage_new();
	f->api.quota_bytes = 1 << 20;
	lists = 0;
	list_away = false;
	return f->api.usage ? rc : -1;
}

static int
teardown_quota(void **state)
{
	struct fixture *f = *state;
	struct az_api_usage *u = f->api.usage;
	int rc = teardown(state);

	az_api_usage_free(u);
	return rc;
}

static int
put(struct fixture *f, const char *user, const char *name, size_t n)
{
	char *body = calloc(1, n + 1);
	char path[100];
	int status;

	/* bodies differ: equal ones are stored once */
	snprintf(body, n + 1, "%s", name);
	snprintf(path, sizeof path, "/files/inputs/default/%s", name);
	status = call(f, user, "PUT", path, NULL, NULL, NULL, az_str_n(body, n));
	free(body);
	return status;
}

static int
del(struct fixture *f, const char *path)
{
	return call(f, "alice", "DELETE", path, NULL, NULL, NULL, AZ_S(""));
}

static void
test_bytes(void **state)
{
	struct fixture *f = *state;
	size_t before;

	assert_int_equal(put(f, "alice", "a", 600000), 201);
	before = objects(f);
	assert_int_equal(put(f, "alice", "b", 600000), 429);
	check_problem(f, "quota", "of at most 1048576 bytes");
	assert_non_null(strstr(f->r.body, "remove something"));
	assert_string_equal(header(f, "Retry-After"), "60");
	assert_int_equal(objects(f), before);
	assert_int_equal(get(f, "/files/inputs/default/b", NULL, NULL), 404);
	/* others have their own, and a smaller one fits */
	assert_int_equal(put(f, "bob", "b", 600000), 201);
	assert_int_equal(put(f, "alice", "c", 300000), 201);
	assert_int_equal(put(f, "alice", "d", 300000), 429);
	/* room again at once */
	assert_int_equal(del(f, "/files/inputs/default/a"), 204);
	assert_int_equal(put(f, "alice", "d", 300000), 201);
}

static void
test_counted_once_in_a_while(void **state)
{
	struct fixture *f = *state;
	int after_first;

	assert_int_equal(put(f, "alice", "a", 10), 201);
	after_first = lists;
	for (int i = 0; i < 5; i++)
		assert_int_equal(put(f, "alice", (char[]){(char)('b' + i), '\0'}, 1000), 201);
	assert_int_equal(lists, after_first);
	/* what is remembered knows what was written since */
	assert_int_equal(put(f, "alice", "g", (1 << 20) - 4000), 429);
	assert_int_equal(lists, after_first);
}

static void
test_without_a_quota_nothing_is_counted(void **state)
{
	struct fixture *f = *state;

	f->api.quota_bytes = 0;
	list_away = true;
	assert_int_equal(put(f, "alice", "a", 2 << 20), 201);
	assert_int_equal(lists, 0);
}

static void
test_count_that_fails_is_the_stores(void **state)
{
	struct fixture *f = *state;

	list_away = true;
	assert_int_equal(put(f, "alice", "a", 10), 503);
	check_problem(f, "store", "store");
	list_away = false;
	assert_int_equal(put(f, "alice", "a", 10), 201);
}

static void
test_replaced_bytes_are_given_back(void **state)
{
	struct fixture *f = *state;
	char body[400000];

	/* a new version needs room beside the old one, which then goes */
	for (int i = 0; i < 6; i++) {
		memset(body, 'a' + i, sizeof body);
		assert_int_equal(call(f, "alice", "PUT", "/files/inputs/default/a", NULL, NULL,
				     NULL, az_str_n(body, sizeof body)),
		    201);
	}
	assert_int_equal(objects(f), 2); /* its bytes and the manifest */
	assert_int_equal(get(f, "/files/inputs/default/a", NULL, NULL), 200);
	assert_memory_equal(f->r.body, body, sizeof body);
}

static enum az_code
to_buf(void *arg, struct az_str b, struct az_err *err)
{
	(void)err;
	az_buf_adds(arg, b);
	return AZ_OK;
}

static void
test_files(void **state)
{
	struct fixture *f = *state;
	struct az_archive_writer *w;
	struct az_buf zip;
	struct az_err err;
	char name[2] = "a";

	f->api.quota_bytes = 0;
	f->api.quota_files = 6;
	az_buf_init(&zip, 1 << 20);
	assert_int_equal(az_archive_begin(AZ_ZIP, to_buf, &zip, &w, &err), AZ_OK);
	for (; name[0] < 'i'; name[0]++) {
		assert_int_equal(az_archive_entry(w, az_str_c(name), 1, 0644, 0, &err), AZ_OK);
		assert_int_equal(az_archive_data(w, az_str_c(name), &err), AZ_OK);
	}
	assert_int_equal(az_archive_finish(w, &err), AZ_OK);
	/* eight files: what was written before the seventh is removed */
	assert_int_equal(call(f, "alice", "POST", "/files/inputs", NULL, NULL, "application/zip",
			     az_buf_str(&zip)),
	    429);
	check_problem(f, "quota", "of at most 6 objects");
	assert_int_equal(objects(f), 0);
	az_buf_release(&zip);
	for (name[0] = 'a'; name[0] < 'f'; name[0]++)
		assert_int_equal(put(f, "alice", name, 1), 201);
	assert_int_equal(objects(f), 6);
	assert_int_equal(del(f, "/files/inputs/default"), 204);
	assert_int_equal(put(f, "alice", "a", 1), 201);
}

/* The packed bytes would fit: found when they are unpacked. */
static void
test_midway(void **state)
{
	struct fixture *f = *state;
	struct az_buf form;
	char *body = calloc(1, 600000);

	az_buf_init(&form, 4 << 20);
	for (int i = 0; i < 2; i++) {
		memset(body, 'x' + i, 600000);
		az_buf_addf(&form,
		    "--XX\r\nContent-Disposition: form-data; name=f; filename=f%d\r\n\r\n", i);
		az_buf_add(&form, body, 600000);
		az_buf_addc(&form, "\r\n");
	}
	az_buf_addc(&form, "--XX--\r\n");
	assert_int_equal(call(f, "alice", "POST", "/files/inputs", NULL, NULL,
			     "multipart/form-data; boundary=XX", az_buf_str(&form)),
	    429);
	assert_int_equal(objects(f), 0);
	/* and what was claimed is free */
	assert_int_equal(put(f, "alice", "a", 1000000), 201);
	az_buf_release(&form);
	free(body);
}

#define Q(t) cmocka_unit_test_setup_teardown(t, setup_quota, teardown_quota)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    Q(test_bytes),
	    Q(test_counted_once_in_a_while),
	    Q(test_without_a_quota_nothing_is_counted),
	    Q(test_count_that_fails_is_the_stores),
	    Q(test_replaced_bytes_are_given_back),
	    Q(test_files),
	    Q(test_midway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
