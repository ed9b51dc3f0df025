/*
 * worker: hosts the workflows and their functions on the engine. It serves no HTTP. It
 * may be killed at any moment: what was under way is done again by the next one.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <azlon/conf.h>
#include <azlon/flow.h>
#include <azlon/log.h>
#include <azlon/work.h>

enum { EX_CONFIG_ = 78 };

static struct az_engine *engine; /* for the signal handler */

static enum az_level
level_of(const char *name)
{
	return !strcmp(name, "debug")   ? AZ_DEBUG
	       : !strcmp(name, "warn")  ? AZ_WARN
	       : !strcmp(name, "error") ? AZ_ERROR
					: AZ_INFO;
}

static void
on_stop(int sig)
{
	(void)sig;
	az_engine_stop(engine);
}

static bool
on_loopback(const char *url)
{
	static const char *const hosts[] = {"http://127.", "http://localhost", "http://[::1]"};

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		if (!strncmp(url, hosts[i], strlen(hosts[i])))
			return true;
	return false;
}

/* Recordings always go to the replay process, the rest to the model that was chosen. */
static enum az_code
open_models(const struct az_conf *c, struct az_http *http, struct az_llm **out, struct az_err *err)
{
	struct az_llm *replay = NULL, *real = NULL;
	char url[64];
	enum az_code rc;

	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", (int)c->local_port);
	rc = az_llm_openai_open(
	    &(struct az_llm_openai_opts){
		.http = http, .base_url = url, .key = c->replay_key, .provenance = "recording"},
	    &replay, err);
	if (!rc && !strcmp(c->llm, "openai"))
		rc = az_llm_openai_open(
		    &(struct az_llm_openai_opts){.http = http,
			.base_url = c->openai_base_url,
			.key = c->openai_api_key,
			.provenance = on_loopback(c->openai_base_url) ? "local" : "hosted",
			.idle_ms = (int)c->llm_idle_ms,
			.total_ms = (int)c->llm_total_ms},
		    &real, err);
	if (rc) {
		az_llm_close(replay);
		return rc;
	}
	return az_llm_router_open(replay, real, out, err);
}

static enum az_code
open_ports(const struct az_conf *c, struct az_http *http, struct az_work *w, struct az_err *err)
{
	char store[4096], journal[4096];
	enum az_code rc;

	snprintf(store, sizeof store, "%s/store", c->var);
	snprintf(journal, sizeof journal, "%s/journal", c->var);
	if ((rc = az_store_dir_open(store, &w->store, err)) ||
	    (rc = az_sandbox_e2b_open(&(struct az_sandbox_e2b_opts){.http = http,
					  .api_url = c->e2b_api_url,
					  .sandbox_url = c->e2b_sandbox_url,
					  .domain = c->e2b_domain,
					  .key = c->e2b_api_key,
					  .template_id = c->e2b_template_id},
		 &w->sandbox, err)) ||
	    (rc = open_models(c, http, &w->llm, err)))
		return rc;
	w->default_model = c->model;
	return az_engine_local_open(&(struct az_engine_local_opts){.dir = journal}, &engine, err);
}

int
main(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
	struct az_workflow flows[2] = {az_flow_coding};
	struct az_err err = AZ_ERR_INIT;
	struct az_http *http = NULL;
	struct az_work w = {0};
	struct az_conf c;
	int status = az_conf_main(argc, argv, "carries out runs", &c);

	if (status >= 0)
		return status;
	status = 1;
	az_log_open("worker", c.log, level_of(c.log_level));
	if (az_http_new(&http, &err) || open_ports(&c, http, &w, &err)) {
		fprintf(stderr, "worker: %s\n", err.text);
		az_log(AZ_ERROR, "worker.refused", AZ_KE(&err));
		status = err.code == AZ_EINVAL ? EX_CONFIG_ : 1;
		goto out;
	}
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	az_log(AZ_INFO, "worker.start", AZ_KC("engine", c.engine), AZ_KC("store", c.store),
	    AZ_KC("sandbox", c.sandbox), AZ_KC("llm", c.llm),
	    AZ_KC("model", c.model ? c.model : ""), AZ_KN("slots", c.worker_slots));
	if (az_engine_work(engine,
		&(struct az_worker){.workflows = flows,
		    .functions = az_work_functions,
		    .app = &w,
		    .slots = (int)c.worker_slots},
		&err)) {
		az_log(AZ_ERROR, "worker.end", AZ_KE(&err));
		goto out;
	}
	az_log(AZ_INFO, "worker.stop", AZ_KN("status", 0));
	status = 0;
out:
	az_engine_close(engine);
	az_llm_close(w.llm);
	az_sandbox_close(w.sandbox);
	az_store_close(w.store);
	az_http_free(http);
	az_conf_release(&c);
	return status;
}
