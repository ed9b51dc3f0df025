/*
 * Store port: objects by key in one bucket per user. Adapters: dir (files beneath a
 * root), mem (tests), s3 (MinIO or any S3). Readers see the old bytes or the new
 * ones, never a mixture. Keys follow az_key_ok(); <azlon/keys.h> builds them.
 */
#ifndef AZLON_STORE_H
#define AZLON_STORE_H

#include <azlon/arena.h>

struct az_store;

/* A user's bucket, made by az_bucket_of() and az_bucket_of_run() only. */
struct az_bucket {
	char name[39]; /* "azlon-" + tag */
};
AZ_API struct az_bucket az_bucket_of(struct az_str uid);
/* The bucket of a run. Without uid (it was started by another client of the engine) the id
   says whose it is; one that says nothing is the anonymous user's. */
AZ_API struct az_bucket az_bucket_of_run(struct az_str wid, struct az_str uid);

struct az_obj {
	struct az_str key;
	int64_t bytes;
	int64_t modified_ms;
	bool dir; /* a common prefix, when listed with one level */
};

struct az_store_list {
	struct az_str prefix; /* "" or ends in '/' or any key prefix */
	struct az_str after;  /* keys strictly greater, or empty */
	int limit;            /* 1..1000 */
	bool one_level;       /* stop at the next '/': common prefixes as dirs */
};
struct az_store_page {
	struct az_obj *objs; /* by key, bytewise ascending */
	size_t n;
	struct az_str next; /* pass as after; empty = end */
};

struct az_put; /* an upload under way */
struct az_get; /* a download under way */

struct az_store_ops {     /* every slot is filled */
	const char *name; /* value of AZLON_STORE */
	/* Start an upload; nothing is visible before put_commit. Makes the bucket. */
	enum az_code (*put_open)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    struct az_put **out, struct az_err *err);
	enum az_code (*put_write)(struct az_put *p, struct az_str chunk, struct az_err *err);
	/* Change the key the upload will get: a blob's is known once it is hashed. */
	enum az_code (*put_name)(struct az_put *p, struct az_str key, struct az_err *err);
	/* Durable and visible when it returns; frees p in any case. AZ_ECONFLICT when a
	   segment of the key is an object, or the key a prefix of others. */
	enum az_code (*put_commit)(struct az_put *p, struct az_err *err);
	void (*put_abort)(struct az_put *p); /* frees; accepts NULL */
	/* Replace a small body only if it is still was (.p NULL: only if there is none),
	   else AZ_EPRECOND. One writer of several wins, on every host. */
	enum az_code (*put_if)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    struct az_str was, struct az_str body, struct az_err *err);
	/* Read from offset (beyond the end: AZ_ERANGE); *obj (may be NULL) has size and
	   time, key unset. */
	enum az_code (*get_open)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    int64_t offset, struct az_obj *obj, struct az_get **out, struct az_err *err);
	enum az_code (*get_read)(struct az_get *g, char *p, size_t n, size_t *got,
	    struct az_err *err);             /* *got = 0 at the end */
	void (*get_close)(struct az_get *g); /* accepts NULL */
	enum az_code (*stat)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    struct az_obj *out, struct az_err *err);
	enum az_code (*remove)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    struct az_err *err); /* missing = AZ_OK */
	enum az_code (*list)(struct az_store *s, const struct az_bucket *b,
	    const struct az_store_list *q, struct az_arena *a, struct az_store_page *out,
	    struct az_err *err);
	/* Remove every object whose key starts with prefix (ends in '/'). */
	enum az_code (*remove_prefix)(struct az_store *s, const struct az_bucket *b,
	    struct az_str prefix, struct az_err *err);
	/* Remove the bucket and whatever is left in it; missing = AZ_OK. */
	enum az_code (*remove_bucket)(
	    struct az_store *s, const struct az_bucket *b, struct az_err *err);
	/* X-Accel-Redirect target of an object, appended percent-encoded
	   ("/_dir/azlon-…/key"); AZ_EUNSUPPORTED when there is none. */
	enum az_code (*accel)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    struct az_buf *out, struct az_err *err);
	enum az_code (*ping)(struct az_store *s, struct az_err *err);
	void (*close)(struct az_store *s);
};
struct az_store {
	const struct az_store_ops *ops;
};
struct az_put {
	struct az_store *store;
}; /* first members of the adapters' own */
struct az_get {
	struct az_store *store;
};

AZ_API AZ_MUST_CHECK enum az_code az_store_dir_open(
    const char *root, struct az_store **out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_mem_open(struct az_store **out, struct az_err *err);

AZ_API AZ_MUST_CHECK enum az_code az_store_put_open(struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_put **out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_put_write(
    struct az_put *p, struct az_str chunk, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_put_name(
    struct az_put *p, struct az_str key, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_put_commit(struct az_put *p, struct az_err *err);
AZ_API void az_store_put_abort(struct az_put *p);
/* Small body in one go. */
AZ_API AZ_MUST_CHECK enum az_code az_store_put(struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_str body, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_put_if(struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_str was, struct az_str body, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_get_open(struct az_store *s, const struct az_bucket *b,
    struct az_str key, int64_t offset, struct az_obj *obj, struct az_get **out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_get_read(
    struct az_get *g, char *p, size_t n, size_t *got, struct az_err *err);
AZ_API void az_store_get_close(struct az_get *g);
/* Whole object appended to out, whose ceiling bounds it (AZ_ETOOBIG). */
AZ_API AZ_MUST_CHECK enum az_code az_store_get(struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_buf *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_stat(struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_obj *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_remove(
    struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_list(struct az_store *s, const struct az_bucket *b,
    const struct az_store_list *q, struct az_arena *a, struct az_store_page *out,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_remove_prefix(
    struct az_store *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_remove_bucket(
    struct az_store *s, const struct az_bucket *b, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_accel(struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_buf *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_ping(struct az_store *s, struct az_err *err);
AZ_API void az_store_close(struct az_store *s); /* accepts NULL */

#endif
