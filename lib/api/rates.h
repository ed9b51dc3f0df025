/*
 * How often one user may ask: a bucket of tokens for each user and kind of request, in memory
 * that the processes of a host share. Which kind a request is, and whose, is caller.c's to say.
 */
#ifndef AZLON_API_RATES_H
#define AZLON_API_RATES_H

#include <azlon/api.h>

enum rate_kind {
	RATE_READS,
	RATE_WRITES,  /* uploads, signals, removals: what changes something */
	RATE_CREATES, /* what starts a run */
	RATE_KINDS
};

/*
 * One request of uid at now_us (boot clock). False when it is one too many: *wait_us then says
 * how long until there is room for it, and it did not count. r may be NULL: no limits.
 */
bool rates_take(struct az_api_rates *r, enum rate_kind kind, struct az_str uid, int64_t now_us,
    int64_t *wait_us);

#endif
