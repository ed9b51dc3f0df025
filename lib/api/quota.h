/*
 * What a user may keep. Usage is the bucket's bytes and objects, counted by listing it and
 * remembered for a short while; what this process is writing is added at once. Other
 * processes' writes show at the next count, so several at once may pass the limit by what
 * they write meanwhile. Without a quota nothing is counted.
 */
#ifndef AZLON_API_QUOTA_H
#define AZLON_API_QUOTA_H

#include "caller.h"

struct quota { /* of one upload */
	const struct az_api *api;
	struct usage *of;     /* NULL: no limit */
	int64_t bytes, files; /* claimed, not stored yet */
	bool stored;
};

/* Count if it must be; then every claim is weighed. quota_end() in any case. */
AZ_MUST_CHECK enum az_code quota_begin(
    struct quota *q, const struct az_api *api, const struct az_bucket *b, struct az_err *err);
/* Would so much more fit? Else AZ_EQUOTA with the numbers. */
AZ_MUST_CHECK enum az_code quota_fits(
    struct quota *q, int64_t bytes, int64_t files, struct az_err *err);
/* As quota_fits(), and it counts from now on. */
AZ_MUST_CHECK enum az_code quota_claim(
    struct quota *q, int64_t bytes, int64_t files, struct az_err *err);
/* What was claimed is an object now. */
void quota_stored(struct quota *q);
/* Give back what was only claimed. kept: what was stored stays. */
void quota_end(struct quota *q, bool kept);
/* May the user keep anything more at all, as a run will? Counted anew before it says no, for
   another process may have made room. */
AZ_MUST_CHECK enum az_code quota_room(
    const struct az_api *api, const struct az_bucket *b, struct az_err *err);
/* Something was removed: count anew when it matters. */
void quota_forget(const struct az_api *api, const struct az_bucket *b);

#endif
