/*
 * The bytes of one object. We authorise and name them; where the store has an address for
 * them, nginx moves them (X-Accel-Redirect): from a directory with its own Range and
 * If-Range against our tag, from S3 with the range that we found to be meant.
 */
#include <azlon/limits.h>
#include "send.h"

#define CHUNK AZ_KIB(64)
#define HEADER_BYTES AZ_KIB(8) /* a presigned path of the longest key fits */

static const char op[] = "api.send";

struct part {
	enum az_range is;
	int64_t from, n;
};

static enum az_code
refuse_range(struct az_rq *rq, const struct api_object *o, struct az_err *err)
{
	/* a failure's document would lose the header that this one needs */
	az_rs_headerf(rq, "Content-Range", "bytes */%lld", (long long)o->bytes);
	(void)az_fail(err, AZ_ERANGE, op, "no such bytes");
	return az_rs_problem(rq, 0, err, NULL, 0);
}

static void
describe(struct az_rq *rq, const struct api_object *o)
{
	az_rs_header(rq, "Content-Type", az_str_c(o->mime));
	if (o->disposition.n)
		az_rs_header(rq, "Content-Disposition", o->disposition);
}

static enum az_code
by_nginx(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b,
    const struct api_object *o, const struct part *part, struct az_err *err)
{
	const char *method = az_rq_is_head(rq) ? "HEAD" : "GET";
	struct az_buf target, path;
	enum az_code rc;

	az_buf_init(&target, HEADER_BYTES);
	az_buf_init(&path, HEADER_BYTES);
	rc = az_store_accel(api->store, b, o->key, method, o->mime, &target, &path, err);
	/* over a file of its own nginx would weigh If-Match against a tag of its own */
	if (!rc && !path.n && az_rq_header(rq, "If-Match").p)
		rc = AZ_EUNSUPPORTED;
	if (!rc)
		rc = az_buf_check(&target, op, err);
	if (!rc)
		rc = az_buf_check(&path, op, err);
	if (rc)
		goto out;
	describe(rq, o);
	az_rs_header(rq, "X-Azlon-ETag", az_str_c(o->etag));
	if (o->embed)
		az_rs_header(rq, "X-Azlon-Embed", AZ_S("1"));
	if (path.n) {
		az_rs_header(rq, "X-S3-Path", az_buf_str(&path));
		if (part->is == AZ_RANGE_PART)
			az_rs_headerf(rq, "X-Azlon-Range", "bytes=%lld-%lld", (long long)part->from,
			    (long long)(part->from + part->n - 1));
	}
	az_rs_header(rq, "X-Accel-Redirect", az_buf_str(&target));
out:
	az_buf_release(&target);
	az_buf_release(&path);
	return rc;
}

static enum az_code
write_all(struct az_rq *rq, struct az_get *g, int64_t left, struct az_err *err)
{
	char *chunk = az_arena_alloc(az_rq_arena(rq), CHUNK);
	enum az_code rc = AZ_OK;

	if (!chunk)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	while (!rc && left) {
		size_t got;

		rc = az_store_get_read(
		    g, chunk, left < (int64_t)CHUNK ? (size_t)left : CHUNK, &got, err);
		if (!rc && got == 0)
			rc = az_fail(err, AZ_EIO, op, "the object ended early");
		if (!rc)
			rc = az_rs_write(rq, az_str_n(chunk, got), err);
		left -= (int64_t)got;
	}
	return rc;
}

static enum az_code
from_here(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b,
    const struct api_object *o, const struct part *part, struct az_err *err)
{
	struct az_get *g = NULL;
	struct az_obj obj;
	enum az_code rc = az_store_get_open(api->store, b, o->key, part->from, &obj, &g, err);

	if (!rc && obj.bytes != o->bytes)
		rc = az_fail(err, AZ_EIO, op, "the object has not the size it should have");
	if (rc)
		goto out;
	describe(rq, o);
	az_rs_status(rq, part->is == AZ_RANGE_PART ? 206 : 200);
	az_rs_header(rq, "ETag", az_str_c(o->etag));
	az_rs_header(rq, "Accept-Ranges", AZ_S("bytes"));
	/* what nginx adds where it moves the bytes itself */
	az_rs_header(rq, "Content-Security-Policy", AZ_S("sandbox; default-src 'none'"));
	az_rs_header(rq, "Cross-Origin-Resource-Policy",
	    o->embed ? AZ_S("cross-origin") : AZ_S("same-origin"));
	az_rs_headerf(rq, "Content-Length", "%lld", (long long)part->n);
	if (part->is == AZ_RANGE_PART)
		az_rs_headerf(rq, "Content-Range", "bytes %lld-%lld/%lld", (long long)part->from,
		    (long long)(part->from + part->n - 1), (long long)o->bytes);
	if (!az_rq_is_head(rq))
		rc = write_all(rq, g, part->n, err);
out:
	az_store_get_close(g);
	return rc;
}

enum az_code
api_send(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b,
    const struct api_object *o, struct az_err *err)
{
	struct az_str match = az_rq_header(rq, "If-Match");
	struct az_str none_match = az_rq_header(rq, "If-None-Match");
	struct az_str if_range = az_rq_header(rq, "If-Range");
	struct az_str range = az_rq_header(rq, "Range");
	struct az_str etag = az_str_c(o->etag);
	struct part part = {AZ_RANGE_NONE, 0, o->bytes};
	enum az_code rc;

	if (match.p && !send_tag_listed(match, etag, true))
		return az_fail(err, AZ_EPRECOND, op, "the object is another one");
	az_rs_header(rq, "Cache-Control", AZ_S("private, no-store"));
	if (none_match.p && send_tag_listed(none_match, etag, false)) {
		az_rs_status(rq, 304);
		az_rs_header(rq, "ETag", etag);
		return AZ_OK;
	}
	if (range.p && (!if_range.p || az_str_eq(if_range, etag)))
		part.is = az_range_of(range, o->bytes, &part.from, &part.n);
	if (part.is == AZ_RANGE_NOT_THERE)
		return refuse_range(rq, o, err);
	rc = by_nginx(rq, api, b, o, &part, err);
	if (rc == AZ_EUNSUPPORTED)
		rc = from_here(rq, api, b, o, &part, err);
	return api_store_rc(rc, err);
}
