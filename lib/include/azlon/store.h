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

/* What a link's answer says of the file. */
struct az_link {
	int ttl_s;                 /* 1..604800 */
	const char *mime;          /* Content-Type */
	struct az_str disposition; /* Content-Disposition */
};

struct az_put; /* an upload under way */
struct az_get; /* a download under way */

struct az_store_ops {     /* every slot but remove_many is filled */
	const char *name; /* value of AZLON_STORE */
	/* Start an upload; nothing is visible before put_commit. Makes the bucket. */
	enum az_code (*put_open)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    struct az_put **out, struct az_err *err);
	enum az_code (*put_write)(struct az_put *p, struct az_str chunk, struct az_err *err);
	/* Change the key the upload will get: a blob's is known once it is hashed.
	   AZ_EUNSUPPORTED, and the key stays, once the store has begun under it. */
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
	/* NULL where one by one is as good. */
	enum az_code (*remove_many)(struct az_store *s, const struct az_bucket *b,
	    const struct az_str *keys, size_t n, struct az_err *err);
	/* Remove every object whose key starts with prefix (ends in '/'). */
	enum az_code (*remove_prefix)(struct az_store *s, const struct az_bucket *b,
	    struct az_str prefix, struct az_err *err);
	/* Remove the bucket and whatever is left in it; missing = AZ_OK. */
	enum az_code (*remove_bucket)(
	    struct az_store *s, const struct az_bucket *b, struct az_err *err);
	/* Copy an object within its bucket, in the store itself; replaces to. */
	enum az_code (*copy)(struct az_store *s, const struct az_bucket *b, struct az_str from,
	    struct az_str to, struct az_err *err);
	/* How nginx reaches an object: see az_store_accel(). */
	enum az_code (*accel)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    const char *method, const char *mime, struct az_buf *target, struct az_buf *path,
	    struct az_err *err);
	/* A URL that browsers reach: see az_store_link(). */
	enum az_code (*link)(struct az_store *s, const struct az_bucket *b, struct az_str key,
	    const struct az_link *l, struct az_buf *out, struct az_err *err);
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
/* MinIO or any S3, one bucket per user. Nothing is asked of the server yet. */
struct az_http;
struct az_s3_opts {
	struct az_http *http;   /* borrowed until close */
	const char *endpoint;   /* host, host:port or http(s)://host[:port] */
	bool ssl;               /* of an endpoint that names no scheme */
	const char *access_key; /* borrowed for the call */
	const char *secret_key;
	const char *region;   /* NULL = us-east-1, corrected when the server says otherwise */
	const char *ca_file;  /* NULL = the system's */
	const char *external; /* endpoint of links, NULL = none */
	bool sts_off;         /* never ask for credentials of single users */
	const char *lock_dir; /* existing directory; where the server has no conditional
				 PUT, az_store_put_if() locks a file in it (one host) */
};
AZ_API AZ_MUST_CHECK enum az_code az_store_s3_open(
    const struct az_s3_opts *o, struct az_store **out, struct az_err *err);
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
/* Any number; missing ones are no error. After a failure some may be gone. */
AZ_API AZ_MUST_CHECK enum az_code az_store_remove_many(struct az_store *s,
    const struct az_bucket *b, const struct az_str *keys, size_t n, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_list(struct az_store *s, const struct az_bucket *b,
    const struct az_store_list *q, struct az_arena *a, struct az_store_page *out,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_remove_prefix(
    struct az_store *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_remove_bucket(
    struct az_store *s, const struct az_bucket *b, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_copy(struct az_store *s, const struct az_bucket *b,
    struct az_str from, struct az_str to, struct az_err *err);
/*
 * How nginx reaches an object for a request of this method: target gets the value of
 * X-Accel-Redirect ("/_dir/azlon-…/key", percent-encoded, or "@s3"), path that of X-S3-Path
 * (a presigned path and query, good for a minute, answered with this mime) or nothing.
 * AZ_EUNSUPPORTED where there is no way.
 */
AZ_API AZ_MUST_CHECK enum az_code az_store_accel(struct az_store *s, const struct az_bucket *b,
    struct az_str key, const char *method, const char *mime, struct az_buf *target,
    struct az_buf *path, struct az_err *err);
/* Append a URL of the store itself that gives the object to whoever has it, until l->ttl_s
   are over. AZ_EUNSUPPORTED when browsers reach no such store. */
AZ_API AZ_MUST_CHECK enum az_code az_store_link(struct az_store *s, const struct az_bucket *b,
    struct az_str key, const struct az_link *l, struct az_buf *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_store_ping(struct az_store *s, struct az_err *err);
AZ_API void az_store_close(struct az_store *s); /* accepts NULL */

#endif
