/* One request from route to log line. */
#include <azlon/clock.h>
#include <azlon/log.h>
#include <azlon/trace.h>
#include "web.h"

static void
fail(struct az_rq *rq, const struct az_err *e)
{
	const struct az_web *w = rq->srv->w;
	struct az_err ignored = AZ_ERR_INIT;
	enum az_code rc;

	/* half an answer is broken off, never completed */
	if (!web_answer_open(rq)) {
		az_rs_abort(rq);
		return;
	}
	if (rq->state == WEB_BODY)
		web_answer_reset(rq);
	rc = w->problem ? w->problem(rq, w->app, e, az_code_http(e->code))
			: az_rs_problem(rq, 0, e, NULL, 0);
	if (rc == AZ_OK)
		rc = web_head_send(rq, &ignored);
	if (rc != AZ_OK)
		az_rs_abort(rq);
}

static enum az_code
handle(struct az_rq *rq, struct az_err *err)
{
	const struct az_web *w = rq->srv->w;
	const struct az_route *r;
	struct az_buf allow;
	enum az_code rc = web_rq_open(rq, err);
	char trace[AZ_TRACE_BYTES];

	az_log_context(rq->id, AZ_S(""));
	az_trace_next(az_rq_header(rq, "traceparent"), rq->id, trace);
	az_log_trace(az_str_c(trace));
	if (rc != AZ_OK)
		return rc;
	az_buf_init(&allow, 256);
	r = web_route_find(w->routes, rq->method, rq->path, rq->param, &rq->n_param, &allow, err);
	if (!r) {
		if (allow.n)
			az_rs_header(rq, "Allow", az_buf_str(&allow));
		az_buf_release(&allow);
		return err->code;
	}
	az_buf_release(&allow);
	rq->route = r;
	rc = r->handle(rq, w->app, err);
	if (rc == AZ_OK && rq->state != WEB_BROKEN)
		rc = web_head_send(rq, err);
	else if (rc != AZ_OK && rq->state == WEB_HEAD)
		web_answer_reset(rq);
	return rc;
}

static enum az_level
level_of(int status, enum az_code rc)
{
	if (rc == AZ_EINTERNAL)
		return AZ_ERROR;
	return status >= 500 ? AZ_WARN : AZ_INFO;
}

void
web_serve(struct az_rq *rq)
{
	struct az_err err = AZ_ERR_INIT;
	int64_t t0 = az_boot_us(), us;
	enum az_code rc = handle(rq, &err);
	int status;

	if (rc != AZ_OK) {
		if (rc == AZ_EINTERNAL && rq->head_bad)
			web_answer_reset(rq);
		if (err.code != rc) /* a handler that forgot to say why */
			az_fail(&err, rc, "web.handler", "failed");
		fail(rq, &err);
	}
	(void)!web_answer_out(rq, NULL);
	status = rq->state == WEB_BROKEN ? 499 : rq->status;
	us = az_boot_us() - t0;
	web_count(rq, us);
	if (rc == AZ_OK)
		az_log(AZ_INFO, "http.request", AZ_KS("method", rq->method),
		    AZ_KS("path", rq->path), AZ_KN("status", status), AZ_KN("ms", us / 1000),
		    AZ_KN("bytes", rq->sent));
	else
		az_log(level_of(status, rc), "http.request", AZ_KS("method", rq->method),
		    AZ_KS("path", rq->path), AZ_KN("status", status), AZ_KN("ms", us / 1000),
		    AZ_KN("bytes", rq->sent), AZ_KE(&err));
	az_log_context(AZ_S(""), AZ_S(""));
}
