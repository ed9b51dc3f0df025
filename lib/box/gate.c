/* Who may call: Host, API key, access token; and the error bodies of E2B. */
#include "box.h"

#include <stdio.h>
#include <azlon/crypto.h>

/* Only names of this host's loopback with our port: a page in a browser that had its
   name pointed at 127.0.0.1 sends another Host. */
enum az_code
check_host(struct az_rq *rq, const struct az_box_server *s, struct az_err *err)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
	struct az_str host = az_rq_header(rq, "Host");
	char want[64];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(want, sizeof want, "%s:%d", names[i], s->port);
		if (az_str_ieq(host, az_str_c(want)))
			return AZ_OK;
	}
	return az_fail(err, AZ_EPERM, "box.host", "Invalid host");
}

enum az_code
check_key(struct az_rq *rq, const struct az_box_server *s, struct az_err *err)
{
	enum az_code rc = check_host(rq, s, err);

	if (!rc && !az_ct_eq(az_rq_header(rq, "X-API-Key"), az_str_c(s->key)))
		rc = az_fail(err, AZ_EAUTH, "box.key", "Invalid API key");
	return rc;
}

enum az_code
rs_error(struct az_rq *rq, int status, const char *message, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "code", status);
	az_jw_kc(&w, "message", message);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&b, "box.error", err)))
		rc = az_rs_json(rq, status, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

static bool
may_show(const struct az_err *e)
{
	switch (e->code) {
	case AZ_EINVAL:
	case AZ_EAUTH:
	case AZ_EPERM:
	case AZ_ENOTFOUND:
	case AZ_ECONFLICT:
	case AZ_EPRECOND:
	case AZ_ETOOBIG:
	case AZ_EUNPROC:
	case AZ_EQUOTA:
	case AZ_EUNSUPPORTED:
		return e->text[0];
	case AZ_OK:
	case AZ_EMETHOD:
	case AZ_ETYPE:
	case AZ_ERANGE:
	case AZ_ECANCELLED:
	case AZ_EIO:
	case AZ_ENOMEM:
	case AZ_EINTERNAL:
	case AZ_EUPSTREAM:
	case AZ_EUNAVAIL:
	case AZ_ETIMEOUT:
	case AZ_ECODES:
	default:
		return e->reason[0] && e->text[0];
	}
}

enum az_code
az_box_problem(struct az_rq *rq, void *app, const struct az_err *e, int status)
{
	struct az_buf b;
	struct az_jw w;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	(void)app;
	if (!status)
		status = az_code_http(e->code);
	if (az_str_eqc(az_str_c(e->reason), BOX_GONE))
		status = 502; /* as for one that is not there */
	if (e->code == AZ_EPRECOND)
		status = 400; /* 412 is not among the protocol's */
	if (az_str_eqc(az_str_c(e->reason), "no_space"))
		status = 507;
	if (az_str_eqc(az_str_c(e->reason), "idempotency_in_progress")) {
		az_rs_header(rq, "Should-Retry", AZ_S("true"));
		az_rs_header(rq, "Retry-After", AZ_S("1"));
	}
	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "code", status);
	az_jw_kc(&w, "message", may_show(e) ? e->text : az_code_sentence(e->code));
	if (e->reason[0])
		az_jw_kc(&w, "error_code", e->reason);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&b, "box.error", &err)))
		rc = az_rs_json(rq, status, az_buf_str(&b), &err);
	az_buf_release(&b);
	return rc;
}

static void
unref(void *box)
{
	box_unref(box);
}

static enum az_code
not_found(struct az_rq *rq, struct az_box_server *s, struct az_str id, struct az_err *err)
{
	char text[192] = BOX_NOT_FOUND, why[128];
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	/* our client looks for why */
	if (past_why(s, id, why))
		snprintf(text, sizeof text, BOX_NOT_FOUND ": %s", why);
	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "sandboxId", az_str_sub(id, 0, 64));
	az_jw_kc(&w, "message", text);
	az_jw_ki(&w, "code", 502);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&b, "box.error", err)))
		rc = az_rs_json(rq, 502, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

enum az_code
envd_find(
    struct az_rq *rq, struct az_box_server *s, struct box **out, bool *stop, struct az_err *err)
{
	struct az_str id = az_rq_header(rq, "E2b-Sandbox-Id");
	struct box *b;
	enum az_code rc = check_host(rq, s, err);

	*stop = true;
	if (rc)
		return rc;
	if (!id.n)
		return rs_error(rq, 400, "missing header: E2b-Sandbox-Id", err);
	b = box_find(s, id);
	if (!b)
		return not_found(rq, s, id, err);
	if (!az_arena_defer(az_rq_arena(rq), unref, b))
		return az_fail(err, AZ_ENOMEM, "box.envd", "out of memory");
	*out = b;
	*stop = false;
	return AZ_OK;
}

enum az_code
envd_awake(struct az_rq *rq, struct box *b, bool *stop, struct az_err *err)
{
	/* one that is paused is not there, as in E2B, or is woken; looking does not wake it */
	*stop = !box_ready(b, !az_str_eqc(az_rq_path(rq), "/health"));
	return *stop ? not_found(rq, b->srv, az_str_c(b->id), err) : AZ_OK;
}

enum az_code
envd_box(
    struct az_rq *rq, struct az_box_server *s, struct box **out, bool *stop, struct az_err *err)
{
	struct az_str token = az_rq_header(rq, "X-Access-Token");
	enum az_code rc = envd_find(rq, s, out, stop, err);

	/* "/health" of a box is open, as in E2B */
	if (rc || *stop)
		return rc;
	if (az_str_eqc(az_rq_path(rq), "/health") || az_ct_eq(token, az_str_c((*out)->token)))
		return envd_awake(rq, *out, stop, err);
	*stop = true;
	return rs_error(rq, 401,
	    "unauthorized access, please provide a valid "
	    "access token or method signature",
	    err);
}

enum az_code
check_username(struct az_str user, struct az_err *err)
{
	if (!user.n || az_str_eqc(user, "user"))
		return AZ_OK;
	return az_fail(
	    err, AZ_EAUTH, "box.user", "invalid username: '%.*s'", AZ_FMT(az_str_sub(user, 0, 64)));
}

enum az_code
envd_user(struct az_rq *rq, struct az_err *err)
{
	struct az_str h = az_rq_header(rq, "Authorization");
	struct az_str user;
	struct az_buf b;
	enum az_code rc = AZ_OK;

	if (!az_str_starts(h, AZ_S("Basic ")))
		return AZ_OK;
	az_buf_init(&b, AZ_KIB(1));
	if (!az_base64_decode(&b, az_str_trim(az_str_sub(h, 6, h.n)))) {
		rc = az_fail(err, AZ_EAUTH, "box.user", "invalid credentials");
	} else {
		struct az_str rest = az_buf_str(&b);

		if (az_str_cut(&rest, ':', &user))
			rc = check_username(user, err);
		else
			rc = az_fail(err, AZ_EAUTH, "box.user", "invalid credentials");
	}
	az_buf_release(&b);
	return rc;
}
