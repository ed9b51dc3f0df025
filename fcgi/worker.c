/*
 * worker: hosts the workflows and their functions on the engine. It serves no HTTP. It
 * may be killed at any moment: what was under way is done again by the next one.
 */
#include <signal.h>
#include <unistd.h>
#include <azlon/flow.h>
#include <azlon/work.h>
#include "common/ports.h"
#include "common/process.h"

static struct az_engine *engine; /* for the signal handler */

static void
on_stop(int sig)
{
	(void)sig;
	az_engine_stop(engine);
}

static enum az_code
open_all(const struct az_conf *c, struct az_http **http, struct az_work *w, struct az_err *err)
{
	enum az_code rc;

	if ((rc = az_http_new(http, err)) || (rc = ports_store(c, *http, &w->store, err)) ||
	    (rc = ports_sandbox(c, *http, c->e2b_api_key, &w->sandbox, err)) ||
	    (rc = ports_llm(c, *http, &w->llm, err)))
		return rc;
	w->default_model = c->model;
	return ports_engine(c, *http, &engine, err);
}

int
main(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
	struct process p = {.name = "worker", .what = "carries out runs"};
	struct az_workflow flows[2] = {az_flow_coding};
	struct az_http *http = NULL;
	struct az_work w = {0};
	enum az_code rc;

	if (!process_begin(&p, argc, argv))
		return p.status;
	if (open_all(&p.conf, &http, &w, &p.err)) {
		process_refused(&p);
		goto out;
	}
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	process_started(&p);
	rc = az_engine_work(engine,
	    &(struct az_worker){.workflows = flows,
		.functions = az_work_functions,
		.app = &w,
		.slots = (int)p.conf.worker_slots},
	    &p.err);
	process_stopped(&p, rc);
	if (rc == AZ_ETIMEOUT) /* a thread still uses what would be closed */
		_exit(p.status);
out:
	az_engine_close(engine);
	az_llm_close(w.llm);
	az_sandbox_close(w.sandbox);
	az_store_close(w.store);
	az_http_free(http);
	return process_end(&p);
}
