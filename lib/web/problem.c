/* application/problem+json (RFC 9457), as API.md "Errors" has it. */
#include <azlon/json.h>
#include "web.h"

/* What clients compare with; az_code_name() is for our log. */
static const char *
public_code(enum az_code code)
{
	switch (code) {
	case AZ_EINVAL:
		return "malformed";
	case AZ_EAUTH:
		return "unauthorized";
	case AZ_EPERM:
		return "forbidden";
	case AZ_ENOTFOUND:
		return "not_found";
	case AZ_EMETHOD:
		return "method_not_allowed";
	case AZ_ECONFLICT:
		return "conflict";
	case AZ_EPRECOND:
		return "precondition_failed";
	case AZ_ETOOBIG:
		return "too_large";
	case AZ_ETYPE:
		return "unsupported_type";
	case AZ_ERANGE:
		return "bad_range";
	case AZ_EUNPROC:
		return "unprocessable";
	case AZ_EQUOTA:
		return "quota";
	case AZ_ECANCELLED:
		return "cancelled";
	case AZ_EUNSUPPORTED:
		return "unsupported";
	case AZ_EUPSTREAM:
		return "upstream";
	case AZ_EUNAVAIL:
		return "unavailable";
	case AZ_ETIMEOUT:
		return "timeout";
	case AZ_OK:
	case AZ_EIO:
	case AZ_ENOMEM:
	case AZ_EINTERNAL:
	case AZ_ECODES:
		break;
	}
	return "internal";
}

static struct az_str
detail_of(const struct az_err *e)
{
	bool own = e->code == AZ_EINVAL || e->code == AZ_EUNPROC || e->code == AZ_ECONFLICT ||
		   e->code == AZ_ETOOBIG || e->code == AZ_EQUOTA ||
		   ((e->code == AZ_EUNAVAIL || e->code == AZ_EPERM || e->code == AZ_EAUTH) &&
		       e->reason[0]);

	return az_str_c(own && e->text[0] ? e->text : az_code_sentence(e->code));
}

/* RFC 6750: who sent no token is told no more than that one is wanted. */
static void
challenge(struct az_rq *rq, int status, const char *code)
{
	static const char name[] = "WWW-Authenticate";

	if (web_header_set(rq, name))
		return;
	if (status == 403 && strcmp(code, "insufficient_scope") == 0)
		az_rs_header(
		    rq, name, AZ_S("Bearer realm=\"azlon\", error=\"insufficient_scope\""));
	else if (status == 401 && az_str_starts(az_str_c(code), AZ_S("token_")))
		az_rs_header(rq, name, AZ_S("Bearer realm=\"azlon\", error=\"invalid_token\""));
	else if (status == 401)
		az_rs_header(rq, name, AZ_S("Bearer realm=\"azlon\""));
}

enum az_code
az_rs_problem(struct az_rq *rq, int status, const struct az_err *e,
    const struct az_problem_item *items, size_t n)
{
	const char *code = e->reason[0] ? e->reason : public_code(e->code);
	int64_t retry_s = (e->retry_after_ms + 999) / 1000;
	struct az_err err = AZ_ERR_INIT;
	struct az_jw w;
	struct az_buf b, type;
	enum az_code rc;

	if (status == 0)
		status = az_code_http(e->code);
	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_buf_init(&type, 80);
	az_buf_addf(&type, "urn:azlon:problem:%s", code);
	az_jw_ks(&w, "type", az_buf_str(&type));
	az_buf_release(&type);
	az_jw_kc(&w, "title", web_reason(status));
	az_jw_ki(&w, "status", status);
	az_jw_ks(&w, "detail", detail_of(e));
	az_jw_ks(&w, "instance", rq->path);
	az_jw_kc(&w, "code", code);
	az_jw_ks(&w, "request_id", rq->id);
	if (retry_s > 0)
		az_jw_ki(&w, "retry_after_s", retry_s);
	if (n) {
		az_jw_key(&w, "errors");
		az_jw_arr(&w);
		for (size_t i = 0; i < n; i++) {
			az_jw_obj(&w);
			az_jw_kraw(&w, "loc", az_str_c(items[i].loc));
			az_jw_kc(&w, "msg", items[i].msg);
			az_jw_kc(&w, "type", items[i].type);
			az_jw_end(&w, '}');
		}
		az_jw_end(&w, ']');
	}
	az_jw_end(&w, '}');
	if ((rc = az_buf_check(&b, "web.problem", &err)) == AZ_OK) {
		if (!web_header_set(rq, "Content-Type"))
			az_rs_header(rq, "Content-Type", AZ_S("application/problem+json"));
		if (retry_s > 0 && !web_header_set(rq, "Retry-After"))
			az_rs_headerf(rq, "Retry-After", "%lld", (long long)retry_s);
		challenge(rq, status, code);
		rc = az_rs_json(rq, status, az_buf_str(&b), &err);
	}
	az_buf_release(&b);
	return rc;
}
