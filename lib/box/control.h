/* Shared by the handlers of the control plane. */
#ifndef CONTROL_H
#define CONTROL_H

#include "box.h"

#define TTL_MAX_S 86400
#define TTL_V1_S 15
#define TTL_V2_S 300
#define REFRESH_MAX_S 3600

/* The answer to create and connect: with the access token. */
enum az_code rs_sandbox(struct az_rq *rq, int status, const struct box *b, struct az_err *err);
/* The box that the path names, referenced; the key was right. */
enum az_code control_find(
    struct az_rq *rq, struct az_box_server *s, struct box **out, struct az_err *err);
enum az_code control_unknown(struct az_str id, struct az_err *err);
/* It ended meanwhile: here that is one that is unknown. */
bool control_gone(enum az_code rc, const struct az_err *err);
/* The body as an object; absent counts as {}. */
enum az_code control_body(struct az_rq *rq, const struct az_json **out, struct az_err *err);
struct seconds_wish {
	int64_t min, max, dflt; /* dflt < 0: required */
};
enum az_code control_seconds(const struct az_json *body, const char *key,
    const struct seconds_wish *w, int64_t *out, struct az_err *err);
/* A member that is true, false, or absent (dflt). */
enum az_code control_bool(
    const struct az_json *body, const char *key, bool dflt, bool *out, struct az_err *err);
enum az_code control_done(struct az_rq *rq, struct az_err *err); /* 204 */
/* ---- templates.c ---- */
int sandbox_cpus(const struct az_box_server *s);
void jw_time(struct az_jw *w, const char *key, int64_t ms);
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
