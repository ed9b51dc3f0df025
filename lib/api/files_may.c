/*
 * May this caller upload? nginx asks before it takes the body, which it keeps on its disk until we
 * are given it: of somebody unknown that would be a way to fill the disk.
 */
#include "files.h"

/* Of an answer to such a question nginx shows nothing: so what it is to say stands in headers. */
static enum az_code
refuse(struct az_rq *rq, const struct az_err *why, struct az_err *err)
{
	const char *code = why->code == AZ_EAUTH ? "unauthorized" : "forbidden";
	struct az_buf detail;
	struct az_jw w;

	az_buf_init(&detail, 2048);
	az_jw_init(&w, &detail);
	az_jw_cstr(&w, why->reason[0] ? why->text : az_code_sentence(why->code));
	az_rs_header(rq, "X-Azlon-Code", az_str_c(why->reason[0] ? why->reason : code));
	az_rs_header(rq, "X-Azlon-Detail", az_buf_str(&detail));
	az_buf_release(&detail);
	if (az_rs_problem(rq, 0, why, NULL, 0))
		return az_fail(err, AZ_ENOMEM, "files.may", "out of memory");
	return AZ_OK;
}

enum az_code
files_may_upload(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_err why;
	enum az_code rc = api_may(rq, app, AZ_SCOPE_FILES_WRITE, err);

	if (rc == AZ_EAUTH || rc == AZ_EPERM || (rc == AZ_EUNAVAIL && err->reason[0])) {
		why = *err;
		if (rc == AZ_EUNAVAIL && why.retry_after_ms <= 0)
			why.retry_after_ms = 2000;
		return refuse(rq, &why, err);
	}
	if (!rc)
		az_rs_status(rq, 204);
	return rc;
}
