/* Manifests and blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <azlon/keys.h>
#include <azlon/limits.h>
#include <azlon/manifest.h>

static struct az_arena *arena;
static struct az_store *store;
static struct az_bucket bucket;

static int
setup(void **state)
{
	struct az_err err;

	(void)state;
	arena = az_arena_new(AZ_MIB(64));
	bucket = az_bucket_of(AZ_S("alice"));
	return az_store_mem_open(&store, &err) != AZ_OK;
}

static int
teardown(void **state)
{
	(void)state;
	az_store_close(store);
	az_arena_free(arena);
	return 0;
}

static enum az_code
set(struct az_manifest *m, const char *path, int64_t size)
{
	struct az_file f = {
	    .path = az_str_c(path), .size = size, .mode = 0644, .modified_ms = 1790000000123};
	struct az_err err;

	az_sha256_hex(az_str_c(path), f.sha256);
	return az_manifest_set(m, &f, &err);
}

static void
test_sorted_and_unique(void **state)
{
	static const char *const in[] = {"b", "a/b", "a.b", "a0", "b", "a/a"};
	static const char *const want[] = {"a.b", "a/a", "a/b", "a0", "b"};
	struct az_manifest m;

	(void)state;
	az_manifest_init(&m, arena);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(set(&m, in[i], (int64_t)i), AZ_OK);
	assert_int_equal(m.n, 5);
	for (size_t i = 0; i < 5; i++)
		assert_true(az_str_eqc(m.files[i].path, want[i]));
	assert_int_equal(az_manifest_find(&m, AZ_S("b"))->size, 4);
	assert_null(az_manifest_find(&m, AZ_S("a")));
	az_manifest_drop(&m, AZ_S("a/b"));
	az_manifest_drop(&m, AZ_S("nothing"));
	assert_null(az_manifest_find(&m, AZ_S("a/b")));
	assert_int_equal(m.n, 4);
}

static void
test_file_or_directory(void **state)
{
	struct az_manifest m;

	(void)state;
	az_manifest_init(&m, arena);
	assert_int_equal(set(&m, "a.b", 1), AZ_OK);
	assert_int_equal(set(&m, "a/b/c", 1), AZ_OK);
	assert_int_equal(set(&m, "a", 1), AZ_EINVAL);
	assert_int_equal(set(&m, "a/b", 1), AZ_EINVAL);
	assert_int_equal(set(&m, "a/b/c/d", 1), AZ_EINVAL);
	assert_int_equal(set(&m, "a.b/c", 1), AZ_EINVAL);
	assert_int_equal(set(&m, "a/b/cc", 1), AZ_OK);
	assert_int_equal(m.n, 3);
}

static void
test_bad_paths_and_digests(void **state)
{
	struct az_file f = {.path = AZ_S("a"), .size = 1};
	struct az_manifest m;
	struct az_err err;

	(void)state;
	az_manifest_init(&m, arena);
	assert_int_equal(set(&m, "../x", 1), AZ_EINVAL);
	assert_int_equal(set(&m, ".azlon/x", 1), AZ_EINVAL);
	assert_int_equal(set(&m, "a", -1), AZ_EINVAL);
	assert_int_equal(az_manifest_set(&m, &f, &err), AZ_EINVAL);
	assert_int_equal(m.n, 0);
}

static void
test_round_trip(void **state)
{
	struct az_manifest m, back;
	struct az_err err;

	(void)state;
	az_manifest_init(&m, arena);
	for (int i = 0; i < 500; i++) {
		char p[64];

		snprintf(p, sizeof p, "dir %d/é\"%d.txt", i % 7, i);
		assert_int_equal(set(&m, p, (int64_t)i << 32), AZ_OK);
	}
	m.files[3].mode = 0755;
	assert_int_equal(az_manifest_save(&m, store, &bucket, AZ_S("w/m"), &err), AZ_OK);
	az_manifest_init(&back, arena);
	assert_int_equal(az_manifest_load(&back, store, &bucket, AZ_S("w/m"), &err), AZ_OK);
	assert_int_equal(back.n, m.n);
	for (size_t i = 0; i < m.n; i++) {
		assert_true(az_str_eq(back.files[i].path, m.files[i].path));
		assert_string_equal(back.files[i].sha256, m.files[i].sha256);
		assert_int_equal(back.files[i].size, m.files[i].size);
		assert_int_equal(back.files[i].mode, m.files[i].mode);
		assert_int_equal(back.files[i].modified_ms, m.files[i].modified_ms);
	}
}

static void
test_missing_and_damaged(void **state)
{
	struct az_manifest m;
	struct az_err err;

	(void)state;
	az_manifest_init(&m, arena);
	assert_int_equal(az_manifest_load(&m, store, &bucket, AZ_S("no"), &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_put(store, &bucket, AZ_S("bad"),
			     AZ_S("{\"v\":1,\"files\":[{\"path\":\"../x\"}]}"), &err),
	    AZ_OK);
	assert_int_equal(az_manifest_load(&m, store, &bucket, AZ_S("bad"), &err), AZ_EIO);
	assert_int_equal(az_manifest_parse(&m, AZ_S("{\"v\":2,\"files\":[]}"), &err), AZ_EINVAL);
}

static void
test_blob_is_named_by_its_digest(void **state)
{
	struct az_blob_writer *w;
	struct az_buf key, body;
	struct az_err err;
	struct az_file f;
	char other[65];

	(void)state;
	assert_int_equal(az_blob_open(store, &bucket, AZ_S("w"), AZ_S(""), &w, &err), AZ_OK);
	assert_int_equal(az_blob_write(w, AZ_S("hello "), &err), AZ_OK);
	assert_int_equal(az_blob_write(w, AZ_S("world"), &err), AZ_OK);
	assert_int_equal(az_blob_commit(w, &f, &err), AZ_OK);
	assert_string_equal(f.sha256, "b94d27b9934d3e08a52e52d7da7dabfa"
				      "c484efe37a5380ee9088f7ace2efcde9");
	assert_int_equal(f.size, 11);
	assert_string_equal(f.blob, "");
	az_buf_init(&key, 1000);
	az_buf_init(&body, 1000);
	az_key_blob(&key, AZ_S("w"), az_file_blob(&f));
	assert_int_equal(az_store_get(store, &bucket, az_buf_str(&key), &body, &err), AZ_OK);
	assert_string_equal(body.p, "hello world");
	/* the same body in one go, and once more: one object */
	assert_int_equal(
	    az_blob_put(store, &bucket, AZ_S("w"), AZ_S(""), AZ_S("hello world"), other, &err),
	    AZ_OK);
	assert_string_equal(other, f.sha256);
	{
		struct az_store_list q = {.limit = 10};
		struct az_store_page p;

		assert_int_equal(az_store_list(store, &bucket, &q, arena, &p, &err), AZ_OK);
		assert_int_equal(p.n, 1);
	}
	az_buf_release(&key);
	az_buf_release(&body);
}

static enum az_code
too_late(struct az_put *p, struct az_str key, struct az_err *err)
{
	(void)p;
	(void)key;
	return az_fail(err, AZ_EUNSUPPORTED, "test", "it has begun");
}

/* A store that had to name it before its end keeps that name, and the manifest says so. */
static void
test_blob_keeps_the_name_it_began_with(void **state)
{
	struct az_store_ops ops = *store->ops;
	const struct az_store_ops *was = store->ops;
	struct az_file f = {.path = AZ_S("big"), .mode = 0644};
	struct az_blob_writer *w;
	struct az_manifest m;
	struct az_buf key, body;
	struct az_err err;

	(void)state;
	ops.put_name = too_late;
	store->ops = &ops;
	assert_int_equal(az_blob_open(store, &bucket, AZ_S("w"), AZ_S(""), &w, &err), AZ_OK);
	assert_int_equal(az_blob_write(w, AZ_S("hello world"), &err), AZ_OK);
	assert_int_equal(az_blob_commit(w, &f, &err), AZ_OK);
	store->ops = was;
	assert_string_equal(f.sha256, "b94d27b9934d3e08a52e52d7da7dabfa"
				      "c484efe37a5380ee9088f7ace2efcde9");
	assert_int_equal(strlen(f.blob), 26);
	az_manifest_init(&m, arena);
	assert_int_equal(az_manifest_set(&m, &f, &err), AZ_OK);
	assert_int_equal(az_manifest_save(&m, store, &bucket, AZ_S("m"), &err), AZ_OK);
	az_manifest_init(&m, arena);
	assert_int_equal(az_manifest_load(&m, store, &bucket, AZ_S("m"), &err), AZ_OK);
	assert_true(az_file_same_blob(&m.files[0], &f));
	az_buf_init(&key, 1000);
	az_buf_init(&body, 1000);
	az_key_blob(&key, AZ_S("w"), az_file_blob(&m.files[0]));
	assert_int_equal(az_store_get(store, &bucket, az_buf_str(&key), &body, &err), AZ_OK);
	assert_string_equal(body.p, "hello world");
	az_buf_release(&key);
	az_buf_release(&body);
}

/* What a manifest names is no path. */
static void
test_blob_names_are_of_our_making(void **state)
{
	static const char *const bad[] = {"../../../../../../secret01", "short",
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxy1",
	    "abcdefghijklmnopqrstuvwxyza"};
	char text[512];
	struct az_manifest m;
	struct az_err err;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(text, sizeof text,
		    "{\"v\":1,\"files\":[{\"path\":\"a\",\"sha256\":"
		    "\"b94d27b9934d3e08a52e52d7da7dabfa"
		    "c484efe37a5380ee9088f7ace2efcde9\",\"size\":1,\"mode\":\"0644\","
		    "\"modified\":\"2026-01-02T03:04:05.006Z\",\"blob\":\"%s\"}]}",
		    bad[i]);
		az_manifest_init(&m, arena);
		assert_int_equal(az_manifest_parse(&m, az_str_c(text), &err), AZ_EINVAL);
	}
}

static void
test_blob_abort_leaves_nothing(void **state)
{
	struct az_store_list q = {.limit = 10};
	struct az_store_page p;
	struct az_blob_writer *w;
	struct az_err err;

	(void)state;
	assert_int_equal(az_blob_open(store, &bucket, AZ_S(""), AZ_S("default"), &w, &err), AZ_OK);
	assert_int_equal(az_blob_write(w, AZ_S("x"), &err), AZ_OK);
	az_blob_abort(w);
	az_blob_abort(NULL);
	assert_int_equal(az_store_list(store, &bucket, &q, arena, &p, &err), AZ_OK);
	assert_int_equal(p.n, 0);
	assert_int_equal(az_blob_open(store, &bucket, AZ_S(""), AZ_S(""), &w, &err), AZ_EINVAL);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_sorted_and_unique),
	    T(test_file_or_directory),
	    T(test_bad_paths_and_digests),
	    T(test_round_trip),
	    T(test_missing_and_damaged),
	    T(test_blob_is_named_by_its_digest),
	    T(test_blob_keeps_the_name_it_began_with),
	    T(test_blob_names_are_of_our_making),
	    T(test_blob_abort_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
