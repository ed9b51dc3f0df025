/* GET /files/{id}: the tree of a run as a page, nested, drawn, in the original's shape,
   or as an archive. */
#include "files.h"

static enum az_code
answer(struct az_rq *rq, const struct az_manifest *m, struct az_str wid, struct az_buf *out,
    struct az_err *err)
{
	struct az_str view = az_rq_query(rq, "view");
	struct az_str prefix = az_rq_query(rq, "prefix");
	struct az_str accept = az_rq_header(rq, "Accept");
	enum az_code rc = AZ_OK;
	int64_t limit;

	if (az_str_starts(az_str_trim(accept), AZ_S("text/plain")) && !view.p) {
		files_view_drawn(m, prefix, wid, out);
		rc = az_buf_check(out, "files.list", err);
		return rc ? rc : az_rs_text(rq, 200, az_buf_str(out), err);
	}
	if (az_str_eqc(view, "tree")) {
		files_view_tree(m, prefix, out);
	} else if (az_str_eqc(view, "legacy")) {
		files_view_legacy(m, out);
	} else if (view.p) {
		return az_fail(err, AZ_EINVAL, "files.list", "view: \"tree\" or \"legacy\"");
	} else {
		rc = az_rq_query_i64(rq, "limit", 1, 1000, FILES_PAGE, &limit, err);
		if (!rc)
			rc = files_view_page(m, NULL, AZ_S(""), prefix, (size_t)limit,
			    az_rq_query(rq, "cursor"), out, err);
	}
	if (!rc)
		rc = az_buf_check(out, "files.list", err);
	return rc ? rc : az_rs_json(rq, 200, az_buf_str(out), err);
}

enum az_code
files_list(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_caller caller;
	struct az_manifest m;
	struct az_bucket b;
	struct az_buf out;
	struct az_str wid;
	enum az_code rc;
	int n;

	/* nginx sends these to the archive pool; without it they work here */
	if (az_rq_query(rq, "format").p)
		return files_archive(rq, app, err);
	rc = api_caller_run(rq, api, &caller, &wid, err);
	if (!rc)
		rc = files_iteration(rq, &n, err);
	if (rc)
		return rc;
	b = az_bucket_of(caller.uid);
	rc = files_tree(api, az_rq_arena(rq), &b, wid, n, &m, err);
	if (rc)
		return rc;
	az_buf_init(&out, FILES_TEXT_BYTES);
	az_rs_header(rq, "Cache-Control", AZ_S("private, no-store"));
	rc = answer(rq, &m, wid, &out, err);
	az_buf_release(&out);
	return rc;
}

enum az_code
files_get_set(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_api *api = app;
	struct az_str set = az_rq_param(rq, "set");
	struct az_caller caller;
	struct az_manifest m;
	struct az_bucket b;
	struct az_buf out;
	int64_t limit;
	enum az_code rc = api_caller(rq, api, AZ_S(""), &caller, err);

	if (!rc)
		rc = az_rq_query_i64(rq, "limit", 1, 1000, FILES_PAGE, &limit, err);
	if (rc)
		return rc;
	b = az_bucket_of(caller.uid);
	az_manifest_init(&m, az_rq_arena(rq));
	rc = files_set_load(api, &b, set, &m, err);
	if (rc)
		return rc;
	az_buf_init(&out, FILES_TEXT_BYTES);
	rc = files_view_page(&m, "input_id", set, az_rq_query(rq, "prefix"), (size_t)limit,
	    az_rq_query(rq, "cursor"), &out, err);
	if (!rc)
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}
