/*
 * Inside the S3 adapter. s3_send.c makes one signed request, s3_call.c tries again by the
 * rules; the operations stand on it, a file for each kind; store_s3.c is the port.
 */
#ifndef AZLON_STORE_S3_H
#define AZLON_STORE_S3_H

#include <pthread.h>
#include <stdatomic.h>
#include <azlon/http.h>
#include "s3_sign.h"
#include "s3_xml.h"

#define S3_PART_BYTES AZ_MIB(5) /* the least S3 takes */
#define S3_WAYS 2               /* buffers of one upload, if there are so many */
#define S3_PARTS_MAX 10000
#define S3_LIST_MAX 1000 /* keys of a page, and of a removal */
#define S3_SLAB_PARTS 16 /* part buffers of a process */
#define S3_SLAB_WAIT_MS 60000
#define S3_ACCEL_TTL_S 60
#define S3_STS_AGAIN_MS 600000
#define S3_MARK "x-amz-meta-azlon-put" /* which conditional PUT an object is from */
#define S3_NAME_MAX 300
#define S3_MADE 64 /* buckets remembered */

struct s3_endpoint {
	char url[S3_NAME_MAX];  /* scheme://host[:port] */
	char host[S3_NAME_MAX]; /* as the Host header has it */
};

enum s3_cap { S3_UNKNOWN, S3_YES, S3_NO }; /* what a server can do, once it was tried */

struct s3_users; /* s3_cred.c: credentials of single users */
struct s3_slab;  /* s3_slab.c: part buffers */

struct s3 {
	struct az_store base;
	struct az_http *http;            /* borrowed */
	struct s3_endpoint at, external; /* external.url "": none */
	struct s3_cred root;
	char ca_file[1024];  /* "": the system's */
	char lock_dir[1024]; /* see s3_if.c */
	bool sts_off;
	int64_t sts_again_ms; /* a server without STS is asked again; less in tests */
	pthread_mutex_t mu;   /* region and buckets */
	char region[64];
	char made[S3_MADE][39]; /* buckets seen lately, a ring */
	size_t made_at;
	_Atomic int64_t skew_ms; /* the server's clock against ours */
	_Atomic int minio;       /* enum s3_cap: it tells its health */
	_Atomic int conditional; /* enum s3_cap: PUT with If-Match and If-None-Match */
	_Atomic int plain_tags;  /* enum s3_cap: the tag of a part is its MD5 */
	atomic_bool bare_tags;   /* its If-Match wants the tag without quotes */
	_Atomic int64_t tokens;  /* of retries, thousandths */
	struct s3_users *users;
	struct s3_slab *slab;
};

/* ---- s3_addr.c ---- */
/* "host", "host:port" or an http(s) URL; ssl where it has no scheme. */
AZ_MUST_CHECK enum az_code s3_endpoint_parse(
    const char *text, bool ssl, struct s3_endpoint *out, struct az_err *err);

/* ---- s3_call.c ---- */
struct s3_call {
	const char *method;
	const struct az_bucket *bucket; /* NULL: the service */
	struct az_str key;              /* empty: the bucket */
	const struct s3_kv *query;
	size_t n_query;
	const struct s3_kv *headers; /* signed and sent */
	size_t n_headers;
	struct az_str body;            /* in memory: hashed, and sent again as it is */
	const struct s3_xml_opts *xml; /* of a success; NULL: its body is dropped */
	bool as_root;                  /* buckets and STS: never a user's credentials */
	const char *path;              /* instead of bucket and key */
	const char *md5;               /* Content-MD5 of body if it is known, "" for none */
	bool unsigned_body;            /* MD5 or tag alone guard it: the parts of an upload */
	const char *service;           /* NULL = "s3" */
	int64_t within_ms; /* of a try, and none begins later; 0 = as long as it takes */
};
struct s3_reply {
	int status;            /* HTTP, of the last try */
	int tries;             /* how often it was sent */
	struct s3_error error; /* of a failure, code "" if the server named none */
	char etag[128];        /* without quotes, "" if there is none */
	char mark[32];         /* S3_MARK, or "" */
	int64_t bytes;         /* Content-Length, -1 */
	int64_t modified_ms;   /* Last-Modified, 0 */
	int64_t from;          /* where a Content-Range begins, -1 */
	int64_t total_bytes;   /* of the object, out of Content-Range, else bytes; -1 */
};
/*
 * One request, signed afresh for every try. Any 2xx is AZ_OK. Else: 404 and NoSuchBucket
 * AZ_ENOTFOUND; 412 AZ_EPRECOND; 416 AZ_ERANGE; 403 and wrong credentials AZ_EUNAVAIL with
 * a sentence that names the variable; a full server AZ_EUNAVAIL "store_full"; what stayed
 * away after the retries AZ_EUNAVAIL or AZ_ETIMEOUT; nonsense, or more than a reply may
 * have, AZ_EUPSTREAM. What xml collects is emptied before each try.
 */
AZ_MUST_CHECK enum az_code s3_do(
    struct s3 *s, const struct s3_call *c, struct s3_reply *r, struct az_err *err);
/* As s3_do(), but a success's body is pulled; retries only before its headers. */
struct s3_body;
AZ_MUST_CHECK enum az_code s3_open(struct s3 *s, const struct s3_call *c, struct s3_reply *r,
    struct s3_body **out, struct az_err *err);
/* As az_http_read(). */
AZ_MUST_CHECK enum az_code s3_body_read(
    struct s3_body *b, char *p, size_t n, size_t *got, struct az_err *err);
void s3_body_close(struct s3_body *b); /* accepts NULL */
/* Wait before try number *retries + 2 and count it; false when there is to be none. */
bool s3_pause(struct s3 *s, int *retries, int64_t after_ms);
void s3_region_get(struct s3 *s, char out[64]);
/* "/", "/bucket" or "/bucket/key", raw */
void s3_path_of(const struct az_bucket *b, struct az_str key, struct az_buf *out);
/* Presigned path?query for the method, as seen by at. query: response-content-type and such.
   (s3_url.c) */
AZ_MUST_CHECK enum az_code s3_url(struct s3 *s, const struct s3_endpoint *at,
    const struct s3_cred *cred, const char *method, const struct az_bucket *b, struct az_str key,
    const struct s3_kv *query, size_t n_query, int ttl_s, struct az_buf *out, struct az_err *err);
/* Content-MD5 of a body, base64. */
void s3_md5(struct az_str body, char out[25]);

/* ---- s3_rules.c: pure decisions about one answer ---- */
enum s3_next { S3_DONE, S3_RETRY, S3_FIX_CLOCK, S3_FIX_REGION, S3_FIX_TOKEN, S3_GIVE_UP };
enum s3_next s3_next(int status, const char *code);
/* Status and code as one of ours, with the sentence for the log. */
enum az_code s3_rc(const struct s3_reply *r, const char *op, struct az_err *err);

/* ---- s3_cred.c ---- */
AZ_MUST_CHECK enum az_code s3_users_new(struct s3_users **out, struct az_err *err);
void s3_users_free(struct s3_users *u);
/* Credentials for data of the bucket: the user's own by STS where the server has it and
   they live for_ms longer, else the root's. */
AZ_MUST_CHECK enum az_code s3_cred_for(struct s3 *s, const struct az_bucket *b, int64_t for_ms,
    struct s3_cred *out, struct az_err *err);
/* Its session, if that still is the one of this access key (NULL: any). */
void s3_cred_forget(struct s3 *s, const struct az_bucket *b, const char *access);

/* ---- s3_bucket.c ---- */
AZ_MUST_CHECK enum az_code s3_bucket_make(
    struct s3 *s, const struct az_bucket *b, struct az_err *err); /* remembers */
void s3_bucket_forget(struct s3 *s, const struct az_bucket *b);
AZ_MUST_CHECK enum az_code s3_bucket_remove(
    struct az_store *s, const struct az_bucket *b, struct az_err *err);

/* ---- s3_list.c ---- */
struct s3_query {
	struct az_str prefix, after, token;
	const char *delimiter;
	int max; /* 1..S3_LIST_MAX */
};
AZ_MUST_CHECK enum az_code s3_list_page(struct s3 *s, const struct az_bucket *b,
    const struct s3_query *q, struct s3_listing *l, struct az_err *err);

/* ---- the slots of the port: s3_put.c, s3_if.c, s3_get.c, s3_list.c, s3_remove.c, s3_copy.c ----
 */
AZ_MUST_CHECK enum az_code s3_slab_new(struct s3_slab **out, struct az_err *err);
void s3_slab_free(struct s3_slab *slab);
/* S3_PART_BYTES; AZ_EUNAVAIL "busy" when none is left for so long. A thread that waits must
   not hold another upload's. */
AZ_MUST_CHECK enum az_code s3_slab_take(
    struct s3_slab *slab, int64_t wait_ms, char **out, struct az_err *err);
void s3_slab_give(struct s3_slab *slab, char *p); /* accepts NULL */
enum az_code s3_put_open(struct az_store *s, const struct az_bucket *b, struct az_str key,
    struct az_put **out, struct az_err *err);
enum az_code s3_put_write(struct az_put *p, struct az_str chunk, struct az_err *err);
enum az_code s3_put_name(struct az_put *p, struct az_str key, struct az_err *err);
enum az_code s3_put_commit(struct az_put *p, struct az_err *err);
void s3_put_abort(struct az_put *p);
/* s3_parts.c: an upload in parts of its key. */
AZ_MUST_CHECK enum az_code s3_parts_begin(struct s3 *s, const struct az_bucket *b,
    struct az_str key, struct s3_upload_id *id, struct az_err *err); /* makes the bucket */
/* Also AZ_OK when the answer got lost but the object is there, with the tag that these parts
   give. AZ_EUNAVAIL when the upload is gone. */
AZ_MUST_CHECK enum az_code s3_parts_complete(struct s3 *s, const struct az_bucket *b,
    struct az_str key, const struct s3_upload_id *id, const char (*etags)[40], size_t n,
    struct az_err *err);
void s3_parts_abort(struct s3 *s, const struct az_bucket *b, struct az_str key,
    const struct s3_upload_id *id); /* best effort */
/* One PUT of a body in memory; makes the bucket when it is missing. r->etag is set. */
AZ_MUST_CHECK enum az_code s3_put_body(struct s3 *s, const struct az_bucket *b, struct az_str key,
    struct az_str body, const struct s3_kv *headers, size_t n, struct s3_reply *r,
    struct az_err *err);
enum az_code s3_put_if(struct az_store *s, const struct az_bucket *b, struct az_str key,
    struct az_str was, struct az_str body, struct az_err *err);
enum az_code s3_get_open(struct az_store *s, const struct az_bucket *b, struct az_str key,
    int64_t offset, struct az_obj *obj, struct az_get **out, struct az_err *err);
enum az_code s3_get_read(struct az_get *g, char *p, size_t n, size_t *got, struct az_err *err);
void s3_get_close(struct az_get *g);
enum az_code s3_list(struct az_store *s, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err);
enum az_code s3_stat(struct az_store *s, const struct az_bucket *b, struct az_str key,
    struct az_obj *out, struct az_err *err);
enum az_code s3_remove(
    struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_err *err);
enum az_code s3_remove_many(struct az_store *s, const struct az_bucket *b,
    const struct az_str *keys, size_t n, struct az_err *err);
/* Every object whose key begins with prefix, which may be empty. */
AZ_MUST_CHECK enum az_code s3_remove_all(
    struct s3 *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err);
/* End uploads in parts that nobody finished; AZ_OK where a server cannot list them. */
AZ_MUST_CHECK enum az_code s3_abort_uploads(
    struct s3 *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err);
/* AZ_ECONFLICT when an object of this key would be a directory of others, or the reverse. */
AZ_MUST_CHECK enum az_code s3_free_name(
    struct s3 *s, const struct az_bucket *b, struct az_str key, struct az_err *err);
enum az_code s3_remove_prefix(
    struct az_store *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err);
/* Server-side, in parts when it is large. */
enum az_code s3_copy(struct az_store *s, const struct az_bucket *b, struct az_str from,
    struct az_str to, struct az_err *err);

#endif
