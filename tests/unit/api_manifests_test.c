/* Manifests read lately: what is asked of the store, and when it is asked anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include <azlon/manifest.h>
#include "api/manifests.h"

struct fixture {
	struct az_api api;
	struct az_bucket alice, bob;
	struct az_arena *a;
	struct az_store_ops ops;        /* the memory's, with get counted */
	const struct az_store_ops *mem; /* as it was */
	void (*meanwhile)(struct fixture *f);
};

static int gets;
static struct fixture *now;

static enum az_code
counted(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	enum az_code rc = now->mem->get_open(s, b, key, offset, obj, out, err);

	gets++;
	if (now->meanwhile)
		now->meanwhile(now);
	return rc;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct az_err err;

	assert_int_equal(az_store_mem_open(&f->api.store, &err), AZ_OK);
	f->mem = f->api.store->ops;
	f->ops = *f->mem;
	f->ops.get_open = counted;
	f->api.store->ops = &f->ops;
	f->api.manifests = az_api_manifests_new();
	f->alice = az_bucket_of(AZ_S("alice"));
	f->bob = az_bucket_of(AZ_S("bob"));
	f->a = az_arena_new(AZ_MIB(16));
	gets = 0;
	now = f;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	f->api.store->ops = f->mem;
	az_store_close(f->api.store);
	az_api_manifests_free(f->api.manifests);
	az_arena_free(f->a);
	free(f);
	return 0;
}

static void
save(struct fixture *f, const struct az_bucket *b, size_t files)
{
	struct az_manifest m;
	struct az_err err;
	char path[32];

	az_manifest_init(&m, f->a);
	for (size_t i = 0; i < files; i++) {
		struct az_file x = {.size = 1, .mode = 0644};

		snprintf(path, sizeof path, "f%05zu", i);
		x.path = az_str_c(path);
		memset(x.sha256, 'a', 64);
		assert_int_equal(az_manifest_set(&m, &x, &err), AZ_OK);
	}
	assert_int_equal(
	    az_manifest_save(&m, f->api.store, b, AZ_S("w/.azlon/manifest"), &err), AZ_OK);
}

static size_t
load(struct fixture *f, const struct az_bucket *b)
{
	struct az_manifest m;
	struct az_err err;

	az_manifest_init(&m, f->a);
	assert_int_equal(manifests_load(&f->api, b, AZ_S("w/.azlon/manifest"), &m, &err), AZ_OK);
	return m.n;
}

static void
a_manifest_is_read_once(void **state)
{
	struct fixture *f = *state;

	save(f, &f->alice, 3);
	assert_int_equal(load(f, &f->alice), 3);
	assert_int_equal(load(f, &f->alice), 3);
	assert_int_equal(gets, 1);
}

static void
users_are_apart(void **state)
{
	struct fixture *f = *state;

	save(f, &f->alice, 3);
	save(f, &f->bob, 5);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(load(f, &f->alice), 3);
		assert_int_equal(load(f, &f->bob), 5);
	}
	assert_int_equal(gets, 2);
	manifests_forget(&f->api, &f->bob, AZ_S(""));
	assert_int_equal(load(f, &f->alice), 3);
	assert_int_equal(gets, 2);
	assert_int_equal(load(f, &f->bob), 5);
	assert_int_equal(gets, 3);
}

static void
a_change_is_seen_at_once(void **state)
{
	struct fixture *f = *state;
	struct az_manifest m;
	struct az_err err;

	save(f, &f->alice, 3);
	assert_int_equal(load(f, &f->alice), 3);
	save(f, &f->alice, 2);
	manifests_forget(&f->api, &f->alice, AZ_S("w/.azlon/manifest"));
	assert_int_equal(load(f, &f->alice), 2);
	assert_int_equal(
	    az_store_remove(f->api.store, &f->alice, AZ_S("w/.azlon/manifest"), &err), AZ_OK);
	manifests_forget(&f->api, &f->alice, AZ_S(""));
	az_manifest_init(&m, f->a);
	assert_int_equal(
	    manifests_load(&f->api, &f->alice, AZ_S("w/.azlon/manifest"), &m, &err), AZ_ENOTFOUND);
}

static void
change(struct fixture *f)
{
	manifests_forget(&f->api, &f->bob, AZ_S(""));
}

/* What was read before a change may be what was there before it. */
static void
what_was_read_during_a_change_is_not_kept(void **state)
{
	struct fixture *f = *state;

	save(f, &f->alice, 3);
	f->meanwhile = change;
	assert_int_equal(load(f, &f->alice), 3);
	f->meanwhile = NULL;
	assert_int_equal(load(f, &f->alice), 3);
	assert_int_equal(gets, 2);
}

static void
a_long_one_is_not_kept(void **state)
{
	struct fixture *f = *state;

	save(f, &f->alice, 2000);
	assert_int_equal(load(f, &f->alice), 2000);
	assert_int_equal(load(f, &f->alice), 2000);
	assert_int_equal(gets, 2);
}

static void
without_a_memory_each_is_read(void **state)
{
	struct fixture *f = *state;
	struct az_api_manifests *had = f->api.manifests;

	save(f, &f->alice, 3);
	f->api.manifests = NULL;
	assert_int_equal(load(f, &f->alice), 3);
	assert_int_equal(load(f, &f->alice), 3);
	manifests_forget(&f->api, &f->alice, AZ_S(""));
	f->api.manifests = had;
	assert_int_equal(gets, 2);
}

int
main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T_(a_manifest_is_read_once),
	    T_(users_are_apart),
	    T_(a_change_is_seen_at_once),
	    T_(what_was_read_during_a_change_is_not_kept),
	    T_(a_long_one_is_not_kept),
	    T_(without_a_memory_each_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
