/*
 * The bytes of one file. We authorise and name them; where the store has an address for
 * it, nginx moves them (X-Accel-Redirect) and does Range and If-Range with our ETag.
 */
#include <stdio.h>
#include <azlon/path.h>
#include "files.h"

static enum az_code
describe(struct az_rq *rq, const struct az_file *f, struct az_err *err)
{
	const char *mime = az_path_mime(f->path);
	struct az_buf disposition;
	enum az_code rc;

	az_buf_init(&disposition, 8192);
	files_disposition(&disposition, az_path_base(f->path),
	    files_active(mime) || az_str_eqc(az_rq_query(rq, "download"), "1"));
	rc = az_buf_check(&disposition, "files.get", err);
	if (!rc) {
		az_rs_header(rq, "Content-Type", az_str_c(mime));
		az_rs_header(rq, "Content-Disposition", az_buf_str(&disposition));
	}
	az_buf_release(&disposition);
	return rc;
}

static enum az_code
stream(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b, struct az_str key,
    const struct az_file *f, struct az_str etag, struct az_err *err)
{
	struct az_str if_range = az_rq_header(rq, "If-Range");
	struct az_str range = az_rq_header(rq, "Range");
	int64_t from = 0, n = f->size;
	enum files_range part = FILES_WHOLE;
	struct az_get *g = NULL;
	struct az_obj o;
	enum az_code rc;
	char *chunk;

	if (range.p && (!if_range.p || az_str_eq(if_range, etag)))
		part = files_range(range, f->size, &from, &n);
	if (part == FILES_NOT_THERE) {
		/* the answer of an error does not keep headers, this one needs one */
		az_rs_headerf(rq, "Content-Range", "bytes */%lld", (long long)f->size);
		(void)az_fail(err, AZ_ERANGE, "files.get", "no such bytes");
		return az_rs_problem(rq, 416, err, NULL, 0);
	}
	rc = describe(rq, f, err);
	if (!rc)
		rc = az_store_get_open(api->store, b, key, from, &o, &g, err);
	if (!rc && o.bytes != f->size)
		rc = az_fail(
		    err, AZ_EIO, "files.get", "the object has not the size of its manifest");
	chunk = rc ? NULL : az_arena_alloc(az_rq_arena(rq), FILES_CHUNK);
	if (!rc && !chunk)
		rc = az_fail(err, AZ_ENOMEM, "files.get", "out of memory");
	if (rc) {
		rc = files_rc(rc, err);
		goto out;
	}
	az_rs_status(rq, part == FILES_PART ? 206 : 200);
	az_rs_header(rq, "ETag", etag);
	az_rs_header(rq, "Accept-Ranges", AZ_S("bytes"));
	/* what nginx adds where it moves the bytes itself */
	az_rs_header(rq, "Content-Security-Policy", AZ_S("sandbox; default-src 'none'"));
	az_rs_header(rq, "Cross-Origin-Resource-Policy", AZ_S("same-origin"));
	az_rs_headerf(rq, "Content-Length", "%lld", (long long)n);
	if (part == FILES_PART)
		az_rs_headerf(rq, "Content-Range", "bytes %lld-%lld/%lld", (long long)from,
		    (long long)(from + n - 1), (long long)f->size);
	if (az_str_eqc(az_rq_method(rq), "HEAD"))
		goto out;
	while (!rc && n) {
		size_t got;

		rc = az_store_get_read(
		    g, chunk, n < (int64_t)FILES_CHUNK ? (size_t)n : FILES_CHUNK, &got, err);
		if (!rc && got == 0)
			rc = az_fail(err, AZ_EIO, "files.get", "the object ended early");
		if (!rc)
			rc = az_rs_write(rq, az_str_n(chunk, got), err);
		n -= (int64_t)got;
	}
out:
	az_store_get_close(g);
	return rc;
}

enum az_code
files_serve(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b,
    struct az_str key, const struct az_file *f, struct az_err *err)
{
	struct az_str none_match = az_rq_header(rq, "If-None-Match");
	struct az_str match = az_rq_header(rq, "If-Match");
	struct az_buf accel;
	char etag[80];
	enum az_code rc;

	snprintf(etag, sizeof etag, "\"%s\"", f->sha256);
	if (match.p && !files_etag_match(match, az_str_c(etag)))
		return az_fail(err, AZ_EPRECOND, "files.get", "the file is another one");
	az_rs_header(rq, "Cache-Control", AZ_S("private, no-store"));
	if (none_match.p && files_etag_match(none_match, az_str_c(etag))) {
		az_rs_status(rq, 304);
		az_rs_header(rq, "ETag", az_str_c(etag));
		return AZ_OK;
	}
	az_buf_init(&accel, 8192);
	/* nginx would weigh If-Match against a tag of its own and refuse ours */
	rc = match.p ? AZ_EUNSUPPORTED : az_store_accel(api->store, b, key, &accel, err);
	if (rc == AZ_OK && (rc = describe(rq, f, err)) == AZ_OK) {
		az_rs_header(rq, "X-Azlon-ETag", az_str_c(etag));
		az_rs_header(rq, "X-Accel-Redirect", az_buf_str(&accel));
	} else if (rc == AZ_EUNSUPPORTED) {
		rc = stream(rq, api, b, key, f, az_str_c(etag), err);
	}
	az_buf_release(&accel);
	return rc;
}

enum az_code
files_get(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	const struct az_file *f;
	struct az_caller caller;
	struct az_manifest m;
	struct az_bucket b;
	struct az_str wid, path;
	struct az_buf key;
	enum az_code rc;
	int n;

	if (az_rq_query(rq, "format").p)
		return files_archive(rq, app, err);
	rc = api_caller_run(rq, api, &caller, &wid, err);
	if (!rc)
		rc = files_path(az_rq_arena(rq), az_rq_param(rq, "path"), &path, err);
	if (!rc)
		rc = files_iteration(rq, &n, err);
	if (rc)
		return rc;
	b = az_bucket_of(caller.uid);
	rc = files_tree(api, az_rq_arena(rq), &b, wid, n, &m, err);
	if (rc)
		return rc;
	f = az_manifest_find(&m, path);
	if (!f)
		return az_fail(err, AZ_ENOTFOUND, "files.get", "no such file");
	az_buf_init(&key, 2048);
	az_key_blob(&key, wid, az_str_c(f->sha256));
	rc = az_buf_check(&key, "files.get", err);
	if (!rc)
		rc = files_serve(rq, api, &b, az_buf_str(&key), f, err);
	az_buf_release(&key);
	return rc;
}
