/*
 * AWS Signature Version 4, as a pure function of request, credentials and time: headers,
 * presigned URLs and STS come from the same canonical request. Nothing here knows HTTP.
 */
#ifndef AZLON_S3_SIGN_H
#define AZLON_S3_SIGN_H

#include <azlon/buf.h>

struct s3_kv {
	struct az_str name, value; /* raw, not encoded */
};

struct s3_cred {
	char access[129];
	char secret[129];
	char token[2049]; /* of temporary credentials; "" if permanent */
};

struct s3_sign {
	const char *method;
	struct az_str host;        /* as the Host header has it: port unless 80 or 443 */
	struct az_str path;        /* raw bytes from '/'; encoded once, never normalised */
	const struct s3_kv *query; /* in any order; a valueless name has an empty value */
	size_t n_query;
	const struct s3_kv *headers; /* to sign besides those added here; any case and order */
	size_t n_headers;
	struct az_str payload;   /* hex SHA-256 of the body, or UNSIGNED-PAYLOAD */
	bool sends_payload_hash; /* the payload line goes as x-amz-content-sha256 as well */
	const struct s3_cred *cred;
	const char *region;  /* "us-east-1" */
	const char *service; /* "s3", "sts" */
	int64_t at_ms;       /* signing time, the server's clock */
};

#define S3_UNSIGNED "UNSIGNED-PAYLOAD"
#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_QUERY_MAX 32
#define S3_HEADERS_MAX 32

/* All that is not A-Z a-z 0-9 - . _ ~ as %XX; '/' stays where slash says so. */
void s3_uri_encode(struct az_buf *out, struct az_str raw, bool slash);
/* The request target for the wire, path?query, exactly as it is signed. */
void s3_target(const struct s3_sign *q, struct az_buf *out);
/*
 * Headers to send, one "Name: value" line each ending in LF: host, x-amz-date,
 * x-amz-content-sha256, x-amz-security-token, those given, and authorization. Fails with
 * AZ_EINVAL (a control byte, too many) or AZ_ENOMEM.
 */
AZ_MUST_CHECK enum az_code s3_sign_headers(
    const struct s3_sign *q, struct az_buf *lines, struct az_err *err);
/* The target of a presigned request good for ttl_s (1..604800) seconds. The given headers
   must then be sent by whoever uses it. */
AZ_MUST_CHECK enum az_code s3_presign(
    const struct s3_sign *q, int ttl_s, struct az_buf *target, struct az_err *err);
/* The two intermediate texts, for the tests; presigning is what ttl_s > 0 says. */
AZ_MUST_CHECK enum az_code s3_canonical(const struct s3_sign *q, int ttl_s, struct az_buf *request,
    struct az_buf *to_sign, struct az_err *err);

#endif
