/*
 * The public event log: a JSON page, or a stream. Numbers come from the fold, so a
 * reader that resumes after number N misses nothing and sees nothing twice, whichever
 * process it meets.
 */
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "run_log.h"

#define SLICE_MS 1000
#define PING_MS 15000
#define BUSY_RETRY_MS 5000
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
	struct az_caller who;
	struct az_str id;
	struct run_log *log;
	struct run_seen seen;
	size_t at;       /* frames of the log that are behind us */
	int64_t after;   /* number of the last event sent */
	int64_t sent_ms; /* when anything was sent last */
	int64_t seen_ms; /* when the caller was asked for last */
	bool end;
	bool refused; /* the caller is not let in any more */
};

/* Send what the log has and this stream has not. */
static enum az_code
stream_step(struct stream *s, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct run_news news;
	bool any = false;

	run_log_news(s->log, &s->seen, &news);
	for (; !rc && !s->end && s->at < news.n; s->at++) {
		const struct run_frame *f = &news.frames[s->at];

		s->end = f->last;
		if (f->seq <= s->after)
			continue;
		any = true;
		s->after = f->seq;
		rc = az_rs_write(s->rq, f->text, err);
	}
	if (!rc && !s->end && news.progress) {
		any = true;
		rc = az_rs_write(s->rq, run_text_str(news.progress), err);
	}
	run_text_drop(news.progress);
	if (any)
		s->sent_ms = az_boot_ms();
	return rc || !any ? rc : az_rs_flush(s->rq, err);
}

static enum az_code
stream_wait(struct stream *s, struct az_err *err)
{
	enum az_code rc;

	if (!az_rq_connected(s->rq))
		return az_fail(err, AZ_ECANCELLED, "api.events", "the client left");
	if (az_boot_ms() - s->seen_ms >= PING_MS) {
		s->seen_ms = az_boot_ms();
		s->refused = !api_caller_still(s->rq, s->api, &s->who);
		if (s->refused)
			return AZ_OK;
	}
	if (az_boot_ms() - s->sent_ms >= PING_MS) {
		if ((rc = az_sse_ping(s->rq, err)) != AZ_OK)
			return rc;
		s->sent_ms = az_boot_ms();
	}
	return run_log_wait(s->log, &s->seen, SLICE_MS, err);
}

/* Is there such a run, and nothing more to come of it? What is read for that need not lie
   about as long as the stream. */
static enum az_code
stream_over(const struct stream *s, bool *over, struct az_err *err)
{
	struct az_arena *tmp = az_arena_new(RUN_FOLD_BYTES);
	struct api_run r;
	enum az_code rc;

	if (!tmp)
		return az_fail(err, AZ_ENOMEM, "api.events", "out of memory");
	rc = api_run_load(s->api, tmp, s->who.uid, s->id, &r, err);
	*over = !rc && r.over && s->after >= r.last_event;
	az_arena_free(tmp);
	return rc;
}

static enum az_code
stream(struct stream *s, struct az_err *err)
{
	enum az_code rc;
	bool over = false;

	if ((rc = stream_over(s, &over, err)))
		return rc;
	/* EventSource comes back after the end: 204 tells it to stop */
	if (over) {
		az_rs_status(s->rq, 204);
		return AZ_OK;
	}
	if (az_web_crowded(s->rq)) {
		az_fail(err, AZ_EUNAVAIL, "api.events", "Too many streams are open. Try again.");
		err->retry_after_ms = BUSY_RETRY_MS;
		return az_err_reason(err, "busy");
	}
	if (az_rq_is_head(s->rq))
		return az_sse_open(s->rq, err);
	if ((rc = run_log_enter(s->api, s->id, &s->log, err)))
		return rc;
	s->sent_ms = s->seen_ms = az_boot_ms();
	rc = az_sse_open(s->rq, err);
	while (rc == AZ_OK && !s->refused && (rc = stream_step(s, err)) == AZ_OK && !s->end &&
	       !az_web_stopping(s->rq))
		rc = stream_wait(s, err);
	/* the reader comes back by itself: to the next process, or to be told why he is refused */
	if (rc == AZ_OK && !s->end)
		rc = az_rs_write(s->rq,
		    s->refused ? AZ_S(": identify again\n\n") : AZ_S(": restarting\n\n"), err);
	run_log_leave(s->log);
	return rc;
}

enum az_code
run_events(struct az_rq *rq, void *app, struct az_err *err)
{
	struct stream s = {.rq = rq, .api = app};
	struct az_str last = az_rq_header(rq, "Last-Event-ID");
	struct az_run_info info;
	enum az_code rc;

	if ((rc = api_caller_run(rq, s.api, &s.who, &s.id, err)) != AZ_OK ||
	    (rc = az_rq_query_i64(rq, "after", 0, INT64_MAX, 0, &s.after, err)) != AZ_OK)
		return rc;
	if (last.n && !az_str_to_i64(last, 0, INT64_MAX, &s.after))
		return az_fail(err, AZ_EINVAL, "api.events", "Last-Event-ID is not a number");
	if (az_str_find(az_rq_header(rq, "Accept"), AZ_S("text/event-stream"), 0) >= 0)
		return stream(&s, err);
	if ((rc = api_run_describe(s.api, az_rq_arena(rq), s.who.uid, s.id, &info, err)))
		return rc;
	return page(rq, s.api, s.id, s.after, err);
}
