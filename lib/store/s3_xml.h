/*
 * S3's XML: replies read as a stream with limits, request bodies written. Names are
 * matched without their namespace. A DOCTYPE ends the reading.
 */
#ifndef AZLON_S3_XML_H
#define AZLON_S3_XML_H

#include <azlon/arena.h>
#include <azlon/limits.h>
#include <azlon/store.h>

#define S3_XML_BYTES AZ_MIB(8)
#define S3_XML_DEPTH 16
#define S3_XML_TEXT ((size_t)8 * 1024) /* of one element */

/* What an <Error> says; "" where it says nothing. */
struct s3_error {
	char code[64];
	char message[160];
	char region[64];
	char endpoint[256];
};

/* One document, fed in any pieces. */
struct s3_xml;
struct s3_xml_opts {
	const char *root; /* the element of a success, "ListBucketResult" */
	/* An element without children ended: path from below the root, "Contents/Key". */
	enum az_code (*leaf)(void *arg, const char *path, struct az_str text, struct az_err *err);
	/* An element with children ended: "Contents"; the root always does, with "". Either
	   may be NULL. */
	enum az_code (*end)(void *arg, const char *path, struct az_err *err);
	void *arg;
	void (*reset)(void *arg); /* a document begins: forget another's; may be NULL */
};
AZ_MUST_CHECK enum az_code s3_xml_new(
    const struct s3_xml_opts *o, struct s3_xml **out, struct az_err *err);
/* AZ_EUPSTREAM (not well formed, a DOCTYPE), AZ_ETOOBIG (a limit), or what a callback said. */
AZ_MUST_CHECK enum az_code s3_xml_feed(struct s3_xml *x, struct az_str bytes, struct az_err *err);
/* The body is over. AZ_OK only if it was a whole document with the root asked for; with an
   <Error> instead *e has it and the code is AZ_EUPSTREAM. */
AZ_MUST_CHECK enum az_code s3_xml_finish(struct s3_xml *x, struct s3_error *e, struct az_err *err);
void s3_xml_free(struct s3_xml *x); /* accepts NULL */

/* An error's body, whatever it is: HTML and nothing leave *e empty. */
void s3_error_parse(struct az_str body, struct s3_error *e);
/* One of its elements, "Code", as printable ASCII; others are passed over. */
void s3_error_leaf(struct s3_error *e, struct az_str path, struct az_str text);

/* ---- the replies we read; each is the arg of the callbacks that its _opts() gives, and
   emptied when a document begins ---- */
struct s3_listing {          /* ListBucketResult */
	struct az_arena *a;  /* given */
	struct az_obj *objs; /* as they came: objects and common prefixes */
	size_t n, cap;
	bool truncated, url_encoded;
	struct az_str token;
	struct az_obj now; /* entry being read */
};
struct s3_xml_opts s3_listing_opts(struct s3_listing *l);
/* After finish: keys decoded, sorted bytewise. AZ_EUPSTREAM when truncated without a token. */
AZ_MUST_CHECK enum az_code s3_listing_done(struct s3_listing *l, struct az_err *err);

struct s3_uploads { /* ListMultipartUploadsResult, and InitiateMultipartUploadResult */
	struct az_arena *a;
	struct {
		struct az_str key, id;
	} * v;
	size_t n, cap;
	bool truncated, url_encoded;     /* keys come decoded */
	struct az_str next_key, next_id; /* markers */
};
struct s3_xml_opts s3_uploads_opts(struct s3_uploads *u);
struct s3_upload_id {
	char id[1025];
};
struct s3_xml_opts s3_upload_id_opts(struct s3_upload_id *u);

struct s3_etag {        /* CompleteMultipartUploadResult or CopyObjectResult */
	char etag[128]; /* without quotes */
};
struct s3_xml_opts s3_etag_opts(struct s3_etag *e, const char *root);

struct s3_deleted { /* DeleteResult: the first that failed */
	size_t failed;
	struct s3_error first;
};
struct s3_xml_opts s3_deleted_opts(struct s3_deleted *d);

struct s3_session { /* AssumeRoleResponse */
	char access[129], secret[129], token[2049];
	int64_t expires_ms;
};
struct s3_xml_opts s3_session_opts(struct s3_session *s);

/* ---- the bodies we send ---- */
/* Can XML 1.0 carry it? (no control characters) */
bool s3_xml_can(struct az_str key);
void s3_xml_delete(struct az_buf *out, const struct az_str *keys, size_t n); /* quiet */
void s3_xml_complete(struct az_buf *out, const char (*etags)[40], size_t n);
void s3_xml_location(struct az_buf *out, const char *region);

#endif
