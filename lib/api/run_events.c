/*
 * The public event log: a JSON page, or a stream. Numbers come from the fold, so a
 * reader that resumes after number N misses nothing and sees nothing twice, whichever
 * process it meets.
 */
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "run.h"

#define SLICE_MS 1000
#define PING_MS 15000
#define BUSY_RETRY_MS 5000
#define STREAM_BYTES AZ_MIB(64) /* the history of one stream's run */
#define PAGE_MAX 1000
#define PAGE_DEFAULT 500
#define PAGE_BYTES AZ_MIB(4)

/* ---- the page ---- */

struct page {
	struct az_jw w;
	size_t n, max;
	int64_t last; /* number of the last event written */
	bool end;     /* run.finished is on the page */
	bool more;
};

static bool
page_event(void *arg, const struct az_flow_event *e)
{
	struct page *p = arg;
	struct az_buf *b = p->w.b;

	if (p->n == p->max || b->n > b->max / 2) {
		p->more = true;
		return false;
	}
	p->n++;
	p->last = e->seq;
	p->end = e->last;
	/* data is an object: its members follow the type */
	az_jw_obj(&p->w);
	az_jw_ks(&p->w, "type", e->type);
	az_jw_end(&p->w, '}');
	if (e->data.n > 2 && b->n && !b->fail) {
		az_buf_cut(b, b->n - 1);
		az_buf_addc(b, ",");
		az_buf_adds(b, az_str_sub(e->data, 1, e->data.n));
	}
	return true;
}

static enum az_code
page(
    struct az_rq *rq, const struct az_api *api, struct az_str id, int64_t after, struct az_err *err)
{
	struct az_arena *tmp = az_arena_new(RUN_FOLD_BYTES);
	struct az_history h = {NULL, 0};
	struct page p = {.last = after};
	struct az_buf b;
	int64_t max;
	enum az_code rc;

	az_buf_init(&b, PAGE_BYTES);
	if (!tmp) {
		rc = az_fail(err, AZ_ENOMEM, "api.events", "out of memory");
		goto out;
	}
	if ((rc = az_rq_query_i64(rq, "limit", 1, PAGE_MAX, PAGE_DEFAULT, &max, err)) ||
	    (rc = api_run_history(api, tmp, id, 0, &h, err)) != AZ_OK)
		goto out;
	p.max = (size_t)max;
	az_jw_init(&p.w, &b);
	az_jw_obj(&p.w);
	az_jw_key(&p.w, "events");
	az_jw_arr(&p.w);
	if ((rc = az_flow_events(&h, after, tmp, page_event, &p, err)) != AZ_OK)
		goto out;
	az_jw_end(&p.w, ']');
	az_jw_ki(&p.w, "next_after", p.last);
	az_jw_kb(&p.w, "more", p.more);
	az_jw_kb(&p.w, "finished", p.end || (!p.more && h.n && az_ev_is_close(h.ev[h.n - 1].type)));
	az_jw_end(&p.w, '}');
	if ((rc = az_buf_check(&b, "api.events", err)) == AZ_OK)
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
out:
	az_buf_release(&b);
	az_arena_free(tmp);
	return rc;
}

/* ---- the stream ---- */

struct stream {
	struct az_rq *rq;
	const struct az_api *api;
	struct az_str uid, id;
	struct az_arena *keep; /* the history so far */
	struct az_history h;
	int64_t after;      /* number of the last event sent */
	int64_t version;    /* as last seen */
	int64_t sent_ms;    /* when anything was sent last */
	struct az_buf beat; /* the progress sent last */
	bool end;
	enum az_code rc;
	struct az_err *err;
};

static bool
stream_event(void *arg, const struct az_flow_event *e)
{
	struct stream *s = arg;
	char type[40];

	if (e->type.n >= sizeof type)
		return true;
	memcpy(type, e->type.p, e->type.n);
	type[e->type.n] = '\0';
	s->rc = az_sse_send(s->rq, e->seq, type, e->data, s->err);
	s->after = e->seq;
	s->end = e->last;
	s->sent_ms = az_boot_ms();
	return s->rc == AZ_OK && !e->last;
}

/* What a heartbeat says, without a number: it is not part of the log. */
static enum az_code
send_progress(struct stream *s, const struct az_run_info *info, struct az_err *err)
{
	struct az_str beat = info->n_pending ? info->pending[0].heartbeat : AZ_S("");
	struct az_json *j = NULL;
	enum az_code rc = AZ_OK;
	struct az_buf b;
	struct az_jw w;

	if (beat.n == 0 || az_str_eq(beat, az_buf_str(&s->beat)) ||
	    az_json_parse(beat, &az_json_own_limits, &j, NULL) != AZ_OK)
		return AZ_OK;
	az_buf_reset(&s->beat);
	az_buf_adds(&s->beat, beat);
	az_buf_init(&b, AZ_KIB(256));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "phase", az_json_gets(j, "phase"));
	az_jw_ki(&w, "iteration", az_json_geti(j, "iteration", 0));
	az_jw_ki(&w, "tokens", az_json_geti(j, "tokens", 0));
	az_jw_ks(&w, "tail", az_json_gets(j, "tail"));
	az_jw_end(&w, '}');
	if (!b.fail) {
		rc = az_sse_send(s->rq, -1, "progress", az_buf_str(&b), err);
		s->sent_ms = az_boot_ms();
	}
	az_buf_release(&b);
	az_json_free(j);
	return rc;
}

/* Look at the run and send what is new. */
static enum az_code
stream_step(struct stream *s, struct az_err *err)
{
	struct az_arena *tmp = az_arena_new(RUN_FOLD_BYTES);
	struct az_run_info info;
	int64_t had;
	enum az_code rc;

	if (!tmp)
		return az_fail(err, AZ_ENOMEM, "api.events", "out of memory");
	if ((rc = api_run_describe(s->api, tmp, s->uid, s->id, &info, err)) != AZ_OK)
		goto out;
	s->version = info.version;
	had = s->h.n ? s->h.ev[s->h.n - 1].id : 0;
	if (info.last_event > had) {
		if ((rc = api_run_history(s->api, s->keep, s->id, had, &s->h, err)) ||
		    (rc = az_flow_events(&s->h, s->after, tmp, stream_event, s, err)) ||
		    (rc = s->rc) != AZ_OK)
			goto out;
	}
	if (!s->end)
		rc = send_progress(s, &info, err);
out:
	az_arena_free(tmp);
	return rc;
}

static enum az_code
stream_wait(struct stream *s, struct az_err *err)
{
	int64_t now = s->version;
	enum az_code rc = AZ_OK;

	while (now == s->version && !az_web_stopping(s->rq)) {
		if (!az_rq_connected(s->rq))
			return az_fail(err, AZ_ECANCELLED, "api.events", "the client left");
		if (az_boot_ms() - s->sent_ms >= PING_MS) {
			if ((rc = az_sse_ping(s->rq, err)) != AZ_OK)
				return rc;
			s->sent_ms = az_boot_ms();
		}
		rc = api_engine_rc(
		    az_engine_wait(s->api->engine, s->id, s->version, SLICE_MS, NULL, &now, err),
		    err);
		if (rc != AZ_OK)
			return rc;
	}
	return AZ_OK;
}

static enum az_code
stream(struct stream *s, struct az_err *err)
{
	struct api_run r;
	enum az_code rc;

	if ((rc = api_run_load(s->api, az_rq_arena(s->rq), s->uid, s->id, &r, err)))
		return rc;
	/* EventSource comes back after the end: 204 tells it to stop */
	if (r.over && s->after >= r.last_event) {
		az_rs_status(s->rq, 204);
		return AZ_OK;
	}
	if (az_web_crowded(s->rq)) {
		az_fail(err, AZ_EUNAVAIL, "api.events", "Too many streams are open. Try again.");
		err->retry_after_ms = BUSY_RETRY_MS;
		return az_err_reason(err, "busy");
	}
	if (!(s->keep = az_arena_new(STREAM_BYTES)))
		return az_fail(err, AZ_ENOMEM, "api.events", "out of memory");
	s->err = err;
	az_buf_init(&s->beat, AZ_KIB(256));
	s->sent_ms = az_boot_ms();
	rc = az_sse_open(s->rq, err);
	s->end = az_rq_is_head(s->rq);
	while (rc == AZ_OK && !s->end && (rc = stream_step(s, err)) == AZ_OK && !s->end &&
	       !az_web_stopping(s->rq))
		rc = stream_wait(s, err);
	/* the reader's EventSource comes back by itself, to the next process */
	if (rc == AZ_OK && !s->end)
		rc = az_rs_write(s->rq, AZ_S(": restarting\n\n"), err);
	az_buf_release(&s->beat);
	az_arena_free(s->keep);
	return rc;
}

enum az_code
run_events(struct az_rq *rq, void *app, struct az_err *err)
{
	struct stream s = {.rq = rq, .api = app};
	struct az_str last = az_rq_header(rq, "Last-Event-ID");
	struct az_run_info info;
	struct az_caller who;
	enum az_code rc;

	if ((rc = api_caller_run(rq, s.api, &who, &s.id, err)) != AZ_OK ||
	    (rc = az_rq_query_i64(rq, "after", 0, INT64_MAX, 0, &s.after, err)) != AZ_OK)
		return rc;
	s.uid = who.uid;
	if (last.n && !az_str_to_i64(last, 0, INT64_MAX, &s.after))
		return az_fail(err, AZ_EINVAL, "api.events", "Last-Event-ID is not a number");
	if (az_str_find(az_rq_header(rq, "Accept"), AZ_S("text/event-stream"), 0) >= 0)
		return stream(&s, err);
	if ((rc = api_run_describe(s.api, az_rq_arena(rq), s.uid, s.id, &info, err)))
		return rc;
	return page(rq, s.api, s.id, s.after, err);
}
