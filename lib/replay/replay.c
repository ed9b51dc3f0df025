/* Routes: POST /v1/chat/completions, GET /v1/models. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/crypto.h>
#include <azlon/log.h>
#include "replay.h"

static const char OP[] = "replay.serve";

static void
copy_name(char to[REPLAY_NAME_BYTES + 1], struct az_str from)
{
	memcpy(to, from.p, from.n);
	to[from.n] = '\0';
}

/* Only this host's loopback with our port: a page in a browser whose own name was
   pointed at 127.0.0.1 sends another Host. */
static bool
host_ok(struct az_rq *rq, int port)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
	struct az_str host = az_rq_header(rq, "Host");
	char want[64];

	for (size_t i = 0; port && i < sizeof names / sizeof *names; i++) {
		snprintf(want, sizeof want, "%s:%d", names[i], port);
		if (az_str_ieq(host, az_str_c(want)))
			return true;
	}
	return port == 0;
}

/* True when the caller may; else it was answered 403 or 401. */
static bool
allowed(struct az_rq *rq, const struct az_replay *r, enum az_code *rc, struct az_err *err)
{
	const struct az_str bearer = AZ_S("Bearer ");
	struct az_str h = az_rq_header(rq, "Authorization");

	if (!host_ok(rq, r->port)) {
		*rc = replay_error(rq, 403, "invalid_host", err,
		    "this address answers only to its loopback name and port");
		return false;
	}
	if (!r->key ||
	    (az_str_starts(h, bearer) && az_ct_eq(az_str_sub(h, bearer.n, h.n), az_str_c(r->key))))
		return true;
	*rc = replay_error(rq, 401, "invalid_api_key", err,
	    "the replay key is missing or "
	    "wrong");
	return false;
}

/* What a request for this cassette gets as a fault, if anything. */
static void
pick_fault(struct replay_cassette *c, struct replay_answer *w)
{
	int64_t n = c->asked++;

	for (size_t i = 0; i < c->n_faults; i++) {
		if (n < c->faults[i].times) {
			w->fault = c->faults[i].fault;
			w->retry_after_s = c->faults[i].retry_after_s;
			return;
		}
		n -= c->faults[i].times;
	}
}

static void
header_fault(struct az_rq *rq, const struct az_replay *r, struct replay_answer *w)
{
	struct az_str h = az_rq_header(rq, "X-Azlon-Fault"), name;
	int64_t s;

	if (!r->faults || !h.p || !az_str_cut(&h, ';', &name) ||
	    !replay_fault_parse(name, &w->fault))
		return;
	if (az_str_starts(h, AZ_S("retry-after=")) &&
	    az_str_to_i64(az_str_sub(h, 12, h.n), 0, 3600, &s))
		w->retry_after_s = s;
}

enum found { FOUND, NOT_RECORDED, BROKEN, NO_SCRIPT };

/* Find (or record) the entry for a key. Under the lock; e is a copy. */
static enum found
look_up(struct az_replay *r, const char *name, const char *key, struct az_str canon,
    struct replay_answer *w, struct replay_entry *e, size_t *recorded, struct az_err *err)
{
	struct replay_cassette *c = replay_cassette(r, name);
	const struct replay_entry *hit;

	*recorded = c ? c->n : 0;
	if (c && c->broken[0]) {
		(void)az_fail(err, AZ_EIO, OP, "%s.jsonl, %s", name, c->broken);
		return BROKEN;
	}
	if (c)
		pick_fault(c, w);
	hit = c ? replay_find(c, key) : NULL;
	if (!hit && r->record) {
		int64_t asked = c ? c->asked : 1;

		if (replay_record(r, name, c ? c->said + 1 : 1, canon, key, err))
			return NO_SCRIPT;
		c = replay_cassette(r, name);
		hit = c && !c->broken[0] ? replay_find(c, key) : NULL;
		if (c)
			c->asked = asked;
	}
	if (!hit)
		return NOT_RECORDED;
	/* a question asked twice does not turn the script back */
	if (hit->seq > c->said)
		c->said = hit->seq;
	*e = *hit;
	return FOUND;
}

/* Record mode wants a cassette before its first line; a name it has scripts for. */
static enum az_code
miss(struct az_rq *rq, const struct az_replay *r, const char *name, const char *key, enum found f,
    size_t recorded, const struct az_err *why, struct az_err *err)
{
	az_log(AZ_WARN, "replay.miss", AZ_KC("recording", name), AZ_KC("key", key),
	    AZ_KN("recorded", (int64_t)recorded));
	if (f == BROKEN)
		return replay_error(rq, 500, "bad_recording", err, "%s", why->text);
	/* trying again cannot help */
	az_rs_header(rq, "x-should-retry", AZ_S("false"));
	if (f == NO_SCRIPT)
		return replay_error(rq, 409, "no_recording", err,
		    "recording \"%s\" cannot go on: %s", name, why->text);
	if (recorded == 0)
		return replay_error(rq, 409, "no_recording", err,
		    "there is no recording \"%s\"; GET /v1/models lists them", name);
	return replay_error(rq, 409, "no_recording", err,
	    "recording \"%s\" has no reply to this request. If prompts or code changed, "
	    "record it again: make record (key %.16s, %zu replies in %s/%s.jsonl)",
	    name, key, recorded, r->dir, name);
}

static enum az_code
completions(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_replay *r = app;
	struct az_arena *a = az_rq_arena(rq);
	struct az_err why = AZ_ERR_INIT;
	struct replay_answer w = {0};
	struct replay_entry e;
	const struct az_json *j = NULL;
	struct az_str body, model;
	char name[REPLAY_NAME_BYTES + 1], key[65];
	struct az_buf canon;
	size_t recorded = 0;
	enum found f = NOT_RECORDED;
	enum az_code rc = AZ_OK;

	if (!allowed(rq, r, &rc, err))
		return rc;
	if ((rc = az_rq_body(rq, REPLAY_BODY_BYTES, &body, err)))
		return rc;
	if (az_json_parse_in(a, body, &replay_limits, &j, &why))
		return replay_error(rq, 400, "invalid_json", err, "%s", why.text);
	model = az_json_gets(j, "model");
	if (az_str_starts(model, AZ_S("recording/")))
		model = az_str_sub(model, 10, model.n);
	if (!replay_name_ok(model))
		return replay_error(
		    rq, 400, "invalid_model", err, "\"model\" must be the name of a recording");
	copy_name(name, model);
	az_buf_init(&canon, REPLAY_LINE_BYTES);
	if (replay_canon(j, &canon, key, &why)) {
		rc = replay_error(rq, 400, "invalid_request", err, "%s", why.text);
		goto out;
	}
	w.name = name;
	w.key = key;
	w.stream = az_json_getb(j, "stream", false);
	w.usage = az_json_getb(az_json_get(j, "stream_options"), "include_usage", false);
	/* twice: the file may be rewritten between the index and the reading */
	for (int i = 0; i < 2 && !w.line; i++) {
		pthread_mutex_lock(&r->mu);
		f = look_up(r, name, key, az_buf_str(&canon), &w, &e, &recorded, &why);
		pthread_mutex_unlock(&r->mu);
		if (f != FOUND || replay_load(r, name, &e, a, &w.line, &why) == AZ_OK)
			break;
		w.line = NULL;
	}
	header_fault(rq, r, &w);
	if (w.fault == F_429 || w.fault == F_500)
		rc = replay_say(rq, &w, err);
	else if (f != FOUND)
		rc = miss(rq, r, name, key, f, recorded, &why, err);
	else if (!w.line)
		rc = replay_error(rq, 500, "bad_recording", err, "%s", why.text);
	else
		rc = replay_say(rq, &w, err);
out:
	az_buf_release(&canon);
	return rc;
}

static int
by_name(const void *a, const void *b)
{
	const struct replay_cassette *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void
model_object(struct az_jw *w, const struct replay_cassette *c)
{
	az_jw_obj(w);
	az_jw_kc(w, "id", c->name);
	az_jw_kc(w, "object", "model");
	az_jw_ki(w, "created", (int64_t)c->st.st_mtim.tv_sec);
	az_jw_kc(w, "owned_by", "recording");
	az_jw_ki(w, "replies", (int64_t)c->n);
	if (c->broken[0])
		az_jw_kc(w, "broken", c->broken);
	az_jw_end(w, '}');
}

static enum az_code
models(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str want = az_rq_param(rq, "id");
	struct az_replay *r = app;
	enum az_code rc = AZ_OK;
	bool any = false;
	struct az_buf b;
	struct az_jw w;

	if (!allowed(rq, r, &rc, err))
		return rc;
	az_buf_init(&b, AZ_MIB(1));
	az_jw_init(&w, &b);
	pthread_mutex_lock(&r->mu);
	replay_scan(r);
	qsort(r->list, r->n, sizeof *r->list, by_name);
	if (want.n == 0) {
		az_jw_obj(&w);
		az_jw_kc(&w, "object", "list");
		az_jw_key(&w, "data");
		az_jw_arr(&w);
	}
	for (size_t i = 0; i < r->n; i++) {
		if (want.n && !az_str_eqc(want, r->list[i]->name))
			continue;
		model_object(&w, r->list[i]);
		any = true;
	}
	pthread_mutex_unlock(&r->mu);
	if (want.n == 0) {
		az_jw_end(&w, ']');
		az_jw_end(&w, '}');
	}
	if (want.n && !any)
		rc = replay_error(rq, 404, "model_not_found", err, "there is no such recording");
	else if (!(rc = az_buf_check(&b, OP, err)))
		rc = az_rs_json(rq, 200, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

const struct az_route az_replay_routes[] = {
    {"POST", "/v1/chat/completions", completions},
    {"GET HEAD", "/v1/models", models},
    {"GET HEAD", "/v1/models/{id}", models},
    {NULL, NULL, NULL},
};

enum az_code
az_replay_problem(struct az_rq *rq, void *app, const struct az_err *e, int status)
{
	bool ours = e->code != AZ_EINVAL && e->code != AZ_ETOOBIG;

	(void)app;
	return replay_error(rq, status, e->reason[0] ? e->reason : az_code_name(e->code), NULL,
	    "%s", ours ? az_code_sentence(e->code) : e->text);
}

static char *
dup(const char *s)
{
	return s ? az_str_dup(az_str_c(s)) : NULL;
}

enum az_code
az_replay_open(const struct az_replay_opts *o, struct az_replay **out, struct az_err *err)
{
	struct az_replay *r = NULL;
	struct stat st;

	*out = NULL;
	if (!o->dir || !o->dir[0] || strlen(o->dir) > 4000 ||
	    (o->record && strlen(o->record) > 4000))
		return az_fail(
		    err, AZ_EINVAL, "replay.open", "a directory of recordings is needed");
	if (stat(o->dir, &st))
		return az_fail_errno(err, AZ_EIO, "replay.open", "%s", o->dir);
	if (!S_ISDIR(st.st_mode))
		return az_fail(err, AZ_EINVAL, "replay.open", "%s is no directory", o->dir);
	r = calloc(1, sizeof *r);
	if (!r)
		return az_fail(err, AZ_ENOMEM, "replay.open", "no memory");
	pthread_mutex_init(&r->mu, NULL);
	r->dir = dup(o->dir);
	r->key = o->key && o->key[0] ? dup(o->key) : NULL;
	r->record = dup(o->record);
	r->port = o->port;
	r->faults = o->faults;
	if (!r->dir || (o->key && o->key[0] && !r->key) || (o->record && !r->record)) {
		az_replay_close(r);
		return az_fail(err, AZ_ENOMEM, "replay.open", "no memory");
	}
	replay_scan(r);
	*out = r;
	return AZ_OK;
}

void
az_replay_close(struct az_replay *r)
{
	if (!r)
		return;
	replay_forget(r);
	if (r->key)
		az_wipe(r->key, strlen(r->key));
	free(r->dir);
	free(r->key);
	free(r->record);
	pthread_mutex_destroy(&r->mu);
	free(r);
}
