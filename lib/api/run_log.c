#include <stdatomic.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/limits.h>
#include "run_log.h"

#define BUCKETS 1024
#define LOG_BYTES AZ_MIB(64) /* of one run */
#define FRAME_BYTES AZ_MIB(1)

static const char op[] = "api.events";

struct run_text {
	atomic_int refs;
	uint64_t number; /* of the progress, in its log */
	size_t n;
	char p[];
};

struct run_log {
	struct run_log *next; /* in its bucket */
	struct az_api_logs *in;
	const struct az_api *api;
	int refs; /* in->mu; what follows: mu */
	pthread_mutex_t mu;
	pthread_cond_t changed;
	bool asking;   /* one of the streams waits for the engine */
	bool behind;   /* events are there that were not rendered */
	uint64_t turn; /* of looks that found something; 0: none yet */
	int64_t version;
	struct az_arena *keep; /* text of events and frames, and the frames */
	struct az_event *ev;
	size_t n_ev, cap_ev;
	struct run_frame *frame;
	size_t n_frame, cap_frame;
	struct run_text *progress;
	uint64_t n_progress;
	struct az_str id;
	char id_text[];
};

struct az_api_logs {
	pthread_mutex_t mu;
	struct run_log *bucket[BUCKETS];
};

struct az_api_logs *
az_api_logs_new(void)
{
	struct az_api_logs *t = calloc(1, sizeof *t);

	if (t)
		pthread_mutex_init(&t->mu, NULL);
	return t;
}

void
az_api_logs_free(struct az_api_logs *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->mu);
	free(t);
}

struct az_str
run_text_str(const struct run_text *t)
{
	return az_str_n(t->p, t->n);
}

void
run_text_drop(struct run_text *t)
{
	if (t && atomic_fetch_sub(&t->refs, 1) == 1)
		free(t);
}

static enum az_code
nomem(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, op, "out of memory");
}

/* ---- looking; mu held ---- */

static enum az_code
events_add(struct run_log *l, const struct az_history *h, struct az_err *err)
{
	size_t cap = l->cap_ev ? l->cap_ev : 16;
	struct az_event *ev;

	while (cap < l->n_ev + h->n)
		cap *= 2;
	if (cap > l->cap_ev) {
		if (!(ev = realloc(l->ev, cap * sizeof *ev)))
			return nomem(err);
		l->ev = ev;
		l->cap_ev = cap;
	}
	if (h->n)
		memcpy(l->ev + l->n_ev, h->ev, h->n * sizeof *h->ev);
	l->n_ev += h->n;
	return AZ_OK;
}

struct render {
	struct run_log *l;
	enum az_code rc;
	struct az_err *err;
};

static enum az_code
frame_add(struct run_log *l, const struct run_frame *f, struct az_err *err)
{
	struct run_frame *to;

	if (l->n_frame == l->cap_frame) {
		size_t cap = l->cap_frame ? l->cap_frame * 2 : 16;

		/* who reads the old ones may go on */
		if (!(to = az_arena_alloc(l->keep, cap * sizeof *to)))
			return nomem(err);
		if (l->n_frame)
			memcpy(to, l->frame, l->n_frame * sizeof *to);
		l->frame = to;
		l->cap_frame = cap;
	}
	l->frame[l->n_frame++] = *f;
	return AZ_OK;
}

static bool
frame_of(void *arg, const struct az_flow_event *e)
{
	struct render *r = arg;
	struct run_frame f = {.seq = e->seq, .last = e->last};
	struct az_buf b;

	az_buf_init(&b, FRAME_BYTES);
	r->rc = az_sse_frame(&b, e->seq, e->type, e->data, r->err);
	if (!r->rc && !(f.text = az_arena_str(r->l->keep, az_buf_str(&b))).p)
		r->rc = nomem(r->err);
	az_buf_release(&b);
	if (!r->rc)
		r->rc = frame_add(r->l, &f, r->err);
	return r->rc == AZ_OK;
}

/* What a heartbeat says, without a number: it is not part of the log. */
static void
progress_of(struct run_log *l, const struct az_run_info *info)
{
	struct az_str beat = info->n_pending ? info->pending[0].heartbeat : AZ_S("");
	struct run_text *t = NULL;
	struct az_json *j = NULL;
	struct az_buf data, b;
	struct az_jw w;

	az_buf_init(&data, AZ_KIB(256));
	az_buf_init(&b, AZ_KIB(300));
	if (beat.n == 0 || az_json_parse(beat, &az_json_own_limits, &j, NULL) != AZ_OK) {
		run_text_drop(l->progress);
		l->progress = NULL;
		goto out;
	}
	az_jw_init(&w, &data);
	az_jw_obj(&w);
	az_jw_ks(&w, "phase", az_json_gets(j, "phase"));
	az_jw_ki(&w, "iteration", az_json_geti(j, "iteration", 0));
	az_jw_ki(&w, "tokens", az_json_geti(j, "tokens", 0));
	az_jw_ks(&w, "tail", az_json_gets(j, "tail"));
	az_jw_end(&w, '}');
	if (data.fail || az_sse_frame(&b, -1, AZ_S("progress"), az_buf_str(&data), NULL) ||
	    (l->progress && az_str_eq(run_text_str(l->progress), az_buf_str(&b))) ||
	    !(t = malloc(sizeof *t + b.n)))
		goto out;
	atomic_init(&t->refs, 1);
	t->number = ++l->n_progress;
	t->n = b.n;
	memcpy(t->p, b.p, b.n);
	run_text_drop(l->progress);
	l->progress = t;
out:
	az_buf_release(&data);
	az_buf_release(&b);
	az_json_free(j);
}

static enum az_code
look(struct run_log *l, struct az_err *err)
{
	struct az_arena *tmp = az_arena_new(RUN_FOLD_BYTES);
	int64_t had = l->n_ev ? l->ev[l->n_ev - 1].id : 0;
	struct render r = {.l = l, .rc = AZ_OK, .err = err};
	struct az_history more = {NULL, 0};
	struct az_run_info info;
	enum az_code rc;

	if (!tmp)
		return nomem(err);
	/* the owner was compared before a stream came here */
	rc = api_engine_rc(az_engine_describe(l->api->engine, l->id, tmp, &info, err), err);
	l->behind = l->behind || (!rc && info.last_event > had);
	if (!rc && l->behind) {
		struct az_history h;

		if ((rc = api_run_history(l->api, l->keep, l->id, had, &more, err)) ||
		    (rc = events_add(l, &more, err)))
			goto out;
		h = (struct az_history){l->ev, l->n_ev};
		rc = az_flow_events(
		    &h, l->n_frame ? l->frame[l->n_frame - 1].seq : 0, tmp, frame_of, &r, err);
		rc = rc ? rc : r.rc;
		l->behind = rc != AZ_OK;
	}
	if (rc)
		goto out;
	progress_of(l, &info);
	l->version = info.version;
	l->turn++;
out:
	az_arena_free(tmp);
	return rc;
}

/* ---- the streams ---- */

static size_t
bucket_of(struct az_str id)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ (unsigned char)id.p[i]) * 1099511628211u;
	return (size_t)(h >> 20) % BUCKETS;
}

static void
log_free(struct run_log *l)
{
	run_text_drop(l->progress);
	az_arena_free(l->keep);
	free(l->ev);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->mu);
	free(l);
}

static struct run_log *
log_new(const struct az_api *api, struct az_str id)
{
	struct run_log *l = calloc(1, sizeof *l + id.n);

	if (!l)
		return NULL;
	if (!(l->keep = az_arena_new(LOG_BYTES))) {
		free(l);
		return NULL;
	}
	memcpy(l->id_text, id.p, id.n);
	l->id = az_str_n(l->id_text, id.n);
	l->api = api;
	l->in = api->logs;
	l->refs = 1;
	pthread_mutex_init(&l->mu, NULL);
	az_cond_init(&l->changed);
	return l;
}

/* The log that is there already, or a new one. */
static struct run_log *
log_find(const struct az_api *api, struct az_str id)
{
	struct az_api_logs *t = api->logs;
	struct run_log *l, **b;

	if (!t)
		return log_new(api, id);
	b = &t->bucket[bucket_of(id)];
	pthread_mutex_lock(&t->mu);
	for (l = *b; l && !az_str_eq(l->id, id); l = l->next)
		continue;
	if (l) {
		l->refs++;
	} else if ((l = log_new(api, id))) {
		l->next = *b;
		*b = l;
	}
	pthread_mutex_unlock(&t->mu);
	return l;
}

enum az_code
run_log_enter(const struct az_api *api, struct az_str id, struct run_log **out, struct az_err *err)
{
	struct run_log *l = log_find(api, id);
	enum az_code rc = AZ_OK;

	*out = NULL;
	if (!l)
		return nomem(err);
	pthread_mutex_lock(&l->mu);
	if (l->turn == 0)
		rc = look(l, err);
	pthread_mutex_unlock(&l->mu);
	if (rc)
		run_log_leave(l);
	else
		*out = l;
	return rc;
}

void
run_log_leave(struct run_log *l)
{
	struct az_api_logs *t = l ? l->in : NULL;

	if (!l)
		return;
	if (t) {
		struct run_log **at = &t->bucket[bucket_of(l->id)];

		pthread_mutex_lock(&t->mu);
		if (--l->refs) {
			/* it may have been the one that asks */
			pthread_cond_signal(&l->changed);
			pthread_mutex_unlock(&t->mu);
			return;
		}
		while (*at != l)
			at = &(*at)->next;
		*at = l->next;
		pthread_mutex_unlock(&t->mu);
	}
	log_free(l);
}

/* Ask the engine for all who wait; mu held, but not meanwhile. */
static enum az_code
ask(struct run_log *l, int64_t ms, struct az_err *err)
{
	int64_t now = l->version;
	enum az_code rc;

	l->asking = true;
	pthread_mutex_unlock(&l->mu);
	rc = api_engine_rc(az_engine_wait(l->api->engine, l->id, now, ms, NULL, &now, err), err);
	pthread_mutex_lock(&l->mu);
	l->asking = false;
	if (!rc && now != l->version && !(rc = look(l, err)))
		pthread_cond_broadcast(&l->changed);
	return rc;
}

enum az_code
run_log_wait(struct run_log *l, const struct run_seen *seen, int64_t ms, struct az_err *err)
{
	int64_t end = az_boot_ms() + ms, left;
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&l->mu);
	while (!rc && l->turn == seen->turn && (left = end - az_boot_ms()) > 0) {
		if (!l->asking)
			rc = ask(l, left, err);
		else if (!az_cond_wait(&l->changed, &l->mu, end))
			break;
	}
	pthread_mutex_unlock(&l->mu);
	return rc;
}

void
run_log_news(struct run_log *l, struct run_seen *seen, struct run_news *out)
{
	pthread_mutex_lock(&l->mu);
	*out = (struct run_news){.frames = l->frame, .n = l->n_frame};
	if (l->progress && l->progress->number != seen->progress) {
		out->progress = l->progress;
		atomic_fetch_add(&l->progress->refs, 1);
		seen->progress = l->progress->number;
	}
	seen->turn = l->turn;
	pthread_mutex_unlock(&l->mu);
}
