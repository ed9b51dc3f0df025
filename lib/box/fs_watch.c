/* WatchDir, and the watchers that are asked: the agent sees what happens, we pass it on. */
#include "fs.h"

#include <stdlib.h>

#define WATCH_MS 60000
#define WINDOW AZ_KIB(256) /* of events that nobody took yet */
#define WATCHERS_MAX 32
#define WATCHER_ID 26

static const char op[] = "box.watch";

static bool
flag(const struct az_json *msg, const char *name, const char *other)
{
	return az_json_getb(msg, name, false) || az_json_getb(msg, other, false);
}

static enum az_code
grant(struct box *b, const struct call *c, uint32_t n, struct az_err *err)
{
	enum az_code rc;

	pthread_mutex_lock(&b->mu);
	rc = link_send_u32(b, c->id, AW_GRANT, n) ? gone(b, err, op) : AZ_OK;
	pthread_mutex_unlock(&b->mu);
	return rc;
}

/* After success call_close(c, true) is due. */
static enum az_code
open_watch(struct box *b, const struct az_json *msg, struct call *c, struct az_err *err)
{
	struct az_buf payload;
	struct aw_frame f;
	enum az_code rc;

	az_buf_init(&payload, AZ_KIB(8));
	az_buf_addch(
	    &payload, (char)((flag(msg, "recursive", "recursive") ? AW_WATCH_RECURSIVE : 0) |
			     (flag(msg, "includeEntry", "include_entry") ? AW_WATCH_ENTRY : 0)));
	put_text(&payload, az_json_gets(msg, "path"));
	if (!(rc = path_check(&payload, op, err)))
		rc = call_open(b, c, AW_WATCH, az_buf_str(&payload), err);
	az_buf_release(&payload);
	if (rc)
		return rc;
	rc = call_next(b, c, az_boot_ms() + WATCH_MS, &f, err);
	if (!rc && f.type != AW_OK)
		rc = az_fail(err, AZ_EINTERNAL, op, "bad answer");
	if (!rc) {
		/* one event may be longer than the credit that was left */
		pthread_mutex_lock(&b->mu);
		c->in.max = 2 * WINDOW;
		pthread_mutex_unlock(&b->mu);
		rc = grant(b, c, WINDOW, err);
	}
	if (rc)
		call_close(b, c, true);
	return rc;
}

enum az_code
event_json(struct az_jw *w, struct aw_frame *f, struct az_err *err)
{
	static const char *const types[] = {
	    [AE_CREATE] = "EVENT_TYPE_CREATE",
	    [AE_WRITE] = "EVENT_TYPE_WRITE",
	    [AE_REMOVE] = "EVENT_TYPE_REMOVE",
	    [AE_RENAME] = "EVENT_TYPE_RENAME",
	    [AE_CHMOD] = "EVENT_TYPE_CHMOD",
	};
	unsigned kind = aw_u8(&f->body);
	struct entry e;
	struct az_str name;

	name.p = aw_text(&f->body, &name.n);
	if (f->type != AW_EVENT || f->body.bad || kind < AE_CREATE || kind > AE_CHMOD ||
	    (f->body.n && !entry_parse(f->body, &e)))
		return az_fail(err, AZ_EINTERNAL, op, "bad event");
	az_jw_obj(w);
	az_jw_ks(w, "name", name);
	az_jw_kc(w, "type", types[kind]);
	if (f->body.n) {
		az_jw_key(w, "entry");
		entry_json(w, &e);
	}
	az_jw_end(w, '}');
	return AZ_OK;
}

/* ---- WatchDir ---- */

static enum az_code
send_event(struct az_rq *rq, struct aw_frame *f, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_key(&w, "filesystem");
	rc = event_json(&w, f, err);
	az_jw_end(&w, '}');
	if (!rc)
		rc = az_buf_check(&b, op, err);
	if (!rc)
		rc = stream_send(rq, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

/* Why the stream ends now, or AZ_OK. */
static enum az_code
over(struct az_rq *rq, int64_t deadline, struct az_err *e)
{
	if (az_web_stopping(rq))
		return az_fail(e, AZ_EUNAVAIL, op, "the server stops");
	if (deadline >= 0 && az_boot_ms() >= deadline)
		return az_fail(e, AZ_ETIMEOUT, op, "context deadline exceeded");
	return AZ_OK;
}

static enum az_code
follow(struct az_rq *rq, struct box *b, struct call *c, int64_t deadline, struct az_err *err)
{
	int64_t every = connect_keepalive(rq), ping = az_boot_ms() + every, until;
	struct az_err e = AZ_ERR_INIT;
	struct aw_frame f;
	uint32_t used = 0;
	enum az_code rc = stream_send(rq, AZ_S("{\"start\":{}}"), err), got;

	while (!rc) {
		if (over(rq, deadline, &e))
			return stream_end(rq, &e, err);
		until = az_boot_ms() + LOOK_MS;
		until = ping < until ? ping : until;
		until = deadline >= 0 && deadline < until ? deadline : until;
		got = call_next(b, c, until, &f, &e);
		if (!got) {
			used += (uint32_t)f.body.n;
			rc = send_event(rq, &f, err);
			ping = az_boot_ms() + every;
			if (!rc && used >= WINDOW / 2) {
				rc = grant(b, c, used, err);
				used = 0;
			}
		} else if (got != AZ_ETIMEOUT) {
			return stream_end(rq, &e, err);
		} else if (!az_rq_connected(rq)) {
			rc = az_fail(err, AZ_ECANCELLED, op, "the client left");
		} else if (az_boot_ms() >= ping) {
			rc = stream_send(rq, AZ_S("{\"keepalive\":{}}"), err);
			ping = az_boot_ms() + every;
		}
	}
	return rc;
}

enum az_code
fs_watch(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *msg = NULL;
	struct az_err e = AZ_ERR_INIT;
	int64_t ms = 0;
	struct call c;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_stream(rq, &stop, err)) || stop)
		return rc;
	if (connect_message(rq, &msg, &e) || connect_timeout(rq, &ms, &e) || envd_user(rq, &e) ||
	    open_watch(b, msg, &c, &e))
		return stream_end(rq, &e, err);
	rc = follow(rq, b, &c, ms ? az_boot_ms() + ms : -1, err);
	call_close(b, &c, true);
	return rc;
}

/* ---- watchers that are asked ---- */

struct watcher {
	struct watcher *next;
	unsigned refs; /* the list's and each handler's; under the box's mu */
	char id[WATCHER_ID + 1];
	pthread_mutex_t mu; /* one asks at a time; before the box's */
	struct call c;
	struct az_err over; /* why nothing will follow */
};

static void
watcher_free(struct box *b, struct watcher *w)
{
	call_close(b, &w->c, true);
	pthread_mutex_destroy(&w->mu);
	free(w);
}

static void
watcher_unref(struct box *b, struct watcher *w)
{
	bool last;

	pthread_mutex_lock(&b->mu);
	last = --w->refs == 0;
	pthread_mutex_unlock(&b->mu);
	if (last)
		watcher_free(b, w);
}

void
watchers_free(struct box *b)
{
	while (b->watchers) {
		struct watcher *w = b->watchers;

		b->watchers = w->next;
		watcher_free(b, w);
	}
}

/* Referenced; off the list with unlink. */
static enum az_code
watcher_find(struct box *b, const struct az_json *body, bool unlink, struct watcher **out,
    struct az_err *err)
{
	struct az_str id = az_json_gets(body, "watcherId");
	struct watcher **pp;

	if (!id.n)
		id = az_json_gets(body, "watcher_id");
	pthread_mutex_lock(&b->mu);
	for (pp = &b->watchers; *pp && !az_str_eqc(id, (*pp)->id); pp = &(*pp)->next)
		;
	*out = *pp;
	if (*pp && unlink)
		*pp = (*pp)->next; /* with the list's reference */
	else if (*pp)
		(*pp)->refs++;
	pthread_mutex_unlock(&b->mu);
	if (*out)
		return AZ_OK;
	return az_fail(
	    err, AZ_ENOTFOUND, op, "watcher with id %.*s not found", AZ_FMT(az_str_sub(id, 0, 60)));
}

static enum az_code
watcher_add(struct box *b, const struct az_json *msg, char id[WATCHER_ID + 1], struct az_err *err)
{
	struct watcher *w = calloc(1, sizeof *w);
	struct az_buf text;
	unsigned n = 0;
	enum az_code rc;

	if (!w)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	if ((rc = open_watch(b, msg, &w->c, err))) {
		free(w);
		return rc;
	}
	pthread_mutex_init(&w->mu, NULL);
	az_buf_init(&text, WATCHER_ID);
	az_random_id(&text, WATCHER_ID);
	rc = az_buf_check(&text, op, err);
	if (!rc)
		memcpy(w->id, text.p, WATCHER_ID);
	memcpy(id, w->id, sizeof w->id);
	az_buf_release(&text);
	pthread_mutex_lock(&b->mu);
	for (struct watcher *o = b->watchers; o; o = o->next)
		n++;
	if (!rc && n >= WATCHERS_MAX)
		rc = az_fail(
		    err, AZ_EQUOTA, op, "more than %d watchers: remove one first", WATCHERS_MAX);
	if (!rc) {
		w->refs = 1;
		w->next = b->watchers;
		b->watchers = w;
	}
	pthread_mutex_unlock(&b->mu);
	if (rc)
		watcher_free(b, w);
	return rc;
}

/* What came so far. What ended the watch is told when nothing else is left to tell. */
static enum az_code
drain(struct box *b, struct watcher *w, struct az_jw *out, struct az_err *err)
{
	struct aw_frame f;
	uint32_t used = 0;
	bool any = false;
	enum az_code rc = AZ_OK;

	while (!w->over.code && call_pending(b, &w->c)) {
		rc = call_next(b, &w->c, 0, &f, err);
		/* out of reach for now is not the end of it */
		if (rc == AZ_ETOOBIG || rc == AZ_EINTERNAL)
			w->over = *err;
		if (rc)
			break;
		used += (uint32_t)f.body.n;
		any = true;
		if ((rc = event_json(out, &f, err)))
			break;
	}
	if (w->over.code && !any) {
		*err = w->over;
		return w->over.code;
	}
	if (any)
		rc = AZ_OK;
	if (used && !w->over.code && grant(b, &w->c, used, err) && !any)
		rc = AZ_EUNAVAIL;
	return rc;
}

typedef enum az_code watcher_fn(
    struct box *b, const struct az_json *body, struct az_jw *w, struct az_err *err);

/* A unary call: act writes the members of its answer. */
static enum az_code
serve(struct az_rq *rq, void *app, watcher_fn *act, struct az_err *err)
{
	const struct az_json *body;
	struct az_err e = AZ_ERR_INIT;
	struct az_buf out;
	struct az_jw w;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_unary(rq, &body, &stop, err)) || stop)
		return rc;
	az_buf_init(&out, AZ_MIB(16));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	if (!(rc = envd_user(rq, &e)))
		rc = act(b, body, &w, &e);
	az_jw_end(&w, '}');
	if (!rc)
		rc = az_buf_check(&out, op, &e);
	if (rc)
		rc = connect_fail(rq, &e);
	else
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

static enum az_code
act_create(struct box *b, const struct az_json *body, struct az_jw *w, struct az_err *err)
{
	char id[WATCHER_ID + 1];
	enum az_code rc = watcher_add(b, body, id, err);

	if (!rc)
		az_jw_kc(w, "watcherId", id);
	return rc;
}

static enum az_code
act_events(struct box *b, const struct az_json *body, struct az_jw *out, struct az_err *err)
{
	struct watcher *w;
	enum az_code rc = watcher_find(b, body, false, &w, err);

	if (!w)
		return rc;
	az_jw_key(out, "events");
	az_jw_arr(out);
	pthread_mutex_lock(&w->mu);
	rc = drain(b, w, out, err);
	pthread_mutex_unlock(&w->mu);
	az_jw_end(out, ']');
	watcher_unref(b, w);
	return rc;
}

static enum az_code
act_remove(struct box *b, const struct az_json *body, struct az_jw *out, struct az_err *err)
{
	struct watcher *w;
	enum az_code rc = watcher_find(b, body, true, &w, err);

	(void)out;
	if (w)
		watcher_unref(b, w);
	return rc;
}

enum az_code
fs_watcher_create(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, act_create, err);
}

enum az_code
fs_watcher_events(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, act_events, err);
}

enum az_code
fs_watcher_remove(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, act_remove, err);
}
