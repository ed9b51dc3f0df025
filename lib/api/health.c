/* Is the process alive; are the parts it needs. No identity asked, nothing told but names. */
#include <azlon/limits.h>
#include <azlon/log.h>
#include "run.h"

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
	return info.has_worker ? AZ_OK
			       : az_fail(e, AZ_EUNAVAIL, "api.health", "no worker polled lately");
}

enum az_code
run_ready(struct az_rq *rq, void *app, struct az_err *err)
{
	static const struct {
		const char *name;
		enum az_code (*ping)(const struct az_api *api, struct az_err *e);
	} parts[] = {{"engine", ping_engine}, {"store", ping_store}, {"sandbox", ping_sandbox},
	    {"llm", ping_llm}, {"worker", ping_worker}};
	const size_t n = sizeof parts / sizeof *parts;
	const struct az_api *api = app;
	bool up[5] = {false}, all = true;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	for (size_t i = 0; i < n; i++) {
		struct az_err e = AZ_ERR_INIT;
		/* who works is the engine's to say: without it nobody is asked again */
		up[i] = (parts[i].ping != ping_worker || up[0]) && parts[i].ping(api, &e) == AZ_OK;
		all &= up[i];
		if (!up[i] && e.code)
			az_log(AZ_WARN, "api.dependency", AZ_KC("part", parts[i].name), AZ_KE(&e));
	}
	az_buf_init(&b, 2048);
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_kc(&w, "status", all ? "ok" : "unavailable");
	az_jw_key(&w, "parts");
	az_jw_obj(&w);
	for (size_t i = 0; i < n; i++)
		az_jw_kc(&w, parts[i].name, up[i] ? "ok" : "down");
	az_jw_end(&w, '}');
	az_jw_key(&w, "down");
	az_jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		if (!up[i])
			az_jw_cstr(&w, parts[i].name);
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	if (!all)
		az_rs_header(rq, "Retry-After", AZ_S("2"));
	if ((rc = az_buf_check(&b, "api.health", err)) == AZ_OK)
		rc = az_rs_json(rq, all ? 200 : 503, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}
