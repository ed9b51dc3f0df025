/*
 * Who asks, and may they: the one place where the handlers of runs and files learn the
 * caller. Everything else compares with what stands here.
 */
#ifndef AZLON_API_CALLER_H
#define AZLON_API_CALLER_H

#include <azlon/api.h>

/*
 * The identity of a request, which counts against what its user may ask. body_user: user_id of
 * its JSON body, or empty; .p == NULL when that is not read yet: then who is only assumed is not
 * counted, and the caller comes again. AZ_EPERM with the reason "insufficient_scope" when it is
 * an API key that may not do this, AZ_EQUOTA with "rate_limited".
 */
AZ_MUST_CHECK enum az_code api_caller(struct az_rq *rq, const struct az_api *api,
    struct az_str body_user, struct az_caller *out, struct az_err *err);
/*
 * Is a request that goes on for long still that of who, in the same way and with the same power?
 * False once its token or key is refused: expired, revoked, signed out. It does not count, and
 * where it cannot be told now, what was true goes on.
 */
bool api_caller_still(struct az_rq *rq, const struct az_api *api, const struct az_caller *who);
/* A request that needs no identity: AZ_EPERM where one would be refused for the way it came
   in, whoever sends it (the Host rules of dev). */
AZ_MUST_CHECK enum az_code api_anybody(
    struct az_rq *rq, const struct az_api *api, struct az_err *err);
/* Identity and scope alone, before a body comes, which counts when it has come. Fails as
   api_caller(). */
AZ_MUST_CHECK enum az_code api_may(
    struct az_rq *rq, const struct az_api *api, unsigned scope, struct az_err *err);
/* Does it come from this host itself, with no proxy between? */
bool api_from_here(struct az_rq *rq);
/*
 * The caller, and {id} of the path when it has the form of one of the caller's own runs;
 * else AZ_ENOTFOUND, as for a run that does not exist. A legacy route's user
 * (query legacy_user, put there by a rewrite) must be the caller too.
 */
AZ_MUST_CHECK enum az_code api_caller_run(struct az_rq *rq, const struct az_api *api,
    struct az_caller *out, struct az_str *id, struct az_err *err);

/* Whose runs a list or count is about, and the hints that go with it. */
AZ_MUST_CHECK enum az_code api_list_query(
    struct az_list_query *q, struct az_str uid, struct az_arena *a, struct az_err *err);
/* Is a row of such a list really the caller's? An engine may compare ids without case. */
bool api_own_row(const struct az_run_info *r, struct az_str uid);

/*
 * A body that changes something must say that it is JSON: a page of another site can send
 * text without asking first, JSON only after a preflight. Else AZ_ETYPE.
 */
AZ_MUST_CHECK enum az_code api_json_type(struct az_rq *rq, struct az_err *err);

/* ---- signed.c: what only this installation can make ---- */
/* Appends its signature of owner and text for a purpose, as base64url. */
AZ_MUST_CHECK enum az_code api_sign(const struct az_api *api, const char *purpose,
    struct az_str owner, struct az_str text, struct az_buf *out, struct az_err *err);
/* Is it one of ours, by any of our secrets? */
AZ_MUST_CHECK enum az_code api_signed(const struct az_api *api, const char *purpose,
    struct az_str owner, struct az_str text, struct az_str signature, bool *ok, struct az_err *err);

/*
 * What a failure of the engine or the store is to the client: one that has to do with
 * reaching it becomes AZ_EUNAVAIL with the reason "engine" or "store" (the original
 * goes to the log), any other passes; so does "store_full". Returns the code.
 */
enum az_code api_engine_rc(enum az_code rc, struct az_err *err);
enum az_code api_store_rc(enum az_code rc, struct az_err *err);

#endif
