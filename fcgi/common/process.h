/*
 * What every process does alike: options, configuration, log, start and end. A main
 * fills in who it is, opens its ports, serves, closes them.
 */
#ifndef AZLON_FCGI_PROCESS_H
#define AZLON_FCGI_PROCESS_H

#include <azlon/conf.h>
#include <azlon/web.h>

struct process {
	const char *name; /* its events and messages start with it */
	const char *what; /* one line for --help */
	const char *role; /* the value that --role may have, or NULL */
	/* what it serves without and with that role, for --print-routes; or NULL */
	const struct az_route *routes, *role_routes;
	/* filled in by process_begin(); a main returns status at its end */
	bool in_role;
	struct az_conf conf;
	struct az_err err;
	int status;
};

/* Read options and environment, open the log. False: return p->status at once;
   else process_end() is due. */
bool process_begin(struct process *p, int argc, char **argv);
/* The start failed as p->err says: 78 when the configuration is wrong, else 1. */
void process_refused(struct process *p);
/* One line that tells what was chosen; process_stopped() is its counterpart. */
void process_started(const struct process *p);
void process_stopped(struct process *p, enum az_code rc);
/* Serve until told to stop, between those two lines. Does not return while a thread
   still uses what main would close. */
void process_serve(struct process *p, const struct az_web *w);
int process_end(struct process *p);

#endif
