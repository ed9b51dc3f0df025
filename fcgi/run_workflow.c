/*
 * run_workflow: start, show and steer runs. --role wait serves what waits: event
 * streams, long polls, and the synchronous starts that the other role hands over.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <azlon/api.h>
#include <azlon/conf.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include <azlon/work.h>

enum { EX_CONFIG_ = 78, CACHE_RUNS = 1024, PATH_BYTES = 4096 };

/* Sandboxes are only asked for their health here, which needs no key: a hole in this
   process gives no power over them. */
#define NO_KEY "none"

struct ports {
	struct az_http *http;
	struct az_llm *llm;
};

static enum az_level
level_of(const char *name)
{
	return !strcmp(name, "debug")   ? AZ_DEBUG
	       : !strcmp(name, "warn")  ? AZ_WARN
	       : !strcmp(name, "error") ? AZ_ERROR
					: AZ_INFO;
}

/* -1: neither role is named. */
static int
waits(int argc, char **argv)
{
	int wait = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--role") != 0)
			continue;
		if (++i == argc || strcmp(argv[i], "wait") != 0)
			return -1;
		wait = 1;
	}
	return wait;
}

/* The models' ends, asked only whether they are there. */
static enum az_code
open_llm(const struct az_conf *c, struct ports *p, struct az_err *err)
{
	struct az_llm_openai_opts o = {
	    .http = p->http, .key = c->replay_key, .provenance = "recording"};
	struct az_llm *replay = NULL, *real = NULL;
	char url[64];
	enum az_code rc;

	snprintf(url, sizeof url, "http://127.0.0.1:%lld/v1", (long long)c->local_port);
	o.base_url = url;
	if ((rc = az_llm_openai_open(&o, &replay, err)) != AZ_OK)
		return rc;
	if (!strcmp(c->llm, "openai")) {
		o = (struct az_llm_openai_opts){.http = p->http,
		    .key = c->openai_api_key,
		    .base_url = c->openai_base_url,
		    .provenance = "hosted"};
		if ((rc = az_llm_openai_open(&o, &real, err)) != AZ_OK) {
			az_llm_close(replay);
			return rc;
		}
	}
	return az_llm_router_open(replay, real, &p->llm, err);
}

static enum az_code
open_all(const struct az_conf *c, struct ports *p, struct az_api *api, struct az_err *err)
{
	char dir[PATH_BYTES];
	enum az_code rc;

	if ((rc = az_secret_load(c->secret_file, api->secret, err)) != AZ_OK ||
	    (rc = az_auth_open(&(struct az_auth_opts){.identity = c->identity,
				   .external_url = c->external_backend_url},
		 &api->auth, err)) != AZ_OK)
		return rc;
	snprintf(dir, sizeof dir, "%s/journal", c->var);
	if ((rc = az_engine_local_open(
		 &(struct az_engine_local_opts){.dir = dir}, &api->engine, err)) != AZ_OK)
		return rc;
	snprintf(dir, sizeof dir, "%s/store", c->var);
	if ((rc = az_store_dir_open(dir, &api->store, err)) != AZ_OK ||
	    (rc = az_http_new(&p->http, err)) != AZ_OK ||
	    (rc = az_sandbox_e2b_open(&(struct az_sandbox_e2b_opts){.http = p->http,
					  .api_url = c->e2b_api_url,
					  .sandbox_url = c->e2b_sandbox_url,
					  .domain = c->e2b_domain,
					  .key = NO_KEY},
		 &api->sandbox, err)) != AZ_OK ||
	    (rc = open_llm(c, p, err)) != AZ_OK)
		return rc;
	api->llm = p->llm;
	api->has_model = strcmp(c->llm, "none") != 0;
	api->default_model = c->model;
	api->prompt_generate = az_work_default_prompt("generate");
	api->prompt_validate = az_work_default_prompt("validate");
	api->sync_wait_ms = c->sync_wait_s * 1000;
	api->upload_bytes = c->upload_bytes;
	/* without a cache all is right, only slower */
	api->cache = az_api_cache_new(CACHE_RUNS);
	return AZ_OK;
}

int
main(int argc, char **argv)
{
	struct ports p = {NULL, NULL};
	struct az_err err = AZ_ERR_INIT;
	struct az_api api;
	struct az_conf c;
	int status = az_conf_main(argc, argv, "start, show and steer runs", &c);
	int wait = waits(argc, argv);
	enum az_code rc;

	if (status >= 0)
		return status;
	memset(&api, 0, sizeof api);
	status = EX_CONFIG_;
	az_log_open(wait > 0 ? "run_workflow-wait" : "run_workflow", c.log, level_of(c.log_level));
	if (wait < 0) {
		fprintf(stderr, "run_workflow: --role knows only wait\n");
		goto out;
	}
	if (open_all(&c, &p, &api, &err) != AZ_OK) {
		az_log(AZ_ERROR, "run_workflow.start", AZ_KE(&err));
		fprintf(stderr, "run_workflow: %s\n", err.text);
		goto out;
	}
	az_log(AZ_INFO, "run_workflow.start", AZ_KC("role", wait ? "wait" : "default"),
	    AZ_KC("engine", c.engine), AZ_KC("store", c.store), AZ_KC("sandbox", c.sandbox),
	    AZ_KC("llm", c.llm), AZ_KC("identity", c.identity), AZ_KC("var", c.var));
	rc = az_web_run(&(struct az_web){.routes = wait ? az_api_wait_routes : az_api_run_routes,
			    .app = &api,
			    .threads = (int)c.threads,
			    .arena_bytes = AZ_MIB(64)},
	    &err);
	if (rc == AZ_ETIMEOUT) { /* a thread still uses what would be closed */
		az_log(AZ_WARN, "run_workflow.end", AZ_KE(&err));
		_exit(1);
	}
	status = rc == AZ_OK ? 0 : 1;
	if (rc != AZ_OK)
		az_log(AZ_ERROR, "run_workflow.end", AZ_KE(&err));
out:
	az_api_cache_free(api.cache);
	az_llm_close(p.llm);
	az_sandbox_close(api.sandbox);
	az_http_free(p.http);
	az_store_close(api.store);
	az_engine_close(api.engine);
	az_auth_close(api.auth);
	az_wipe(api.secret, sizeof api.secret);
	az_conf_release(&c);
	return status;
}
