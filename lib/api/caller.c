#include <azlon/clock.h>
#include <azlon/flow.h>
#include <azlon/keys.h>
#include <azlon/log.h>
#include "caller.h"
#include "rates.h"

static bool
reads(const struct az_rq *rq)
{
	struct az_str method = az_rq_method(rq);

	return az_str_eqc(method, "GET") || az_str_eqc(method, "HEAD");
}

/* Has a page that is neither ours nor of the CORS list made the browser send it? nginx knows
   the list; AZLON_CORS is the Origin if that is on it. Programs send no Origin. */
static bool
by_foreign_page(const struct az_rq *rq)
{
	struct az_str origin = az_rq_header(rq, "Origin"), at = origin;

	if (!origin.p || az_str_eq(origin, az_rq_env(rq, "AZLON_CORS")))
		return false;
	if (az_str_starts(origin, AZ_S("http://")))
		at = az_str_sub(origin, 7, origin.n);
	else if (az_str_starts(origin, AZ_S("https://")))
		at = az_str_sub(origin, 8, origin.n);
	return !az_str_ieq(at, az_rq_header(rq, "Host"));
}

/* How a request came in, without anything that says who sent it. */
static struct az_auth_in
how(struct az_rq *rq)
{
	static const char *const proxies[] = {"X-Forwarded-For", "X-Forwarded-Host",
	    "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"};
	struct az_auth_in in = {
	    .host = az_rq_header(rq, "Host"), .foreign = !reads(rq) && by_foreign_page(rq)};

	for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
		in.forwarded |= az_rq_header(rq, proxies[i]).p != NULL;
	return in;
}

/* Which scope an API key needs for this route: by its first part and whether it reads. The
   files of a run are read beneath /files, what is known of it beneath /run_workflow. */
static unsigned
scope_of(const struct az_rq *rq)
{
	struct az_str path = az_rq_path(rq);
	bool files = az_str_eqc(path, "/files") || az_str_starts(path, AZ_S("/files/"));

	return files ? (reads(rq) ? AZ_SCOPE_FILES_READ : AZ_SCOPE_FILES_WRITE)
		     : (reads(rq) ? AZ_SCOPE_RUNS_READ : AZ_SCOPE_RUNS_WRITE);
}

static enum az_code
lacks(unsigned scope, struct az_err *err)
{
	struct az_buf b;

	az_buf_init(&b, 64);
	az_scopes_text(&b, scope);
	(void)az_fail(
	    err, AZ_EPERM, "api.caller", "The API key lacks the scope %s.", b.p ? b.p : "");
	az_buf_release(&b);
	return az_err_reason(err, "insufficient_scope");
}

/* What the request counts as, of those of its user. */
static enum rate_kind
kind_of(const struct az_rq *rq)
{
	struct az_str path = az_rq_path(rq), method = az_rq_method(rq);

	if (reads(rq))
		return RATE_READS;
	if (az_str_eqc(method, "POST") &&
	    (az_str_eqc(path, "/run_workflow") ||
		(az_str_starts(path, AZ_S("/run_workflow/")) && az_str_ends(path, AZ_S("/fork")))))
		return RATE_CREATES;
	return RATE_WRITES;
}

static enum az_code
counted(const struct az_api *api, enum rate_kind kind, struct az_str uid, struct az_err *err)
{
	static const char *const what[RATE_KINDS] = {
	    [RATE_READS] = "requests", [RATE_WRITES] = "changes", [RATE_CREATES] = "new runs"};
	int64_t wait_us;

	if (rates_take(api->rates, kind, uid, az_boot_us(), &wait_us))
		return AZ_OK;
	(void)az_fail(err, AZ_EQUOTA, "api.caller", "Too many %s from this user.", what[kind]);
	err->retry_after_ms = wait_us / 1000 + 1;
	return az_err_reason(err, "rate_limited");
}

enum az_code
api_caller(struct az_rq *rq, const struct az_api *api, struct az_str body_user,
    struct az_caller *out, struct az_err *err)
{
	struct az_auth_in in = how(rq);
	enum az_code rc;
	bool may;

	in.authorization = az_rq_header(rq, "Authorization");
	in.x_user_id = az_rq_header(rq, "X-User-ID");
	in.body_user = body_user;
	rc = az_auth_identify(api->auth, &in, az_rq_arena(rq), out, err);
	if (rc)
		return rc;
	may = (out->scopes & scope_of(rq)) != 0;
	/* A body that is not read yet may still say who it is. What a key may not do must not use
	   up what its user may. */
	if (body_user.p || !out->assumed)
		rc = counted(api, may ? kind_of(rq) : RATE_READS, out->uid, err);
	return rc || may ? rc : lacks(scope_of(rq), err);
}

bool
api_caller_still(struct az_rq *rq, const struct az_api *api, const struct az_caller *who)
{
	/* asked again and again: nothing of it may stay in the request's arena */
	struct az_arena *tmp = az_arena_new(AZ_KIB(64));
	struct az_auth_in in = how(rq);
	struct az_err err = AZ_ERR_INIT;
	struct az_caller now;
	enum az_code rc;
	bool still = true;

	if (!tmp)
		return true;
	in.authorization = az_rq_header(rq, "Authorization");
	in.x_user_id = az_rq_header(rq, "X-User-ID");
	rc = az_auth_identify(api->auth, &in, tmp, &now, &err);
	if (rc == AZ_OK)
		still = az_str_eq(now.uid, who->uid) && (now.scopes & who->scopes) == who->scopes;
	else
		still = rc != AZ_EAUTH && rc != AZ_EPERM;
	az_arena_free(tmp);
	return still;
}

enum az_code
api_may(struct az_rq *rq, const struct az_api *api, unsigned scope, struct az_err *err)
{
	struct az_auth_in in = how(rq);
	struct az_caller who;
	enum az_code rc;

	in.authorization = az_rq_header(rq, "Authorization");
	in.x_user_id = az_rq_header(rq, "X-User-ID");
	rc = az_auth_identify(api->auth, &in, az_rq_arena(rq), &who, err);
	return !rc && !(who.scopes & scope) ? lacks(scope, err) : rc;
}

enum az_code
api_anybody(struct az_rq *rq, const struct az_api *api, struct az_err *err)
{
	struct az_auth_in in = how(rq);
	struct az_caller nobody;
	enum az_code rc = az_auth_identify(api->auth, &in, az_rq_arena(rq), &nobody, err);

	return rc == AZ_EAUTH ? AZ_OK : rc;
}

bool
api_from_here(struct az_rq *rq)
{
	struct az_str from = az_rq_env(rq, "REMOTE_ADDR");

	return !how(rq).forwarded && (az_str_starts(from, AZ_S("127.")) ||
					 az_str_eqc(from, "::1") || az_str_eqc(from, "unix:"));
}

enum az_code
api_caller_run(struct az_rq *rq, const struct az_api *api, struct az_caller *out, struct az_str *id,
    struct az_err *err)
{
	struct az_str legacy = az_rq_query(rq, "legacy_user");
	enum az_code rc = api_caller(rq, api, AZ_S(""), out, err);

	if (rc != AZ_OK)
		return rc;
	*id = az_rq_param(rq, "id");
	if (!az_wid_owned_by(*id, out->uid) || (legacy.p && !az_str_eq(legacy, out->uid)))
		return az_fail(err, AZ_ENOTFOUND, "api.run", "no such run");
	az_log_context(az_rq_id(rq), *id);
	return AZ_OK;
}

enum az_code
api_json_type(struct az_rq *rq, struct az_err *err)
{
	struct az_str rest = az_rq_header(rq, "Content-Type"), type = {"", 0};

	if (az_str_cut(&rest, ';', &type))
		type = az_str_trim(type);
	if (az_str_ieq(type, AZ_S("application/json")) ||
	    (az_str_starts(type, AZ_S("application/")) && az_str_ends(type, AZ_S("+json"))))
		return AZ_OK;
	return az_fail(err, AZ_ETYPE, "api.body", "the body must be application/json");
}

static enum az_code
away(enum az_code rc, struct az_err *err, const char *part, const char *text)
{
	if (rc != AZ_EUNAVAIL && rc != AZ_ETIMEOUT && rc != AZ_EUPSTREAM && rc != AZ_EIO)
		return rc;
	az_log(AZ_WARN, "api.dependency", AZ_KC("part", part), AZ_KE(err));
	az_fail(err, AZ_EUNAVAIL, "api", "%s", text);
	err->retry_after_ms = 2000;
	return az_err_reason(err, part);
}

enum az_code
api_engine_rc(enum az_code rc, struct az_err *err)
{
	return away(rc, err, "engine",
	    "The workflow engine cannot be reached; nothing was lost. Try again.");
}

enum az_code
api_store_rc(enum az_code rc, struct az_err *err)
{
	/* it is there, but takes no more: said as it is */
	if (rc == AZ_EUNAVAIL && strcmp(err->reason, "store_full") == 0)
		return rc;
	return away(rc, err, "store", "The file store cannot be reached. Try again.");
}

enum az_code
api_list_query(struct az_list_query *q, struct az_str uid, struct az_arena *a, struct az_err *err)
{
	struct az_buf b;

	az_buf_init(&b, 256);
	az_wid_prefix(&b, uid);
	q->uid = uid;
	q->type = az_str_c(az_flow_coding.name);
	q->prefix = az_arena_str(a, az_buf_str(&b));
	az_buf_release(&b);
	return q->prefix.p ? AZ_OK : az_fail(err, AZ_ENOMEM, "api.list", "out of memory");
}

bool
api_own_row(const struct az_run_info *r, struct az_str uid)
{
	return az_wid_owned_by(r->workflow_id, uid) && az_str_eqc(r->type, az_flow_coding.name) &&
	       (r->uid.n == 0 || az_str_eq(r->uid, uid));
}
