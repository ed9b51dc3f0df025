/*
 * worker: hosts the workflows and their functions on the engine. It serves no HTTP. It
 * may be killed at any moment: what was under way is done again by the next one.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <azlon/crypto.h>
#include <azlon/flow.h>
#include <azlon/work.h>
#include "common/hook.h"
#include "common/notify.h"
#include "common/ports.h"
#include "common/process.h"

static struct az_engine *engine; /* for the signal handler */

static void
on_stop(int sig)
{
	(void)sig;
	az_engine_stop(engine);
}

/* What follows this option on the command line; NULL without it, empty at its end. */
static const char *
option(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return i + 1 < argc ? argv[i + 1] : "";
	return NULL;
}

/* --backup and --restore of the journal; false when neither was asked. */
static bool
copied(struct process *p, int argc, char **argv)
{
	const char *to = option(argc, argv, "--backup"), *from = option(argc, argv, "--restore");
	struct az_engine_local_copy made = {0};
	char dir[4096];

	if (!to && !from)
		return false;
	snprintf(dir, sizeof dir, "%s/journal", p->conf.var);
	if (strcmp(p->conf.engine, "local") != 0)
		(void)az_fail(&p->err, AZ_EINVAL, "worker.backup",
		    "AZLON_ENGINE is %s: runs are kept by its server", p->conf.engine);
	else if ((to && from) || !*(to ? to : from))
		(void)az_fail(&p->err, AZ_EINVAL, "worker.backup", "name one file");
	else
		(void)!(to ? az_engine_local_backup(dir, to, &made, &p->err)
			   : az_engine_local_restore(dir, from, &made, &p->err));
	p->status = p->err.code ? 1 : 0;
	if (p->err.code)
		fprintf(stderr, "worker: %s\n", p->err.text);
	else
		printf("%lld runs, %lld of them not over\n", (long long)made.runs,
		    (long long)made.open);
	return true;
}

static enum az_code
open_all(const struct az_conf *c, struct az_http **http, struct az_work *w, struct az_err *err)
{
	enum az_code rc;

	if ((rc = az_http_new(http, err)) || (rc = ports_store(c, *http, &w->store, err)) ||
	    (rc = ports_sandbox(c, *http, c->e2b_api_key, &w->sandbox, err)) ||
	    (rc = ports_llm(c, *http, &w->llm, err)) ||
	    (rc = az_secrets_load(c->secret_file, &w->secrets, err)))
		return rc;
	w->default_model = c->model;
	rc = ports_engine(c, *http, &engine, err);
	w->engine = engine;
	return rc;
}

int
main(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
	struct process p = {.name = "worker",
	    .what = "carries out runs\n\n"
		    "  --backup FILE     the journal as one new file, while all runs\n"
		    "  --restore FILE    that file as the journal, while nothing runs"};
	struct az_workflow flows[3] = {az_flow_coding, az_flow_user};
	struct hook hook = {0};
	struct az_http *http = NULL;
	struct az_work w = {.post = hook_post, .post_arg = &hook};
	enum az_code rc;

	if (!process_begin(&p, argc, argv))
		return p.status;
	if (copied(&p, argc, argv))
		return process_end(&p);
	if (open_all(&p.conf, &http, &w, &p.err)) {
		process_refused(&p);
		goto out;
	}
	hook = (struct hook){.http = http, .local = p.conf.webhook_local};
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGQUIT, &stop, NULL);
	process_started(&p);
	notify_ready();
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
	az_wipe(&w.secrets, sizeof w.secrets);
	return process_end(&p);
}
