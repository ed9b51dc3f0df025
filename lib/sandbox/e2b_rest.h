/* What the files of the control plane share: e2b_rest.c, e2b_create.c, e2b_find.c, e2b_blocked.c.
 */
#ifndef AZ_SANDBOX_E2B_REST_H
#define AZ_SANDBOX_E2B_REST_H

#include "e2b.h"

extern const struct az_json_limits e2b_rest_limits; /* of what it answers */

struct e2b_rest {
	const char *method;
	const char *path;   /* with query */
	struct az_str body; /* JSON, or empty */
	const char *idempotency_key;
	size_t max_bytes;
	int patience_ms; /* it goes on so long when the caller is told to stop */
	int total_ms;    /* 0 = E2B_CALL_MS; set: one try only */
};
/* A busy service is asked again, as it wishes (Retry-After, Should-Retry), while that takes
   no longer than e->wait_ms. So repeating q must do no harm. */
enum az_code e2b_rest(struct e2b *e, const struct e2b_rest *q, struct az_http_resp *r,
    const char *op, struct az_err *err);

/* POST or GET on one sandbox, verb "" or "/…"; as->path is not used, r is emptied first. */
enum az_code e2b_on_sandbox(struct e2b *e, const struct e2b_rest *as, struct az_str id,
    const char *verb, struct az_http_resp *r, const char *op, struct az_err *err);

/* Make it live timeout_s from now at least; what it has is never cut. out may be NULL.
   brief: something else waits for this. */
enum az_code e2b_prolong(struct e2b *e, struct az_str id, int timeout_s, bool brief,
    struct az_arena *a, struct az_box_ref *out, struct az_err *err);

/* The sandbox an answer describes. */
enum az_code e2b_read_ref(const struct az_http_resp *r, struct az_arena *a, struct az_box_ref *out,
    const char *op, struct az_err *err);
/* Old services answer "<id>-<client>"; only the id names the sandbox. */
struct az_str e2b_id_only(struct az_str id);
bool e2b_id_ok(struct az_str id);

bool e2b_mentions(const struct az_http_resp *r, struct az_str word);
/* Does a 404 or 405 say that the route is missing, rather than the template or what an
   earlier request with this key made? */
bool e2b_no_route(const struct az_http_resp *r);
/* Domain rules: a list means "these and nothing else". */
void e2b_put_rules(struct az_jw *w, const char *const *allow);

#endif
