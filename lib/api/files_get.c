/* The bytes of one file: whose it is, which blob it is, what it is called. */
#include <stdio.h>
#include <azlon/path.h>
#include "files.h"
#include "send.h"

enum az_code
files_serve(struct az_rq *rq, const struct az_api *api, const struct az_bucket *b,
    struct az_str key, const struct az_file *f, struct az_err *err)
{
	struct api_object o = {.key = key,
	    .bytes = f->size,
	    .mime = az_path_mime(f->path),
	    .embed = files_by_link(rq)};
	struct az_buf disposition;
	char etag[80];
	enum az_code rc;

	snprintf(etag, sizeof etag, "\"%s\"", f->sha256);
	o.etag = etag;
	az_buf_init(&disposition, AZ_KIB(8));
	files_disposition(&disposition, az_path_base(f->path),
	    files_active(o.mime) || az_str_eqc(az_rq_query(rq, "download"), "1"));
	o.disposition = az_buf_str(&disposition);
	rc = az_buf_check(&disposition, "files.get", err);
	if (!rc)
		rc = api_send(rq, api, b, &o, err);
	az_buf_release(&disposition);
	return rc;
}

/* The caller's own, or one that a link lends. */
static enum az_code
reader(struct az_rq *rq, const struct az_api *api, struct az_str path, int n, struct az_str *wid,
    struct az_bucket *b, struct az_err *err)
{
	struct az_caller caller;
	enum az_code rc;

	if (files_by_link(rq)) {
		*wid = az_rq_param(rq, "id");
		return files_link_run(rq, api, path, n, b, err);
	}
	rc = api_caller_run(rq, api, &caller, wid, err);
	if (!rc)
		*b = az_bucket_of(caller.uid);
	return rc;
}

enum az_code
files_get(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	const struct az_file *f;
	struct az_manifest m;
	struct az_bucket b;
	struct az_str wid, path;
	struct az_buf key;
	enum az_code rc;
	int n;

	if (az_rq_query(rq, "format").p)
		return files_archive(rq, app, err);
	rc = files_path(az_rq_arena(rq), az_rq_param(rq, "path"), &path, err);
	if (!rc)
		rc = files_iteration(rq, &n, err);
	if (!rc)
		rc = reader(rq, api, path, n, &wid, &b, err);
	if (rc)
		return rc;
	rc = files_tree(api, az_rq_arena(rq), &b, wid, n, &m, err);
	if (rc)
		return rc;
	f = az_manifest_find(&m, path);
	if (!f)
		return az_fail(err, AZ_ENOTFOUND, "files.get", "no such file");
	az_buf_init(&key, 2048);
	az_key_blob(&key, wid, az_file_blob(f));
	rc = az_buf_check(&key, "files.get", err);
	if (!rc)
		rc = files_serve(rq, api, &b, az_buf_str(&key), f, err);
	az_buf_release(&key);
	return rc;
}
