/*
 * The handlers of runs over a real socket, on an engine in memory whose histories are
 * made by the real fold and moved by hand, and the store in memory.
 */
#ifndef API_FIXTURE_H
#define API_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <azlon/api.h>
#include <azlon/clock.h>
#include <azlon/flow.h>
#include <azlon/json.h>
#include <azlon/keys.h>
#include "web_fixture.h"

#define FAKE_RUNS 16
#define FAKE_EVENTS 400

struct fake_run {
	struct az_str id, uid, memo;
	const char *type;
	struct az_event ev[FAKE_EVENTS];
	size_t n;
	int64_t version;
	enum az_run_state state;
	struct az_str beat;        /* of the pending function */
	struct az_str last_reason; /* of an earlier attempt: then it is not running */
	bool gone;
};

struct fake_engine {
	struct az_engine base;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct az_arena *a;
	struct fake_run run[FAKE_RUNS];
	size_t n;
	bool down, no_worker;
	enum az_code start_fails; /* not AZ_OK: so starts end … */
	bool start_taken;         /* … though the run is there */
	int starts, describes, histories, pings;
};

static struct fake_run *
fake_find(struct fake_engine *e, struct az_str id)
{
	for (size_t i = 0; i < e->n; i++)
		if (az_str_eq(e->run[i].id, id) && !e->run[i].gone)
			return &e->run[i];
	return NULL;
}

static enum az_code
fake_lock(struct az_engine *eng, struct fake_engine **e, struct az_err *err)
{
	*e = (struct fake_engine *)eng;
	pthread_mutex_lock(&(*e)->mu);
	if (!(*e)->down)
		return AZ_OK;
	pthread_mutex_unlock(&(*e)->mu);
	return az_fail(err, AZ_EUNAVAIL, "fake", "down");
}

static int64_t
fake_append(struct fake_engine *e, struct fake_run *r, struct az_event ev)
{
	static int64_t t = INT64_C(1790000000000);

	ev.id = (int64_t)r->n + 1;
	ev.t_ms = t += 10;
	ev.name = az_arena_str(e->a, ev.name);
	ev.payload = az_arena_str(e->a, ev.payload);
	ev.reason = az_arena_str(e->a, ev.reason);
	ev.message = az_arena_str(e->a, ev.message);
	r->ev[r->n++] = ev;
	r->version += 1000;
	if (az_ev_is_close(ev.type)) {
		r->state = ev.type == AZ_EV_COMPLETED ? AZ_RUN_COMPLETED
			   : ev.type == AZ_EV_FAILED  ? AZ_RUN_FAILED
						      : AZ_RUN_CANCELED;
		r->beat = (struct az_str){NULL, 0};
	}
	pthread_cond_broadcast(&e->changed);
	return ev.id;
}

/* Fold, and turn what the run wants into events, until it wants nothing. */
static void
fake_fold(struct fake_engine *e, struct fake_run *r)
{
	struct az_cmds c;

	do {
		struct az_history h = {r->ev, r->n};
		c.n = 0;
		if (az_flow_coding.fold(&h, e->a, &c, NULL) != AZ_OK)
			abort();
		for (size_t i = 0; i < c.n; i++) {
			const struct az_cmd *k = &c.v[i];
			struct az_event ev = {.name = k->name,
			    .payload = k->payload,
			    .reason = k->reason,
			    .message = k->message,
			    .ref = k->ref};
			static const enum az_ev_type map[] = {0, AZ_EV_FN_SCHEDULED,
			    AZ_EV_FN_CANCEL_REQUESTED, AZ_EV_TIMER_STARTED, AZ_EV_COMPLETED,
			    AZ_EV_FAILED, AZ_EV_CANCELED};
			ev.type = map[k->type];
			if (k->type == AZ_CMD_START_TIMER)
				ev.payload =
				    az_str_c(az_arena_printf(e->a, "%lld", (long long)k->delay_ms));
			fake_append(e, r, ev);
		}
	} while (c.n && r->state == AZ_RUN_OPEN);
}

static const struct az_event *
fake_pending(const struct fake_run *r)
{
	for (size_t i = r->n; i-- > 0;) {
		bool done = false;
		if (r->ev[i].type != AZ_EV_FN_SCHEDULED)
			continue;
		for (size_t k = i + 1; k < r->n; k++)
			done |= r->ev[k].ref == r->ev[i].id &&
				r->ev[k].type != AZ_EV_FN_CANCEL_REQUESTED;
		return done ? NULL : &r->ev[i];
	}
	return NULL;
}

/* ---- driven by the test; not every test uses all ---- */
#define FIX static __attribute__((unused))

/* The pending function completed with this result; then the run goes on. */
FIX void
fake_complete(struct fake_engine *e, struct az_str id, const char *result)
{
	struct fake_run *r;
	const struct az_event *p;

	pthread_mutex_lock(&e->mu);
	r = fake_find(e, id);
	p = r ? fake_pending(r) : NULL;
	if (!p)
		abort();
	r->beat = (struct az_str){NULL, 0};
	fake_append(e, r,
	    (struct az_event){.type = AZ_EV_FN_COMPLETED,
		.ref = p->id,
		.attempt = 1,
		.payload = az_str_c(result)});
	fake_fold(e, r);
	pthread_mutex_unlock(&e->mu);
}

FIX void
fake_beat(struct fake_engine *e, struct az_str id, const char *json)
{
	struct fake_run *r;

	pthread_mutex_lock(&e->mu);
	r = fake_find(e, id);
	r->beat = az_arena_str(e->a, az_str_c(json));
	r->version++;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->mu);
}

#define FAKE_GENERATED                                                                             \
	"{\"v\":1,\"iteration\":1,\"model\":\"m-1\",\"provenance\":\"recording\","                 \
	"\"calls\":1,\"tokens_in\":11,\"tokens_out\":7,\"tree\":\"aa\",\"files\":1,\"events\":["   \
	"{\"type\":\"llm.done\",\"ms\":5},{\"type\":\"files.changed\",\"files\":1}]}"
#define FAKE_RAN                                                                                   \
	"{\"v\":1,\"iteration\":1,\"kind\":\"ok\",\"exit\":0,\"sandbox_ms\":1500,\"files\":2,"     \
	"\"events\":[{\"type\":\"sandbox.start\"}]}"
#define FAKE_PASSED                                                                                \
	"{\"v\":1,\"iteration\":1,\"passed\":true,\"checks\":[{\"id\":\"c1\",\"status\":"          \
	"\"pass\",\"ms\":41}],\"n_passed\":1,\"n_total\":1,\"error_sig\":\"\",\"tree\":\"aa\","    \
	"\"calls\":0,\"tokens_in\":0,\"tokens_out\":0,\"sandbox_ms\":0,\"events\":[{\"type\":"     \
	"\"check\","                                                                               \
	"\"id\":\"c1\",\"status\":\"pass\"},{\"type\":\"verdict\",\"passed\":true}]}"
#define FAKE_FINAL "{\"v\":1,\"iteration\":1,\"files\":2,\"bytes\":10,\"events\":[]}"

/* One attempt that passes, to the end of the run. */
FIX void
fake_succeed(struct fake_engine *e, struct az_str id)
{
	fake_complete(e, id, FAKE_GENERATED);
	fake_complete(e, id, FAKE_RAN);
	fake_complete(e, id, FAKE_PASSED);
	fake_complete(e, id, FAKE_FINAL);
}

/* ---- the port ---- */

static enum az_code
fake_start(struct az_engine *eng, const struct az_start *s, bool *existed, struct az_err *err)
{
	struct fake_engine *e;
	enum az_code rc = fake_lock(eng, &e, err);
	struct fake_run *r;

	if (rc != AZ_OK)
		return rc;
	e->starts++;
	if (e->start_fails && !e->start_taken) {
		pthread_mutex_unlock(&e->mu);
		return az_fail(err, e->start_fails, "fake", "no answer");
	}
	if (!(*existed = fake_find(e, s->workflow_id) != NULL)) {
		if (e->n == FAKE_RUNS)
			abort();
		r = &e->run[e->n++];
		*r = (struct fake_run){.id = az_arena_str(e->a, s->workflow_id),
		    .uid = az_arena_str(e->a, s->uid),
		    .type = s->type,
		    .memo = az_arena_str(e->a, s->memo),
		    .state = AZ_RUN_OPEN};
		fake_append(e, r, (struct az_event){.type = AZ_EV_STARTED, .payload = s->input});
		fake_fold(e, r);
	}
	pthread_mutex_unlock(&e->mu);
	return e->start_fails ? az_fail(err, e->start_fails, "fake", "no answer") : AZ_OK;
}

static void
fake_info(const struct fake_engine *e, const struct fake_run *r, struct az_run_info *out)
{
	const struct az_event *p = r->state == AZ_RUN_OPEN ? fake_pending(r) : NULL;

	*out = (struct az_run_info){.workflow_id = r->id,
	    .uid = r->uid,
	    .type = az_str_c(r->type),
	    .memo = r->memo,
	    .state = r->state,
	    .start_ms = r->ev[0].t_ms,
	    .version = r->version,
	    .last_event = (int64_t)r->n,
	    .has_worker = !e->no_worker};
	if (r->state != AZ_RUN_OPEN) {
		out->close_ms = r->ev[r->n - 1].t_ms;
		out->close_payload = r->ev[r->n - 1].payload;
	}
	if (p) {
		out->n_pending = 1;
		out->pending[0] = (struct az_pending){.name = p->name,
		    .attempt = r->last_reason.n ? 2 : 1,
		    .running = !r->last_reason.n,
		    .next_ms = r->last_reason.n ? p->t_ms + 1000 : 0,
		    .last_reason = r->last_reason,
		    .heartbeat = r->beat};
	}
}

static enum az_code
fake_describe(struct az_engine *eng, struct az_str id, struct az_arena *a, struct az_run_info *out,
    struct az_err *err)
{
	struct fake_engine *e;
	struct fake_run *r;
	enum az_code rc = fake_lock(eng, &e, err);

	(void)a;
	if (rc != AZ_OK)
		return rc;
	e->describes++;
	if ((r = fake_find(e, id)))
		fake_info(e, r, out);
	else
		out->has_worker = !e->no_worker;
	pthread_mutex_unlock(&e->mu);
	return r ? AZ_OK : az_fail(err, AZ_ENOTFOUND, "fake", "no run");
}

static enum az_code
fake_history(struct az_engine *eng, struct az_str id, int64_t after, size_t max, struct az_arena *a,
    struct az_history *out, struct az_err *err)
{
	struct fake_engine *e;
	struct az_event *ev;
	struct fake_run *r;
	enum az_code rc = fake_lock(eng, &e, err);
	size_t n = 0;

	if (rc != AZ_OK)
		return rc;
	e->histories++;
	if ((r = fake_find(e, id)) && (size_t)after < r->n) {
		n = r->n - (size_t)after;
		n = n > max ? max : n;
		ev = az_arena_alloc(a, n * sizeof *ev);
		memcpy(ev, r->ev + after, n * sizeof *ev);
		*out = (struct az_history){ev, n};
	}
	pthread_mutex_unlock(&e->mu);
	return r ? AZ_OK : az_fail(err, AZ_ENOTFOUND, "fake", "no run");
}

/* Newest first; the cursor is the index to go on from. */
static enum az_code
fake_list(struct az_engine *eng, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err)
{
	struct fake_engine *e;
	enum az_code rc = fake_lock(eng, &e, err);
	int64_t at;

	if (rc != AZ_OK)
		return rc;
	at = (int64_t)e->n;
	if (q->cursor.n && !az_str_to_i64(q->cursor, 0, (int64_t)e->n, &at)) {
		pthread_mutex_unlock(&e->mu);
		return az_fail(err, AZ_EINVAL, "fake", "cursor");
	}
	out->runs = az_arena_alloc(a, sizeof(struct az_run_info) * FAKE_RUNS);
	while (at > 0 && out->n < (size_t)q->limit) {
		const struct fake_run *r = &e->run[--at];
		if (r->gone || !az_str_eq(r->uid, q->uid) ||
		    (q->state && q->state != (int)r->state))
			continue;
		fake_info(e, r, &out->runs[out->n]);
		out->runs[out->n++].n_pending = 0;
	}
	if (at > 0)
		out->next = az_str_c(az_arena_printf(a, "%lld", (long long)at));
	pthread_mutex_unlock(&e->mu);
	return AZ_OK;
}

static enum az_code
fake_wait(struct az_engine *eng, struct az_str id, int64_t seen, int64_t ms, const bool *stop,
    int64_t *now, struct az_err *err)
{
	struct fake_engine *e;
	struct fake_run *r;
	struct timespec ts;
	enum az_code rc = fake_lock(eng, &e, err);

	(void)stop;
	if (rc != AZ_OK)
		return rc;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	while ((r = fake_find(e, id)) && r->version == seen &&
	       pthread_cond_timedwait(&e->changed, &e->mu, &ts) == 0)
		;
	*now = r ? r->version : 0;
	pthread_mutex_unlock(&e->mu);
	return AZ_OK;
}

static enum az_code
fake_cancel(struct az_engine *eng, struct az_str id, struct az_str payload, struct az_err *err)
{
	struct fake_engine *e;
	struct fake_run *r;
	enum az_code rc = fake_lock(eng, &e, err);
	bool asked = false;

	if (rc != AZ_OK)
		return rc;
	if (!(r = fake_find(e, id)))
		rc = az_fail(err, AZ_ENOTFOUND, "fake", "no run");
	else if (r->state != AZ_RUN_OPEN)
		rc = az_fail(err, AZ_ECONFLICT, "fake", "over");
	for (size_t i = 0; rc == AZ_OK && i < r->n; i++)
		asked |= r->ev[i].type == AZ_EV_CANCEL_REQUESTED;
	if (rc == AZ_OK && !asked) {
		fake_append(
		    e, r, (struct az_event){.type = AZ_EV_CANCEL_REQUESTED, .payload = payload});
		fake_fold(e, r);
	}
	pthread_mutex_unlock(&e->mu);
	return rc;
}

static enum az_code
fake_remove(struct az_engine *eng, struct az_str id, struct az_err *err)
{
	struct fake_engine *e;
	struct fake_run *r;
	enum az_code rc = fake_lock(eng, &e, err);

	if (rc != AZ_OK)
		return rc;
	if ((r = fake_find(e, id)))
		r->gone = true;
	pthread_mutex_unlock(&e->mu);
	return r ? AZ_OK : az_fail(err, AZ_ENOTFOUND, "fake", "no run");
}

static enum az_code
fake_load(struct az_engine *eng, const char *type, struct az_engine_load *out, struct az_err *err)
{
	struct fake_engine *e;
	enum az_code rc = fake_lock(eng, &e, err);

	(void)type;
	if (rc != AZ_OK)
		return rc;
	for (size_t i = 0; i < e->n; i++)
		out->runs[e->run[i].state]++;
	out->fn_waiting = 3;
	pthread_mutex_unlock(&e->mu);
	return AZ_OK;
}

static enum az_code
fake_ping(struct az_engine *eng, struct az_err *err)
{
	struct fake_engine *e;
	enum az_code rc = fake_lock(eng, &e, err);

	if (rc == AZ_OK) {
		e->pings++;
		pthread_mutex_unlock(&e->mu);
	}
	return rc;
}

static const struct az_engine_ops fake_ops = {.name = "fake",
    .start = fake_start,
    .describe = fake_describe,
    .history = fake_history,
    .list = fake_list,
    .wait = fake_wait,
    .cancel = fake_cancel,
    .remove = fake_remove,
    .load = fake_load,
    .ping = fake_ping};

/* ---- everything together ---- */

struct api_fixture {
	struct fake_engine engine;
	struct az_api api;
	struct web_fixture web;
};

static bool
api_fixture_start(struct api_fixture *f, const struct az_route *routes)
{
	static const struct az_auth_opts dev = {.identity = "dev"};

	memset(f, 0, sizeof *f);
	f->engine.base.ops = &fake_ops;
	f->engine.a = az_arena_new((size_t)256 * 1024 * 1024);
	pthread_mutex_init(&f->engine.mu, NULL);
	pthread_cond_init(&f->engine.changed, NULL);
	f->api.engine = &f->engine.base;
	f->api.secrets.n = 1;
	memset(f->api.secrets.key[0], 7, sizeof f->api.secrets.key[0]);
	f->api.sync_wait_ms = 20000;
	f->api.prompt_generate = AZ_S("write code");
	f->api.prompt_validate = AZ_S("judge it");
	f->api.cache = az_api_cache_new(64);
	f->api.logs = az_api_logs_new();
	f->web.w.arena_bytes = (size_t)64 * 1024 * 1024;
	return az_auth_open(&dev, &f->api.auth, NULL) == AZ_OK &&
	       az_store_mem_open(&f->api.store, NULL) == AZ_OK &&
	       web_fixture_start(&f->web, routes, &f->api);
}

static bool
api_fixture_stop(struct api_fixture *f)
{
	web_fixture_stop(&f->web);
	az_api_cache_free(f->api.cache);
	az_api_logs_free(f->api.logs);
	az_auth_close(f->api.auth);
	az_store_close(f->api.store);
	az_arena_free(f->engine.a);
	pthread_mutex_destroy(&f->engine.mu);
	pthread_cond_destroy(&f->engine.changed);
	return f->web.rc == AZ_OK;
}

/* One request as user; extra headers as CGI parameters, NULL-terminated. */
static void
api_call(struct api_fixture *f, const char *user, const char *method, const char *path,
    const char *query, const char *body, const char *const *extra, struct fcgi_resp *r)
{
	const char *params[16] = {"HTTP_HOST=localhost:8000"};
	char who[200];
	size_t n = 1;
	struct fcgi_req q = {.method = method,
	    .path = path,
	    .query = query,
	    .params = params,
	    .body = body,
	    .body_n = body ? strlen(body) : 0};

	if (user) {
		snprintf(who, sizeof who, "HTTP_X_USER_ID=%s", user);
		params[n++] = who;
	}
	for (size_t i = 0; extra && extra[i] && n < 14; i++)
		params[n++] = extra[i];
	if (body) /* the first of a name counts, so extra may say otherwise */
		params[n++] = "CONTENT_TYPE=application/json";
	if (!fcgi_peer_call(f->web.path, &q, r) || r->on_stderr)
		abort();
}

#endif
