/* The Run object: from describe and the fold's view, or from the cache. */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "cache.h"
#include "run.h"

#define PAGE 1000

static const char *const statuses[] = {"queued", "running", "awaiting_input", "paused",
    "cancelling", "succeeded", "failed", "cancelled", "timed_out", NULL};

const char *
api_run_status(struct az_str s)
{
	for (size_t i = 0; statuses[i]; i++)
		if (az_str_eqc(s, statuses[i]))
			return statuses[i];
	return NULL;
}

enum az_code
api_run_describe(const struct az_api *api, struct az_arena *a, struct az_str uid, struct az_str id,
    struct az_run_info *out, struct az_err *err)
{
	enum az_code rc = api_engine_rc(az_engine_describe(api->engine, id, a, out, err), err);

	/* a start made by another client has no owner in its memo: then the id decides */
	if (rc == AZ_OK &&
	    ((out->uid.n && !az_str_eq(out->uid, uid)) || !az_wid_owned_by(id, uid) ||
		!az_str_eqc(out->type, az_flow_coding.name)))
		rc = az_fail(err, AZ_ENOTFOUND, "api.run", "no such run");
	return rc;
}

enum az_code
api_run_history(const struct az_api *api, struct az_arena *a, struct az_str id, int64_t after,
    struct az_history *h, struct az_err *err)
{
	for (;;) {
		struct az_history page = {NULL, 0};
		struct az_event *ev;
		enum az_code rc = api_engine_rc(
		    az_engine_history(api->engine, id, after, PAGE, a, &page, err), err);

		if (rc != AZ_OK)
			return rc;
		if (page.n && h->n == 0) {
			*h = page;
		} else if (page.n) {
			if (!(ev = az_arena_alloc(a, (h->n + page.n) * sizeof *ev)))
				return az_fail(err, AZ_ENOMEM, "api.run", "history too long");
			memcpy(ev, h->ev, h->n * sizeof *ev);
			memcpy(ev + h->n, page.ev, page.n * sizeof *ev);
			*h = (struct az_history){ev, h->n + page.n};
		}
		if (page.n < PAGE)
			return AZ_OK;
		after = page.ev[page.n - 1].id;
	}
}

/* What an open run waits for, when it is not working. */
static void
write_waiting(struct az_jw *w, const struct az_run_info *info)
{
	const struct az_pending *p = info->n_pending ? &info->pending[0] : NULL;
	bool idle = !info->has_worker;

	/* a function that failed before and has its next try ahead of it */
	if (p && (p->running || p->last_reason.n == 0))
		p = NULL;
	if (info->state != AZ_RUN_OPEN || (!idle && !p)) {
		az_jw_kn(w, "waiting");
		return;
	}
	az_jw_key(w, "waiting");
	az_jw_obj(w);
	if (idle) {
		az_jw_kc(w, "reason", "no_worker");
	} else if (p) {
		az_jw_ks(w, "reason", p->last_reason);
		az_jw_ki(w, "attempt", p->attempt);
		az_jw_kt(w, "next_at", p->next_ms);
	}
	az_jw_end(w, '}');
}

struct beat { /* the latest heartbeat */
	struct az_json *doc;
	const char *phase;
	struct az_str tail;
};

static void
beat_open(struct beat *b, const struct az_run_info *info)
{
	static const char *const phases[] = {
	    "prepare", "generate", "execute", "check", "judge", "finalize"};
	struct az_str phase;

	*b = (struct beat){.tail = {"", 0}};
	if (info->n_pending == 0 || info->pending[0].heartbeat.n == 0 ||
	    az_json_parse(info->pending[0].heartbeat, &az_json_own_limits, &b->doc, NULL))
		return;
	phase = az_json_gets(b->doc, "phase");
	for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
		if (az_str_eqc(phase, phases[i]))
			b->phase = phases[i];
	b->tail = az_json_gets(b->doc, "tail");
}

static void
write_link(struct az_jw *w, const char *name, const char *head, struct az_str id, const char *tail)
{
	char text[300];

	snprintf(text, sizeof text, "%s%.*s%s", head, AZ_FMT(id), tail);
	az_jw_kc(w, name, text);
}

static void
write_links(struct az_jw *w, struct az_str id)
{
	static const struct {
		const char *name, *head, *tail;
	} links[] = {{"self", "/run_workflow/", ""}, {"result", "/run_workflow/", "/result"},
	    {"events", "/run_workflow/", "/events"}, {"cancel", "/run_workflow/", "/cancel"},
	    {"signal", "/run_workflow/", "/signal"},
	    {"iterations", "/run_workflow/", "/iterations"}, {"files", "/files/", ""},
	    {"zip", "/files/", "?format=zip"}};

	az_jw_key(w, "links");
	az_jw_obj(w);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		write_link(w, links[i].name, links[i].head, id, links[i].tail);
	az_jw_end(w, '}');
}

/* What a person has to do before the run goes on. */
static void
write_needed(struct az_jw *w, const struct az_flow_view *v, struct az_str id)
{
	char prompt[64];

	if (!v->needs) {
		az_jw_kn(w, "input_needed");
		return;
	}
	az_jw_key(w, "input_needed");
	az_jw_obj(w);
	az_jw_kc(w, "kind", v->needs);
	az_jw_kc(w, "step", v->needs_step);
	az_jw_ki(w, "iteration", v->iteration);
	az_jw_key(w, "links");
	az_jw_obj(w);
	write_link(w, "signal", "/run_workflow/", id, "/signal");
	snprintf(prompt, sizeof prompt, "/iterations/%d/logs/prompt", v->iteration);
	write_link(w, "prompt", "/run_workflow/", id, prompt);
	az_jw_end(w, '}');
	az_jw_end(w, '}');
}

static void
write_usage(struct az_jw *w, const struct az_flow_view *v, int64_t now_ms)
{
	int64_t end = v->finished_ms ? v->finished_ms : now_ms;

	az_jw_key(w, "usage");
	az_jw_obj(w);
	az_jw_ki(w, "llm_calls", v->llm_calls);
	az_jw_ki(w, "tokens_in", v->tokens_in);
	az_jw_ki(w, "tokens_out", v->tokens_out);
	az_jw_ki(w, "sandbox_s", (v->sandbox_ms + 999) / 1000);
	az_jw_ki(
	    w, "wall_s", v->started_ms && end > v->started_ms ? (end - v->started_ms) / 1000 : 0);
	az_jw_end(w, '}');
}

void
api_run_render(struct az_buf *b, const struct az_flow_view *v, const struct az_run_info *info,
    struct az_str warnings, int64_t now_ms)
{
	struct az_str prov = v->provenance;
	struct beat beat;
	struct az_jw w;

	if (prov.n == 0 && az_str_starts(v->model_name, AZ_S("recording/")))
		prov = AZ_S("recording");
	beat_open(&beat, info);
	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_ks(&w, "workflow_id", info->workflow_id);
	az_jw_ks(&w, "user_id", info->uid);
	az_jw_kc(&w, "status", v->status);
	az_jw_kc(&w, "phase", v->phase && beat.phase ? beat.phase : v->phase);
	if (v->result < 0)
		az_jw_kn(&w, "result");
	else
		az_jw_kb(&w, "result", v->result == 1);
	az_jw_kc(&w, "reason", v->reason);
	if (v->message.n)
		az_jw_ks(&w, "message", v->message);
	if (v->queue_position)
		az_jw_ki(&w, "queue_position", v->queue_position);
	az_jw_key(&w, "progress");
	az_jw_obj(&w);
	az_jw_ki(&w, "percent", v->percent);
	az_jw_ki(&w, "iteration", v->iteration);
	az_jw_ki(&w, "max_iterations", v->max_iterations);
	az_jw_ks(&w, "tail", beat.tail);
	write_waiting(&w, info);
	az_jw_end(&w, '}');
	write_needed(&w, v, info->workflow_id);
	if (v->best_iteration)
		az_jw_ki(&w, "best_iteration", v->best_iteration);
	if (v->forked_from.n)
		az_jw_kraw(&w, "forked_from", v->forked_from);
	az_jw_kraw(&w, "checks", v->checks.n ? v->checks : AZ_S("[]"));
	az_jw_key(&w, "model");
	az_jw_obj(&w);
	az_jw_ks(&w, "name", v->model_name);
	if (prov.n)
		az_jw_ks(&w, "provenance", prov);
	else
		az_jw_kn(&w, "provenance");
	az_jw_end(&w, '}');
	az_jw_kraw(&w, "limits", v->limits.n ? v->limits : AZ_S("{}"));
	write_usage(&w, v, now_ms);
	az_jw_kt(&w, "created_at", v->created_ms);
	az_jw_kt(&w, "started_at", v->started_ms);
	az_jw_kt(&w, "finished_at", v->finished_ms);
	az_jw_ki(&w, "last_event", v->last_event);
	az_jw_kraw(&w, "warnings", warnings.n ? warnings : AZ_S("[]"));
	write_links(&w, info->workflow_id);
	az_jw_end(&w, '}');
	az_json_free(beat.doc);
}

/* Array text of the start's warnings. */
static struct az_str
warnings_of(const struct az_history *h, struct az_arena *a)
{
	const struct az_json *in = NULL, *list;
	struct az_str out = AZ_S("[]");
	struct az_buf b;
	struct az_jw w;

	if (h->n == 0 || h->ev[0].type != AZ_EV_STARTED ||
	    az_json_parse_in(a, h->ev[0].payload, &az_json_own_limits, &in, NULL) != AZ_OK)
		return out;
	list = az_json_get(in, "warnings");
	if (az_json_type(list) != AZ_JARR || az_json_len(list) == 0)
		return out;
	az_buf_init(&b, AZ_KIB(64));
	az_jw_init(&w, &b);
	az_jw_value(&w, list);
	if (!b.fail && b.n)
		out = az_arena_str(a, az_buf_str(&b));
	az_buf_release(&b);
	return out;
}

/* Read and fold the history; the result is put into the cache. */
static enum az_code
fold(const struct az_api *api, struct az_arena *a, struct az_run_info *info, struct cache_item *it,
    struct az_err *err)
{
	struct az_arena *tmp = az_arena_new(RUN_FOLD_BYTES);
	struct az_history h = {NULL, 0};
	const struct az_json *req = NULL;
	struct az_flow_view v;
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, RUN_JSON_BYTES);
	if (!tmp) {
		rc = az_fail(err, AZ_ENOMEM, "api.run", "out of memory");
		goto out;
	}
	if ((rc = api_run_history(api, tmp, info->workflow_id, 0, &h, err)) != AZ_OK ||
	    (rc = az_flow_view(&h, tmp, &v, err)) != AZ_OK)
		goto out;
	api_run_render(&b, &v, info, warnings_of(&h, tmp), az_wall_ms());
	if ((rc = az_buf_check(&b, "api.run", err)) != AZ_OK)
		goto out;
	*it = (struct cache_item){.status = api_run_status(az_str_c(v.status)),
	    .needs = v.needs,
	    .deaf = v.deaf,
	    .result = v.result == 1,
	    .last_event = v.last_event,
	    .json = az_arena_str(a, az_buf_str(&b))};
	if (!it->json.p) {
		rc = az_fail(err, AZ_ENOMEM, "api.run", "out of memory");
		goto out;
	}
	if (az_json_parse_in(tmp, v.request, &az_json_own_limits, &req, NULL) == AZ_OK)
		it->cancel_on_leave = az_str_eqc(az_json_gets(req, "on_disconnect"), "cancel");
	/* the history may be ahead of the describe: then the next reader renders anew */
	if (h.n && h.ev[h.n - 1].id == info->last_event)
		cache_put(api->cache, info, it);
out:
	az_buf_release(&b);
	az_arena_free(tmp);
	return rc;
}

enum az_code
api_run_load(const struct az_api *api, struct az_arena *a, struct az_str uid, struct az_str id,
    struct api_run *out, struct az_err *err)
{
	struct cache_item it;
	enum az_code rc;

	memset(out, 0, sizeof *out);
	if ((rc = api_run_describe(api, a, uid, id, &out->info, err)) != AZ_OK)
		return rc;
	out->info.uid = uid;
	if (!cache_get(api->cache, &out->info, a, &it) &&
	    (rc = fold(api, a, &out->info, &it, err)) != AZ_OK)
		return rc;
	snprintf(out->etag, sizeof out->etag, "\"%llx-%llx-%d\"",
	    (unsigned long long)out->info.start_ms, (unsigned long long)out->info.version,
	    out->info.has_worker);
	out->json = it.json;
	out->status = it.status;
	out->needs = it.needs;
	out->deaf = it.deaf;
	out->over = out->info.state != AZ_RUN_OPEN;
	out->result = it.result;
	out->cancel_on_leave = it.cancel_on_leave;
	out->last_event = it.last_event;
	return AZ_OK;
}

void
api_run_result(struct az_buf *b, struct az_str uid, const struct api_run *r)
{
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_ks(&w, "workflow_id", r->info.workflow_id);
	az_jw_kb(&w, "result", r->result);
	az_jw_ks(&w, "user_id", uid);
	az_jw_kraw(&w, "run", r->json);
	az_jw_end(&w, '}');
}

enum az_code
api_run_accepted(struct az_rq *rq, struct az_str id, struct az_str json, struct az_err *err)
{
	az_rs_headerf(rq, "Location", "/run_workflow/%.*s", AZ_FMT(id));
	az_rs_headerf(rq, "Retry-After", "%d", RUN_RETRY_S);
	return az_rs_json(rq, 202, json, err);
}
