/* An upload in parts: its beginning and its ends. */
#include <stdio.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "s3.h"

static const char op[] = "store.put";

enum az_code
s3_parts_begin(struct s3 *s, const struct az_bucket *b, struct az_str key, struct s3_upload_id *id,
    struct az_err *err)
{
	struct s3_xml_opts xml = s3_upload_id_opts(id);
	struct s3_kv q = {AZ_S("uploads"), AZ_S("")};
	struct s3_call c = {
	    .method = "POST", .bucket = b, .key = key, .query = &q, .n_query = 1, .xml = &xml};
	struct s3_reply r;
	enum az_code rc = s3_bucket_make(s, b, err);

	if (!rc)
		rc = s3_do(s, &c, &r, err);
	if (rc == AZ_ENOTFOUND) {
		/* somebody removed the bucket since */
		s3_bucket_forget(s, b);
		rc = s3_bucket_make(s, b, err);
		if (!rc)
			rc = s3_do(s, &c, &r, err);
	}
	return rc;
}

static int
nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The tag that parts with these tags come to: the MD5 of their MD5s. Nothing where a server's
   tags are no MD5s. */
static enum az_code
tag_of(const char (*etags)[40], size_t n, char out[48], struct az_err *err)
{
	unsigned char digest[16];
	struct az_buf raw;
	char hex[33];
	bool ok = true;
	enum az_code rc;

	out[0] = '\0';
	az_buf_init(&raw, n * sizeof digest);
	for (size_t i = 0; ok && i < n; i++) {
		ok = strlen(etags[i]) == 32;
		for (size_t k = 0; ok && k < 32; k += 2) {
			int high = nibble(etags[i][k]), low = nibble(etags[i][k + 1]);

			ok = high >= 0 && low >= 0;
			if (ok)
				az_buf_addch(&raw, (char)(high * 16 + low));
		}
	}
	rc = az_buf_check(&raw, op, err);
	if (ok && !rc) {
		az_md5(az_buf_str(&raw), digest);
		az_hex(digest, sizeof digest, hex);
		snprintf(out, 48, "%s-%zu", hex, n);
	}
	az_buf_release(&raw);
	return rc;
}

/* It failed, but perhaps only its answer got lost: is the object there, and of these parts? */
static enum az_code
after_all(struct s3 *s, const struct az_bucket *b, struct az_str key, const char (*etags)[40],
    size_t n, enum az_code why, struct az_err *err)
{
	struct s3_call c = {.method = "HEAD", .bucket = b, .key = key};
	struct az_err now = AZ_ERR_INIT;
	struct s3_reply r;
	char want[48];

	if (why != AZ_EUNAVAIL && why != AZ_ETIMEOUT && why != AZ_ENOTFOUND && why != AZ_EUPSTREAM)
		return why;
	if (!tag_of(etags, n, want, &now) && want[0] && !s3_do(s, &c, &r, &now) &&
	    !strcmp(r.etag, want))
		return AZ_OK;
	if (why == AZ_ENOTFOUND)
		return az_fail(err, AZ_EUNAVAIL, op, "the file store has lost the upload");
	return why;
}

enum az_code
s3_parts_complete(struct s3 *s, const struct az_bucket *b, struct az_str key,
    const struct s3_upload_id *id, const char (*etags)[40], size_t n, struct az_err *err)
{
	struct s3_etag e = {.etag = ""};
	struct s3_xml_opts xml = s3_etag_opts(&e, "CompleteMultipartUploadResult");
	struct s3_kv q = {AZ_S("uploadId"), az_str_c(id->id)};
	struct s3_call c = {
	    .method = "POST", .bucket = b, .key = key, .query = &q, .n_query = 1, .xml = &xml};
	struct az_buf body;
	struct s3_reply r;
	enum az_code rc;

	az_buf_init(&body, AZ_MIB(2));
	s3_xml_complete(&body, etags, n);
	c.body = az_buf_str(&body);
	rc = az_buf_check(&body, op, err);
	if (!rc)
		rc = s3_do(s, &c, &r, err);
	az_buf_release(&body);
	return rc ? after_all(s, b, key, etags, n, rc, err) : AZ_OK;
}

void
s3_parts_abort(
    struct s3 *s, const struct az_bucket *b, struct az_str key, const struct s3_upload_id *id)
{
	struct s3_kv q = {AZ_S("uploadId"), az_str_c(id->id)};
	struct s3_call c = {.method = "DELETE", .bucket = b, .key = key, .query = &q, .n_query = 1};
	struct s3_reply r;

	/* best effort: the server sweeps what is left */
	(void)!s3_do(s, &c, &r, NULL);
}
