/* Trees of iterations in the store: manifests and blobs as a run leaves them. */
#ifndef API_TREE_FIXTURE_H
#define API_TREE_FIXTURE_H

#include "api_run_fixture.h"

struct tree_file {
	const char *path, *body;
	bool exec;
};

static inline void
put_object(const struct az_buf *key, struct az_str body)
{
	struct az_bucket b = az_bucket_of(AZ_S("alice"));

	assert_int_equal(az_store_put(fix.api.store, &b, az_buf_str(key), body, NULL), AZ_OK);
}

/* One object of an iteration. */
static inline void
put_iter(struct az_str id, int n, const char *name, const char *text)
{
	struct az_buf key;

	az_buf_init(&key, 500);
	az_key_iter(&key, id, n, name);
	put_object(&key, az_str_c(text));
	az_buf_release(&key);
}

static inline void
put_request(struct az_str id, const char *json)
{
	struct az_buf key;

	az_buf_init(&key, 500);
	az_key_meta(&key, id, "request");
	put_object(&key, az_str_c(json));
	az_buf_release(&key);
}

/* A manifest of iteration n called name; files end with path == NULL. */
static inline void
put_tree(struct az_str id, int n, const char *name, const struct tree_file *files)
{
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	struct az_manifest m;
	struct az_buf key;

	az_manifest_init(&m, arena);
	for (; files->path; files++) {
		struct az_file f = {.path = az_str_c(files->path),
		    .size = (int64_t)strlen(files->body),
		    .mode = files->exec ? 0755 : 0644,
		    .modified_ms = INT64_C(1790000000000)};

		assert_int_equal(az_blob_put(fix.api.store, &b, id, AZ_S(""), az_str_c(files->body),
				     f.sha256, NULL),
		    AZ_OK);
		assert_int_equal(az_manifest_set(&m, &f, NULL), AZ_OK);
	}
	az_buf_init(&key, 500);
	az_key_iter(&key, id, n, name);
	assert_int_equal(az_manifest_save(&m, fix.api.store, &b, az_buf_str(&key), NULL), AZ_OK);
	az_buf_release(&key);
}

#define TREE(...) ((const struct tree_file[]){__VA_ARGS__, {NULL, NULL, false}})

#endif
