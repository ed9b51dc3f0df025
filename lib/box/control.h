/* Shared by the handlers of the control plane. */
#ifndef CONTROL_H
#define CONTROL_H

#include "box.h"

#define TTL_MAX_S 86400
#define TTL_V1_S 15
#define TTL_V2_S 300

/* The answer to create and connect: with the access token. */
enum az_code rs_sandbox(struct az_rq *rq, int status, const struct box *b, struct az_err *err);
/* A listed or (one) detailed object; the token only in the latter. */
void sandbox_detail(struct az_jw *w, struct box *b, bool one);
/* allow_internet_access of outer and the egress part of net. An allow list is all there
   is to reach, whatever else is said: stricter than E2B, where it only lifts denials. */
enum az_code network_wish(const struct az_json *outer, const struct az_json *net, bool *internet,
    const struct az_json **allow, struct az_err *err);
/* A value of the metadata filter, decoded into a: AZ_EINVAL when malformed, AZ_ENOMEM. */
enum az_code list_decode(
    struct az_arena *a, struct az_str s, struct az_str *out, struct az_err *err);

#endif
