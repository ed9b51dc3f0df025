/* Rendered Run objects by (id, start, version), so that a status of a run that did not change
   costs one describe and no fold. An id may be used anew, and versions begin anew with it.
   Safe for threads. */
#ifndef AZLON_API_CACHE_H
#define AZLON_API_CACHE_H

#include <azlon/api.h>

struct cache_item {
	const char *status, *needs; /* static texts */
	bool result, cancel_on_leave, deaf;
	int64_t last_event;
	struct az_str json;
};
/* True and *out filled (json copied to a) when that run is there as it is now. */
bool cache_get(struct az_api_cache *c, const struct az_run_info *run, struct az_arena *a,
    struct cache_item *out);
/* Copies; a failure to do so is of no consequence. */
void cache_put(struct az_api_cache *c, const struct az_run_info *run, const struct cache_item *it);

#endif
