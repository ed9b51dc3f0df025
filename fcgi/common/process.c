#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <azlon/log.h>
#include "notify.h"
#include "process.h"

enum { EX_CONFIG_ = 78 }; /* sysexits: a supervisor need not try again */

static enum az_level
level_of(const char *name)
{
	return !strcmp(name, "debug")   ? AZ_DEBUG
	       : !strcmp(name, "warn")  ? AZ_WARN
	       : !strcmp(name, "error") ? AZ_ERROR
					: AZ_INFO;
}

static bool
role(struct process *p, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--role") != 0)
			continue;
		if (!p->role || ++i == argc || strcmp(argv[i], p->role) != 0)
			return false;
		p->in_role = true;
	}
	return true;
}

/* Routes are what is in the table that is served, and nowhere else: tests that go through all
   of them ask here. */
static bool
print_routes(const struct process *p, int argc, char **argv)
{
	const struct az_route *r = p->in_role ? p->role_routes : p->routes;
	bool asked = false;

	for (int i = 1; i < argc; i++)
		asked |= !strcmp(argv[i], "--print-routes");
	if (!asked || !r)
		return false;
	for (; r->methods; r++)
		printf("%s %s\n", r->methods, r->pattern);
	return true;
}

static const char *
event(const struct process *p, const char *verb, char ev[64])
{
	snprintf(ev, 64, "%s.%s", p->name, verb);
	return ev;
}

bool
process_begin(struct process *p, int argc, char **argv)
{
	static char program[64]; /* the log keeps it */

	notify_begin();
	if ((p->status = az_conf_main(argc, argv, p->what, &p->conf)) >= 0)
		return false;
	p->status = 1;
	if (!role(p, argc, argv)) {
		fprintf(
		    stderr, "%s: --role knows only %s\n", p->name, p->role ? p->role : "no role");
		az_conf_release(&p->conf);
		p->status = EX_CONFIG_;
		return false;
	}
	if (print_routes(p, argc, argv)) {
		az_conf_release(&p->conf);
		p->status = 0;
		return false;
	}
	snprintf(program, sizeof program, "%s%s%s", p->name, p->in_role ? "-" : "",
	    p->in_role ? p->role : "");
	az_log_open(program, p->conf.log, level_of(p->conf.log_level));
	return true;
}

void
process_refused(struct process *p)
{
	char ev[64];

	az_log(AZ_ERROR, event(p, "refused", ev), AZ_KE(&p->err));
	fprintf(stderr, "%s: %s\n", p->name, p->err.text);
	p->status = p->err.code == AZ_EINVAL ? EX_CONFIG_ : 1;
}

void
process_started(const struct process *p)
{
	const struct az_conf *c = &p->conf;
	char ev[64];

	az_log(AZ_INFO, event(p, "start", ev), AZ_KC("role", p->in_role ? p->role : "default"),
	    AZ_KC("engine", c->engine), AZ_KC("store", c->store), AZ_KC("sandbox", c->sandbox),
	    AZ_KC("llm", c->llm), AZ_KC("model", c->model ? c->model : ""),
	    AZ_KC("identity", c->identity), AZ_KC("var", c->var));
}

void
process_stopped(struct process *p, enum az_code rc)
{
	char ev[64];

	p->status = rc == AZ_OK ? 0 : 1;
	if (rc == AZ_OK)
		az_log(AZ_INFO, event(p, "stop", ev), AZ_KN("status", 0));
	else
		az_log(AZ_ERROR, event(p, "end", ev), AZ_KE(&p->err));
}

void
process_serve(struct process *p, const struct az_web *w)
{
	struct az_web told = *w;
	enum az_code rc;

	told.serving = notify_ready;
	process_started(p);
	rc = az_web_run(&told, &p->err);
	process_stopped(p, rc);
	if (rc == AZ_ETIMEOUT) /* a thread still uses what would be closed */
		_exit(p->status);
}

int
process_end(struct process *p)
{
	az_conf_release(&p->conf);
	return p->status;
}
