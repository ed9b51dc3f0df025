/*
 * run_workflow: start, show and steer runs. --role wait serves what waits: event
 * streams, long polls, and the synchronous starts that the other role hands over.
 */
#include <string.h>
#include <azlon/api.h>
#include <azlon/crypto.h>
#include <azlon/flow.h>
#include <azlon/limits.h>
#include <azlon/work.h>
#include "common/ports.h"
#include "common/process.h"

/* A thread that waits costs little more than the top of its stack: of 64 threads, 2,240 streams
   and waits, and room for who must be told to come back. */
enum { CACHE_RUNS = 1024, WAITERS = 40 };

/* Sandboxes are only asked for their health here, which needs no key: a hole in this
   process gives no power over them. */
#define NO_KEY "none"

static enum az_code
open_all(const struct az_conf *c, struct az_http **http, struct az_api *api, struct az_err *err)
{
	enum az_code rc;

	if ((rc = az_secrets_load(c->secret_file, &api->secrets, err)) ||
	    (rc = az_http_new(http, err)) || (rc = ports_auth(c, *http, &api->auth, err)) ||
	    (rc = ports_rates(c, &api->rates, err)) ||
	    (rc = ports_engine(c, *http, &api->engine, err)) ||
	    (rc = ports_store(c, *http, &api->store, err)) ||
	    (rc = ports_sandbox(c, *http, NO_KEY, &api->sandbox, err)) ||
	    (rc = ports_llm(c, *http, &api->llm, err)))
		return rc;
	if (!(api->usage = az_api_usage_new()) || !(api->health = az_api_health_new()))
		return az_fail(err, AZ_ENOMEM, "run_workflow", "out of memory");
	api->has_model = strcmp(c->llm, "none") != 0;
	api->default_model = c->model;
	api->prompt_generate = az_work_default_prompt("generate");
	api->prompt_validate = az_work_default_prompt("validate");
	api->sync_wait_ms = c->sync_wait_s * 1000;
	api->upload_bytes = c->upload_bytes;
	api->quota_bytes = c->quota_bytes;
	api->quota_files = c->quota_files;
	api->user_runs = c->user_runs;
	api->user_caps[AZ_M_ITERATIONS] = c->user_iterations;
	api->user_caps[AZ_M_TOKENS] = c->user_tokens;
	api->user_caps[AZ_M_WALL_S] = c->user_wall_s;
	api->user_caps[AZ_M_SANDBOX_S] = c->user_sandbox_s;
	api->webhook_local = c->webhook_local;
	/* without these all is right, only slower */
	api->cache = az_api_cache_new(CACHE_RUNS);
	api->logs = az_api_logs_new();
	return AZ_OK;
}

int
main(int argc, char **argv)
{
	struct process p = {.name = "run_workflow",
	    .what = "start, show and steer runs",
	    .role = "wait",
	    .routes = az_api_run_routes,
	    .role_routes = az_api_wait_routes};
	struct az_http *http = NULL;
	struct az_api api = {0};

	az_web_signals_block();
	if (!process_begin(&p, argc, argv))
		return p.status;
	if (open_all(&p.conf, &http, &api, &p.err)) {
		process_refused(&p);
		goto out;
	}
	process_serve(&p, &(struct az_web){.routes = p.in_role ? p.role_routes : p.routes,
			      .app = &api,
			      .threads = (int)p.conf.threads * (p.in_role ? WAITERS : 1),
			      .short_reads = !p.in_role,
			      .arena_bytes = AZ_MIB(64)});
out:
	az_api_cache_free(api.cache);
	az_api_logs_free(api.logs);
	az_api_usage_free(api.usage);
	az_api_health_free(api.health);
	az_llm_close(api.llm);
	az_sandbox_close(api.sandbox);
	az_store_close(api.store);
	az_engine_close(api.engine);
	az_auth_close(api.auth);
	az_api_rates_close(api.rates);
	az_http_free(http);
	az_wipe(&api.secrets, sizeof api.secrets);
	return process_end(&p);
}
