/*
 * Recorded model replies on OpenAI's wire. Strict: a request matches a recording or
 * is answered 409 no_recording. Nothing here invents text.
 */
#ifndef AZLON_REPLAY_H
#define AZLON_REPLAY_H

#include <azlon/web.h>

struct az_replay;
struct az_replay_opts {
	const char *dir;    /* *.jsonl */
	const char *key;    /* Bearer key, or NULL for none */
	const char *record; /* NULL, or: write misses answered from scripts here (make record) */
	int port;           /* of the stand-ins, for the Host allow-list; 0 = any Host */
	bool faults;        /* honour X-Azlon-Fault (AZLON_REPLAY_FAULTS=1; tests only) */
};
AZ_API AZ_MUST_CHECK enum az_code az_replay_open(
    const struct az_replay_opts *o, struct az_replay **out, struct az_err *err);
AZ_API void az_replay_close(struct az_replay *r);       /* accepts NULL */
extern AZ_API const struct az_route az_replay_routes[]; /* app: struct az_replay */
AZ_API enum az_code az_replay_problem(
    struct az_rq *rq, void *app, const struct az_err *e, int status);

#endif
