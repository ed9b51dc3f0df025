/* Copies within a bucket, made by the server: in one request, or in parts. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/limits.h>
#include "s3.h"

/* Of one request, far below S3's 5 GiB: a server may say nothing until it has copied all, and
   silence ends a call. */
#define COPY_BYTES (INT64_C(256) << 20)

static const char op[] = "store.copy";

/* "/bucket/key", encoded */
static enum az_code
source_of(const struct az_bucket *b, struct az_str key, struct az_buf *out, struct az_err *err)
{
	az_buf_addf(out, "/%s/", b->name);
	s3_uri_encode(out, key, true);
	return az_buf_check(out, op, err);
}

/* Part by part, each a range of the source, which must stay the same. */
static enum az_code
copy_parts(struct s3 *s, const struct az_bucket *b, struct az_str src, struct az_str to,
    const struct s3_reply *is, struct az_err *err)
{
	int64_t bytes = is->bytes, most = (bytes + S3_PARTS_MAX - 1) / S3_PARTS_MAX;
	int64_t step = most > COPY_BYTES ? most : COPY_BYTES;
	size_t n = (size_t)((bytes + step - 1) / step);
	char(*etags)[40] = calloc(n, sizeof *etags);
	struct s3_upload_id id;
	char tag[130];
	enum az_code rc;

	if (!etags)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	snprintf(tag, sizeof tag, "\"%s\"", is->etag);
	rc = s3_parts_begin(s, b, to, &id, err);
	if (rc) {
		free(etags);
		return rc;
	}
	for (size_t i = 0; !rc && i < n; i++) {
		int64_t from = (int64_t)i * step, end = from + step;
		struct s3_etag e = {.etag = ""};
		struct s3_xml_opts xml = s3_etag_opts(&e, "CopyPartResult");
		char number[12], range[64];
		struct s3_kv q[2] = {
		    {AZ_S("partNumber"), {number, 0}}, {AZ_S("uploadId"), az_str_c(id.id)}};
		struct s3_kv h[3] = {{AZ_S("x-amz-copy-source"), src},
		    {AZ_S("x-amz-copy-source-range"), {range, 0}},
		    {AZ_S("x-amz-copy-source-if-match"), az_str_c(tag)}};
		struct s3_call c = {.method = "PUT",
		    .bucket = b,
		    .key = to,
		    .query = q,
		    .n_query = 2,
		    .headers = h,
		    .n_headers = is->etag[0] ? 3 : 2,
		    .xml = &xml};
		struct s3_reply r;

		if (end > bytes)
			end = bytes;
		q[0].value.n = (size_t)snprintf(number, sizeof number, "%zu", i + 1);
		h[1].value.n = (size_t)snprintf(
		    range, sizeof range, "bytes=%lld-%lld", (long long)from, (long long)end - 1);
		rc = s3_do(s, &c, &r, err);
		if (!rc && (!e.etag[0] || strlen(e.etag) >= sizeof *etags))
			rc = az_fail(err, AZ_EUPSTREAM, op, "a part came back without its tag");
		if (!rc)
			memcpy(etags[i], e.etag, strlen(e.etag) + 1);
	}
	if (!rc)
		rc = s3_parts_complete(s, b, to, &id, (const char(*)[40])etags, n, err);
	if (rc)
		s3_parts_abort(s, b, to, &id);
	free(etags);
	return rc;
}

enum az_code
s3_copy(struct az_store *base, const struct az_bucket *b, struct az_str from, struct az_str to,
    struct az_err *err)
{
	struct s3 *s = (struct s3 *)base;
	struct s3_etag e = {.etag = ""};
	struct s3_xml_opts xml = s3_etag_opts(&e, "CopyObjectResult");
	struct s3_kv source = {AZ_S("x-amz-copy-source"), {NULL, 0}};
	struct s3_call c = {.method = "PUT",
	    .bucket = b,
	    .key = to,
	    .headers = &source,
	    .n_headers = 1,
	    .xml = &xml};
	struct s3_call head = {.method = "HEAD", .bucket = b, .key = from};
	struct s3_reply r, is;
	struct az_buf src;
	enum az_code rc = s3_do(s, &head, &is, err);

	if (!rc && is.bytes < 0)
		rc = az_fail(err, AZ_EUPSTREAM, op, "an object without a size");

	az_buf_init(&src, 4096);
	if (!rc)
		rc = source_of(b, from, &src, err);
	source.value = az_buf_str(&src);
	if (!rc)
		rc = s3_free_name(s, b, to, err);
	if (!rc)
		rc = is.bytes > COPY_BYTES ? copy_parts(s, b, source.value, to, &is, err)
					   : s3_do(s, &c, &r, err);
	az_buf_release(&src);
	return rc;
}
