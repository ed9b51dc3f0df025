/* Private to the room: what processes of a host share of a keyset. */
#ifndef AZ_AUTH_KEYSET_FILE_H
#define AZ_AUTH_KEYSET_FILE_H

#include <sys/stat.h>
#include "jwks.h"

/* The set that some process fetched from url, or AZ_ENOTFOUND also when what lies there is
   not one or may be written by others. */
AZ_MUST_CHECK enum az_code keyset_load(
    const char *path, const char *url, struct jwks **out, struct az_err *err);
/* Readers see the old file or the new one. */
AZ_MUST_CHECK enum az_code keyset_save(const char *path, const char *url, const struct jwks *s,
    struct az_str body, struct az_err *err);

/* When something was last tried that is not to be tried again soon; 0: never. The file is
   the lock of the one who fetches. */
int64_t keyset_stamp_get(int lock);
void keyset_stamp_set(int lock, int64_t now_s);

#endif
