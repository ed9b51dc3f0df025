/* Pausing, resuming and connecting: the routes. */
#include "control.h"

/* What pause.c says, in the words and numbers of this protocol. */
static enum az_code
refine(struct az_rq *rq, const struct box *b, enum az_code rc, struct az_err *err)
{
	if (control_gone(rc, err))
		return control_unknown(az_str_c(b->id), err);
	if (rc == AZ_EUNAVAIL)
		az_rs_header(rq, "Retry-After", AZ_S("1"));
	return rc;
}

enum az_code
control_pause(struct az_rq *rq, void *app, struct az_err *err)
{
	struct box_pause how = {.by = "request"};
	const struct az_json *body;
	struct box *b;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = control_body(rq, &body, err)) &&
	    !(rc = control_bool(body, "memory", true, &how.memory, err)) &&
	    !(rc = control_bool(body, "requireHealthyGuest", false, &how.healthy, err)) &&
	    !(rc = refine(rq, b, box_pause(b, &how, err), err)))
		rc = control_done(rq, err);
	box_unref(b);
	return rc;
}

/* 201 with the sandbox when it was paused; *rest: what the body says besides. */
static enum az_code
resume(struct az_rq *rq, struct box *b, const struct az_json *body, int64_t dflt_s,
    bool *was_paused, struct az_err *err)
{
	const struct seconds_wish w = {.min = 1, .max = TTL_MAX_S, .dflt = dflt_s};
	int64_t s;
	bool memory;
	enum az_code rc;

	if ((rc = control_seconds(body, "timeout", &w, &s, err)) ||
	    (rc = control_bool(body, "memory", true, &memory, err)))
		return rc;
	return refine(rq, b, box_resume(b, memory, s, "request", was_paused, err), err);
}

static enum az_code
connect_route(struct az_rq *rq, void *app, int64_t dflt_s, struct az_err *err)
{
	const struct az_json *body;
	struct box *b;
	bool was_paused;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	if (!(rc = control_body(rq, &body, err)) &&
	    !(rc = resume(rq, b, body, dflt_s, &was_paused, err)))
		rc = rs_sandbox(rq, was_paused ? 201 : 200, b, err);
	box_unref(b);
	return rc;
}

enum az_code
control_connect_v1(struct az_rq *rq, void *app, struct az_err *err)
{
	return connect_route(rq, app, -1, err);
}

enum az_code
control_connect_v2(struct az_rq *rq, void *app, struct az_err *err)
{
	return connect_route(rq, app, TTL_V2_S, err);
}

/* The old route: only for paused ones, and it may change what happens at the end. */
enum az_code
control_resume(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_box_server *s = app;
	const struct az_json *body;
	struct box *b;
	bool was_paused, rests, said;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	if ((rc = control_body(rq, &body, err)) ||
	    (rc = control_bool(body, "autoPause", false, &rests, err)))
		goto out;
	pthread_mutex_lock(&b->mu);
	was_paused = b->state != BOX_RUNNING;
	pthread_mutex_unlock(&b->mu);
	if (was_paused && (rc = resume(rq, b, body, TTL_V1_S, &was_paused, err)))
		goto out;
	if (!was_paused) {
		rc = az_fail(
		    err, AZ_ECONFLICT, "box.resume", "sandbox '%s' is already running", b->id);
		goto out;
	}
	said = az_json_type(az_json_get(body, "autoPause")) == AZ_JBOOL;
	pthread_mutex_lock(&s->mu);
	b->auto_pause = said ? rests : b->auto_pause;
	pthread_mutex_unlock(&s->mu);
	rc = rs_sandbox(rq, 201, b, err);
out:
	box_unref(b);
	return rc;
}
