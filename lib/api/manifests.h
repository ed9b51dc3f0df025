/*
 * Final manifests of runs, read lately. Where reading the store is a request to another host,
 * a file of a finished run is named without one. What this process changes is forgotten at
 * once; what another removed stays listed for MANIFESTS_MS at most, its bytes do not.
 */
#ifndef AZLON_API_MANIFESTS_H
#define AZLON_API_MANIFESTS_H

#include "caller.h"

#define MANIFESTS_MS 5000

/* As az_manifest_load(), of the key of a final manifest. */
AZ_MUST_CHECK enum az_code manifests_load(const struct az_api *api, const struct az_bucket *b,
    struct az_str key, struct az_manifest *m, struct az_err *err);
/* The object of this key was written or removed; an empty key: all of the bucket were. */
void manifests_forget(const struct az_api *api, const struct az_bucket *b, struct az_str key);

#endif
