/*
 * OpenAI Chat Completions, for every server that speaks it and for our own replay
 * process. One completion = up to `tries` calls, with the official SDK's policy on
 * when and how long to wait; a 400 that names a field costs no try.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/log.h>
#include "openai.h"

static const char OP[] = "llm.complete";

enum {
	TRIES = 4,
	ADJUSTMENTS = 6,
	IDLE_MS = 120000,
	TOTAL_MS = 900000,
	CONNECT_MS = 5000,
	PING_MS = 3000, /* who asks whether it is there does not wait for long */
	BACKOFF_MS = 500,
	BACKOFF_MAX_MS = 8000,
	RETRY_AFTER_MAX_MS = 120000,
	BYTES_A_TOKEN = 4, /* where the server does not count */
	MODELS = 64,       /* whose quirks are remembered */
	SLICE_MS = 200     /* between two looks at cancelled */
};
#define REQUEST_BYTES AZ_MIB(16)

struct known {
	char model[96];
	struct openai_quirks k;
};

struct openai {
	struct az_llm base;
	struct az_http *http;
	char *url, *models_url, *auth; /* auth: a header line, or NULL */
	char provenance[16];
	int tries, idle_ms;
	int64_t total_ms;
	pthread_mutex_t mu; /* known */
	struct known known[MODELS];
	size_t n_known; /* ever added; the ring wraps */
};

/* One HTTP call under way. */
struct call {
	const struct az_llm_req *q;
	struct openai_stream s;
	enum az_code stream_rc;
};

static struct openai_quirks
recall(struct openai *o, struct az_str model)
{
	struct openai_quirks k = {0};

	pthread_mutex_lock(&o->mu);
	for (size_t i = 0; i < MODELS && i < o->n_known; i++)
		if (az_str_eqc(model, o->known[i].model))
			k = o->known[i].k;
	pthread_mutex_unlock(&o->mu);
	return k;
}

static void
remember(struct openai *o, struct az_str model, const struct openai_quirks *k)
{
	struct known *slot = NULL;

	if (model.n >= sizeof slot->model)
		return;
	pthread_mutex_lock(&o->mu);
	for (size_t i = 0; i < MODELS && i < o->n_known; i++)
		if (az_str_eqc(model, o->known[i].model))
			slot = &o->known[i];
	if (!slot) {
		slot = &o->known[o->n_known++ % MODELS];
		memcpy(slot->model, model.p, model.n);
		slot->model[model.n] = '\0';
	}
	slot->k = *k;
	pthread_mutex_unlock(&o->mu);
}

static bool
cancelled(void *arg)
{
	struct call *c = arg;

	return c->q->cancelled && c->q->cancelled(c->q->arg);
}

static enum az_code
data(void *arg, struct az_str chunk, struct az_err *err)
{
	struct call *c = arg;

	c->stream_rc = openai_stream_push(&c->s, chunk, err);
	if (!c->stream_rc && c->q->progress)
		c->q->progress(c->q->arg, c->s.text.n);
	return c->stream_rc;
}

/* Wait without missing a cancel. */
static enum az_code
pause_ms(const struct az_llm_req *q, int64_t ms, struct az_err *err)
{
	int64_t until = az_boot_ms() + ms, left;

	while ((left = until - az_boot_ms()) > 0) {
		if (q->cancelled && q->cancelled(q->arg))
			return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		(void)poll(NULL, 0, (int)(left < SLICE_MS ? left : SLICE_MS));
	}
	return AZ_OK;
}

static size_t
prompt_bytes(const struct az_llm_req *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n_msgs; i++)
		n += q->msgs[i].text.n;
	return n;
}

static int64_t
tokens_of(size_t bytes)
{
	return (int64_t)(bytes + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN;
}

static enum az_code
terminal(struct az_err *err, enum az_code code, const char *reason)
{
	if (err)
		(void)az_err_reason(err, reason);
	return code;
}

/* A transfer that came to its end: into the caller's reply, or why it is no answer. */
static enum az_code
accept_reply(struct openai *o, struct call *c, struct az_arena *a, struct az_llm_reply *r,
    struct az_err *err)
{
	struct openai_stream *s = &c->s;
	struct az_str text = az_buf_str(&s->text);
	size_t sent = prompt_bytes(c->q);

	if ((s->refusal.n && text.n == 0) || strcmp(s->finish, "content_filter") == 0)
		return terminal(err,
		    az_fail(err, AZ_EUNPROC, OP, "the model refused: %.*s",
			AZ_FMT(az_buf_str(&s->refusal))),
		    "bad_model_output");
	/* no tokenizer packs 12 bytes of a long prompt into a token: it was cut */
	if (strcmp(o->provenance, "recording") != 0 && s->tokens_in > 0 && sent > 8192 &&
	    (int64_t)sent / 12 > s->tokens_in)
		return terminal(err,
		    az_fail(err, AZ_EPERM, OP,
			"the server read only %lld tokens of a prompt of %zu bytes: raise its "
			"context size (num_ctx)",
			(long long)s->tokens_in, sent),
		    "llm_unavailable");
	r->text = az_arena_str(a, az_llm_unthink(text));
	if (!r->text.p)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	memcpy(r->finish, s->finish, sizeof r->finish);
	memcpy(r->model, s->model, sizeof r->model);
	memcpy(r->provenance, o->provenance, sizeof r->provenance);
	if (strcmp(o->provenance, "recording") != 0) {
		/* a server that does not count would make every limit void */
		r->tokens_in = s->tokens_in > 0 ? s->tokens_in : tokens_of(sent);
		r->tokens_out = s->tokens_out > 0 ? s->tokens_out : tokens_of(text.n);
	}
	return AZ_OK;
}

/* One HTTP call. *next says what to do when the result is not AZ_OK; *after_ms what
   the server asked for, -1 if nothing. */
static enum az_code
once(struct openai *o, struct call *c, struct openai_quirks *k, int64_t left_ms,
    enum openai_next *next, int64_t *after_ms, struct az_err *err)
{
	struct az_str id = az_log_request_id();
	struct az_http_resp resp = {0};
	struct openai_fault f;
	const char *headers[5];
	char id_line[160];
	struct az_buf body;
	enum az_code rc;
	size_t n = 0;

	*next = NEXT_FAIL;
	*after_ms = -1;
	az_buf_init(&body, REQUEST_BYTES);
	openai_body(c->q, k, &body);
	if ((rc = az_buf_check(&body, OP, err)))
		goto out;
	headers[n++] = "Content-Type: application/json";
	headers[n++] = "Accept: text/event-stream, application/json";
	if (o->auth)
		headers[n++] = o->auth;
	if (id.n && id.n < 128) {
		snprintf(id_line, sizeof id_line, "X-Request-Id: %.*s", AZ_FMT(id));
		headers[n++] = id_line;
	}
	headers[n] = NULL;
	rc = az_http_call(o->http,
	    &(struct az_http_req){.method = "POST",
		.url = o->url,
		.headers = headers,
		.body = az_buf_str(&body),
		.data = data,
		.cancelled = cancelled,
		.arg = c,
		.connect_ms = CONNECT_MS,
		.idle_ms = o->idle_ms,
		.total_ms = left_ms},
	    &resp, err);
	if (rc == AZ_OK && (resp.status < 200 || resp.status > 299)) {
		openai_fault_read(&f, resp.status, az_buf_str(&resp.body));
		*next = openai_judge(&f, az_http_header(&resp, "x-should-retry"), c->q, k, err);
		if (az_http_header(&resp, "retry-after").p ||
		    az_http_header(&resp, "retry-after-ms").p)
			*after_ms = az_http_retry_after_ms(&resp);
		/* an adjustment has no error of its own */
		rc = *next == NEXT_ADJUST ? AZ_EUPSTREAM : err->code;
		goto out;
	}
	/* cut after finish_reason: the answer is whole */
	if (rc == AZ_OK || (rc == AZ_EUPSTREAM && c->s.finish[0] && !c->stream_rc))
		rc = openai_stream_end(&c->s, err);
	if (rc == AZ_OK && c->s.failed) {
		*next = openai_judge(&c->s.fault, (struct az_str){NULL, 0}, c->q, k, err);
		rc = *next == NEXT_ADJUST ? AZ_EUPSTREAM : err->code;
		goto out;
	}
	if (rc == AZ_EUNAVAIL || rc == AZ_ETIMEOUT || rc == AZ_EUPSTREAM) {
		*next = NEXT_RETRY;
		(void)terminal(err, rc, "llm_unavailable");
	} else if (rc == AZ_ETOOBIG) {
		(void)terminal(err, rc, "bad_model_output");
	}
out:
	az_http_resp_release(&resp);
	az_buf_release(&body);
	return rc;
}

static enum az_code
complete(struct az_llm *l, const struct az_llm_req *q, struct az_arena *a, struct az_llm_reply *r,
    struct az_err *err)
{
	struct openai *o = (struct openai *)l;
	struct openai_quirks k = recall(o, q->model);
	int64_t total = q->total_ms > 0 && q->total_ms < o->total_ms ? q->total_ms : o->total_ms;
	int64_t end = az_boot_ms() + total, left, after, wait;
	int most = q->tries > 0 && q->tries < o->tries ? q->tries : o->tries;
	struct az_err local = AZ_ERR_INIT;
	struct az_err *e = err ? err : &local;
	int tries = 0, adjusted = 0;
	enum openai_next next;
	enum az_code rc;

	if (k.rung == RUNG_OBJECT && !openai_says_json(q))
		k.rung = RUNG_NONE;
	for (;;) {
		struct call c = {.q = q};

		left = end - az_boot_ms();
		openai_stream_init(&c.s);
		rc = once(o, &c, &k, left > 1 ? left : 1, &next, &after, e);
		r->calls++;
		if (rc == AZ_OK)
			rc = accept_reply(o, &c, a, r, e);
		openai_stream_release(&c.s);
		if (rc == AZ_OK || next == NEXT_FAIL)
			return rc;
		if (next == NEXT_ADJUST && ++adjusted <= ADJUSTMENTS) {
			remember(o, q->model, &k);
			continue;
		}
		if (next == NEXT_ADJUST)
			return terminal(e,
			    az_fail(e, AZ_EPERM, OP,
				"the model server refuses every form of the request"),
			    "llm_unavailable");
		if (after > 0)
			e->retry_after_ms = after;
		wait = after >= 0 ? after : az_backoff_ms(tries + 1, BACKOFF_MS, BACKOFF_MAX_MS, 0);
		if (++tries >= most || after > RETRY_AFTER_MAX_MS || az_boot_ms() + wait >= end)
			return rc;
		az_log(AZ_WARN, "llm.retry", AZ_KE(e), AZ_KN("try", tries), AZ_KN("wait_ms", wait));
		if ((rc = pause_ms(q, wait, e)))
			return rc;
	}
}

static enum az_code
ping(struct az_llm *l, struct az_err *err)
{
	struct openai *o = (struct openai *)l;
	const char *headers[] = {o->auth, NULL};
	struct az_http_resp resp = {0};
	enum az_code rc;

	rc = az_http_call(o->http,
	    &(struct az_http_req){.method = "GET",
		.url = o->models_url,
		.headers = headers,
		.total_ms = PING_MS,
		.max_bytes = AZ_MIB(4)},
	    &resp, err);
	if (rc == AZ_OK && (resp.status == 401 || resp.status == 403))
		rc = az_fail(err, AZ_EPERM, "llm.ping", "the key was refused");
	else if (rc == AZ_OK && resp.status >= 500)
		rc = az_fail(err, AZ_EUNAVAIL, "llm.ping", "the server answered %d", resp.status);
	az_http_resp_release(&resp);
	return rc ? terminal(err, rc, "llm_unavailable") : AZ_OK;
}

static void
close_openai(struct az_llm *l)
{
	struct openai *o = (struct openai *)l;

	/* the header line holds the key */
	if (o->auth)
		explicit_bzero(o->auth, strlen(o->auth));
	free(o->url);
	free(o->models_url);
	free(o->auth);
	pthread_mutex_destroy(&o->mu);
	free(o);
}

static const struct az_llm_ops ops = {
    .name = "openai",
    .complete = complete,
    .ping = ping,
    .close = close_openai,
};

/* base + path, before a query ("?api-version=…") if there is one */
static char *
join(const char *base, const char *path)
{
	struct az_str b = az_str_c(base), query = {NULL, 0};
	ptrdiff_t q = az_str_chr(b, '?');
	char *out = NULL;

	if (q >= 0) {
		query = az_str_sub(b, (size_t)q, b.n);
		b = az_str_sub(b, 0, (size_t)q);
	}
	while (b.n && b.p[b.n - 1] == '/')
		b.n--;
	if (asprintf(&out, "%.*s%s%.*s", AZ_FMT(b), path, AZ_FMT(query)) < 0)
		return NULL;
	return out;
}

enum az_code
az_llm_openai_open(const struct az_llm_openai_opts *opts, struct az_llm **out, struct az_err *err)
{
	const char *provenance = opts->provenance ? opts->provenance : "hosted";
	struct openai *o;

	*out = NULL;
	if (!opts->http || !opts->base_url || !opts->base_url[0] ||
	    strlen(provenance) >= sizeof o->provenance)
		return az_fail(err, AZ_EINVAL, "llm.open", "a base URL is needed");
	o = calloc(1, sizeof *o);
	if (!o)
		return az_fail(err, AZ_ENOMEM, "llm.open", "no memory");
	o->base.ops = &ops;
	o->http = opts->http;
	o->tries = opts->tries > 0 ? opts->tries : TRIES;
	o->idle_ms = opts->idle_ms > 0 ? opts->idle_ms : IDLE_MS;
	o->total_ms = opts->total_ms > 0 ? opts->total_ms : TOTAL_MS;
	memcpy(o->provenance, provenance, strlen(provenance) + 1);
	pthread_mutex_init(&o->mu, NULL);
	o->url = join(opts->base_url, "/chat/completions");
	o->models_url = join(opts->base_url, "/models");
	if (opts->key && opts->key[0] &&
	    asprintf(&o->auth, "%s%s",
		strstr(opts->base_url, ".azure.com/") ? "api-key: " : "Authorization: Bearer ",
		opts->key) < 0)
		o->auth = NULL;
	if (!o->url || !o->models_url || (opts->key && opts->key[0] && !o->auth)) {
		close_openai(&o->base);
		return az_fail(err, AZ_ENOMEM, "llm.open", "no memory");
	}
	*out = (struct az_llm *)o;
	return AZ_OK;
}
