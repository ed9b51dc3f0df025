/* POST {api}/api/engine/endpoints from a thread of its own, which ends once it got an
   answer that will not change. */
#include <stdlib.h>
#include <unistd.h>
#include <azlon/arena.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/json.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "restack_endpoints.h"

enum { FIRST_MS = 1000, LONGEST_MS = 60000, CALL_MS = 10000 };

static const char OP[] = "engine.endpoints";

struct restack_endpoints {
	struct az_http *http;
	struct az_arena *mem; /* holds url and ca_file */
	char *url, *ca_file;
	struct az_buf body;
	int64_t retry_ms;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t stopped;
	bool stop;
};

void
restack_endpoints_body(const struct restack_endpoints_opts *o, struct az_buf *out)
{
	struct az_jw w;
	struct az_buf id;

	/* several developers may share an engine called local */
	az_buf_init(&id, AZ_KIB(1));
	az_buf_addc(&id, o->engine_id);
	if (strcmp(o->engine_id, "local") == 0)
		az_buf_addf(&id, "-%ld", (long)getpid());
	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_ks(&w, "identity", az_buf_str(&id));
	az_jw_key(&w, "workflows");
	az_jw_arr(&w);
	for (size_t i = 0; i < o->n; i++) {
		const struct restack_endpoint *e = &o->workflows[i];

		az_jw_obj(&w);
		az_jw_kc(&w, "name", e->name);
		az_jw_kc(&w, "type", "class");
		az_jw_kraw(&w, "input_schema", az_str_c(e->input_schema ? e->input_schema : "{}"));
		az_jw_kraw(
		    &w, "output_schema", az_str_c(e->output_schema ? e->output_schema : "{}"));
		az_jw_kc(&w, "description", e->description ? e->description : "");
		az_jw_kb(&w, "mcp", false);
		az_jw_kc(&w, "task_queue", o->queue);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_key(&w, "agents");
	az_jw_arr(&w);
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	az_buf_release(&id);
}

static bool
stopping(void *arg)
{
	struct restack_endpoints *e = arg;
	bool stop;

	pthread_mutex_lock(&e->mu);
	stop = e->stop;
	pthread_mutex_unlock(&e->mu);
	return stop;
}

/* False when told to stop. */
static bool
rest(struct restack_endpoints *e, int64_t ms)
{
	int64_t end = az_boot_ms() + ms;
	bool stop;

	pthread_mutex_lock(&e->mu);
	while (!e->stop && az_cond_wait(&e->stopped, &e->mu, end))
		continue;
	stop = e->stop;
	pthread_mutex_unlock(&e->mu);
	return !stop;
}

/* One try. AZ_OK: registered; AZ_ENOTFOUND: there is no such route, and never will be. */
static enum az_code
try_once(struct restack_endpoints *e, int64_t *after_ms, struct az_err *err)
{
	const char *const headers[] = {"Content-Type: application/json", NULL};
	const struct az_http_req q = {.method = "POST",
	    .url = e->url,
	    .headers = headers,
	    .body = az_buf_str(&e->body),
	    .cancelled = stopping,
	    .arg = e,
	    .total_ms = CALL_MS,
	    .ca_file = e->ca_file};
	struct az_http_resp r = {0};
	enum az_code rc = az_http_call(e->http, &q, &r, err);

	*after_ms = rc ? 0 : az_http_retry_after_ms(&r);
	if (!rc && r.status == 404)
		rc = az_fail(err, AZ_ENOTFOUND, OP, "the server has no endpoints to register");
	else if (!rc && (r.status < 200 || r.status > 299))
		rc = az_fail(err, AZ_EUPSTREAM, OP, "the server answers %d", r.status);
	az_http_resp_release(&r);
	return rc;
}

static void *
run(void *arg)
{
	struct restack_endpoints *e = arg;
	struct az_err err = AZ_ERR_INIT;
	int64_t after_ms;
	enum az_code rc;
	int n = 0;

	while ((rc = try_once(e, &after_ms, &err)) && rc != AZ_ECANCELLED) {
		if (n++ == 0)
			az_log(AZ_WARN, "engine.endpoints",
			    AZ_KC("what", "workflows not registered with the engine's HTTP side"),
			    AZ_KE(&err));
		if (rc == AZ_ENOTFOUND ||
		    !rest(e, az_backoff_ms(n, e->retry_ms, LONGEST_MS, after_ms)))
			return NULL;
	}
	if (!rc)
		az_log(AZ_INFO, "engine.endpoints", AZ_KC("what", "workflows registered"));
	return NULL;
}

static void
discard(struct restack_endpoints *e)
{
	az_buf_release(&e->body);
	pthread_cond_destroy(&e->stopped);
	pthread_mutex_destroy(&e->mu);
	az_arena_free(e->mem);
	free(e);
}

enum az_code
restack_endpoints_start(
    const struct restack_endpoints_opts *o, struct restack_endpoints **out, struct az_err *err)
{
	struct restack_endpoints *e = calloc(1, sizeof *e);
	enum az_code rc;

	if (!e || !(e->mem = az_arena_new(AZ_KIB(64)))) {
		free(e);
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	}
	e->http = o->http;
	e->retry_ms = o->retry_ms ? o->retry_ms : FIRST_MS;
	pthread_mutex_init(&e->mu, NULL);
	az_cond_init(&e->stopped);
	az_buf_init(&e->body, AZ_MIB(1));
	restack_endpoints_body(o, &e->body);
	e->url = az_arena_printf(e->mem, "%s/api/engine/endpoints", o->api_url);
	if (o->ca_file)
		e->ca_file = az_arena_cstr(e->mem, az_str_c(o->ca_file));
	if ((rc = az_buf_check(&e->body, OP, err)))
		goto out;
	if (!e->url || (o->ca_file && !e->ca_file))
		rc = az_fail(err, AZ_ENOMEM, OP, "out of memory");
	else if (pthread_create(&e->thread, NULL, run, e) != 0)
		rc = az_fail(err, AZ_EIO, OP, "no thread to be had");
out:
	if (rc)
		discard(e);
	else
		*out = e;
	return rc;
}

void
restack_endpoints_stop(struct restack_endpoints *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->mu);
	e->stop = true;
	pthread_cond_signal(&e->stopped);
	pthread_mutex_unlock(&e->mu);
	pthread_join(e->thread, NULL);
	discard(e);
}
