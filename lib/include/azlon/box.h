/*
 * The local E2B server: sandboxes on this host. See lib/box/README.md.
 */
#ifndef AZLON_BOX_H
#define AZLON_BOX_H

#include <azlon/web.h>

struct az_box_server;
struct az_box_opts {
	const char *dir;    /* scratch, made; work trees live below it */
	const char *agent;  /* path of the static sandbox-agent */
	const char *bwrap;  /* path of bubblewrap */
	const char *key;    /* X-API-Key that callers must show */
	int port;           /* AZLON_LOCAL_PORT, for the Host allow-list */
	const char *domain; /* ports of programs are <port>-<id>.<domain>; NULL: localhost */
	const char *ports;  /* unix socket to make, for nginx to ask for these, or NULL */
	int64_t memory_bytes, disk_bytes;
	int pids, cpu_pct;     /* 100 = one CPU */
	int max;               /* sandboxes at once */
	const char *cgroup;    /* directory we may make cgroups in (v1: comma list), or NULL */
	int spares;            /* kept ready, besides */
	const char *templates; /* directory of root file systems, each a template, or NULL */
	const char *wheels;    /* directory that every box may read, or NULL */
};
/* Runs the canaries; fails with AZ_EUNAVAIL and a sentence when this host cannot
   isolate: there is no unsandboxed fallback. */
AZ_API AZ_MUST_CHECK enum az_code az_box_open(
    const struct az_box_opts *o, struct az_box_server **out, struct az_err *err);
AZ_API void az_box_close(struct az_box_server *s);   /* kills all; accepts NULL */
extern AZ_API const struct az_route az_box_routes[]; /* app: struct az_box_server */
AZ_API enum az_code az_box_problem(struct az_rq *rq, void *app, const struct az_err *e, int status);

#endif
