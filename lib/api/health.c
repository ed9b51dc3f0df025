/*
 * Is the process alive; are the parts it needs. No identity asked, nothing told but names. As
 * anybody may ask, one request at a time asks the parts, and what it found serves all for a
 * moment: a part that hangs costs one thread, whoever asks how often.
 */
#include <pthread.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "files.h"
#include "run.h"

#define OP "api.health"

enum {
	GOOD_MS = 2000,  /* how long it serves that all is there */
	BAD_MS = 500,    /* that something is away: who waits for it looks more often */
	KEPT_MS = 15000, /* what was known last, for who comes while the parts are asked */
	WAIT_MS = 5000,  /* for them, where nothing is known */
	WAITERS = 4      /* so many at once */
};

struct az_api_health {
	pthread_mutex_t mu;
	pthread_cond_t told;
	bool asking;
	int waiting;
	uint64_t round; /* how often the parts were asked */
	bool all;
	unsigned up;   /* a bit for each part */
	int64_t at_ms; /* boot clock, when they had answered */
};

struct az_api_health *
az_api_health_new(void)
{
	struct az_api_health *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	pthread_mutex_init(&h->mu, NULL);
	az_cond_init(&h->told);
	return h;
}

void
az_api_health_free(struct az_api_health *h)
{
	if (!h)
		return;
	pthread_cond_destroy(&h->told);
	pthread_mutex_destroy(&h->mu);
	free(h);
}

struct part {
	const char *name;
	enum az_code (*ping)(const struct az_api *api, struct az_err *e);
};

enum az_code
run_live(struct az_rq *rq, void *app, struct az_err *err)
{
	(void)app;
	return az_rs_json(rq, 200, AZ_S("{\"status\":\"ok\"}"), err);
}

static enum az_code
ping_engine(const struct az_api *api, struct az_err *e)
{
	return az_engine_ping(api->engine, e);
}

static enum az_code
ping_store(const struct az_api *api, struct az_err *e)
{
	return az_store_ping(api->store, e);
}

static enum az_code
ping_sandbox(const struct az_api *api, struct az_err *e)
{
	return api->sandbox ? az_sandbox_ping(api->sandbox, e) : AZ_OK;
}

static enum az_code
ping_llm(const struct az_api *api, struct az_err *e)
{
	return api->llm ? az_llm_ping(api->llm, e) : AZ_OK;
}

/* A run that cannot be: what comes back is only whether anybody works. */
static enum az_code
ping_worker(const struct az_api *api, struct az_err *e)
{
	struct az_arena *a = az_arena_new(AZ_KIB(64));
	struct az_run_info info = {.has_worker = false};
	enum az_code rc = AZ_ENOMEM;

	if (a)
		rc = az_engine_describe(api->engine, AZ_S("health"), a, &info, e);
	az_arena_free(a);
	if (rc != AZ_OK && rc != AZ_ENOTFOUND)
		return rc;
	return info.has_worker ? AZ_OK : az_fail(e, AZ_EUNAVAIL, OP, "no worker polled lately");
}

static unsigned
ask(const struct az_api *api, const struct part *parts, size_t n, bool *all)
{
	unsigned up = 0;

	*all = true;
	for (size_t i = 0; i < n; i++) {
		struct az_err e = AZ_ERR_INIT;

		/* who works is the engine's to say: without it nobody is asked again */
		if ((parts[i].ping != ping_worker || (up & 1)) && parts[i].ping(api, &e) == AZ_OK)
			up |= 1U << i;
		else
			*all = false;
		if (e.code)
			az_log(AZ_WARN, "api.dependency", AZ_KC("part", parts[i].name), AZ_KE(&e));
	}
	return up;
}

/* What is known, or what is found out now; AZ_EUNAVAIL when others are at it. */
static enum az_code
known(const struct az_api *api, const struct part *parts, size_t n, unsigned *up, bool *all,
    struct az_err *err)
{
	struct az_api_health *h = api->health;
	int64_t now = az_boot_ms(), age;
	uint64_t before;

	if (!h) {
		*up = ask(api, parts, n, all);
		return AZ_OK;
	}
	pthread_mutex_lock(&h->mu);
	before = h->round;
	age = before ? now - h->at_ms : INT64_MAX;
	if (age >= (h->all ? GOOD_MS : BAD_MS) && !h->asking) {
		h->asking = true;
		pthread_mutex_unlock(&h->mu);
		*up = ask(api, parts, n, all);
		pthread_mutex_lock(&h->mu);
		h->asking = false;
		h->round++;
		h->up = *up;
		h->all = *all;
		h->at_ms = az_boot_ms();
		pthread_cond_broadcast(&h->told);
		pthread_mutex_unlock(&h->mu);
		return AZ_OK;
	}
	if (age >= KEPT_MS && h->waiting < WAITERS) {
		h->waiting++;
		while (h->round == before && az_cond_wait(&h->told, &h->mu, now + WAIT_MS))
			;
		h->waiting--;
		age = h->round == before ? age : 0;
	}
	*up = h->up;
	*all = h->all;
	pthread_mutex_unlock(&h->mu);
	if (age < KEPT_MS)
		return AZ_OK;
	(void)az_fail(err, AZ_EUNAVAIL, OP, "The parts are being asked. Try again.");
	err->retry_after_ms = 2000;
	return az_err_reason(err, "busy");
}

/* name_down: list apart those that are away */
static enum az_code
ready(struct az_rq *rq, const struct az_api *api, const struct part *parts, size_t n,
    bool name_down, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	unsigned up;
	bool all;
	enum az_code rc;

	if ((rc = known(api, parts, n, &up, &all, err)) != AZ_OK)
		return rc;
	az_buf_init(&b, 2048);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "status", all ? "ok" : "unavailable");
	az_jw_key(&w, "parts");
	az_jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		az_jw_kc(&w, parts[i].name, up & 1U << i ? "ok" : "down");
	az_jw_end(&w, '}');
	if (name_down) {
		az_jw_key(&w, "down");
		az_jw_arr(&w);
		for (size_t i = 0; i < n; i++)
			if (!(up & 1U << i))
				az_jw_cstr(&w, parts[i].name);
		az_jw_end(&w, ']');
	}
	az_jw_end(&w, '}');
	if (!all)
		az_rs_header(rq, "Retry-After", AZ_S("2"));
	if ((rc = az_buf_check(&b, OP, err)) == AZ_OK)
		rc = az_rs_json(rq, all ? 200 : 503, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

enum az_code
run_ready(struct az_rq *rq, void *app, struct az_err *err)
{
	static const struct part parts[] = {{"engine", ping_engine}, {"store", ping_store},
	    {"sandbox", ping_sandbox}, {"llm", ping_llm}, {"worker", ping_worker}};

	return ready(rq, app, parts, sizeof parts / sizeof *parts, true, err);
}

enum az_code
files_ready(struct az_rq *rq, void *app, struct az_err *err)
{
	static const struct part parts[] = {{"engine", ping_engine}, {"store", ping_store}};

	return ready(rq, app, parts, sizeof parts / sizeof *parts, false, err);
}
