/*
 * Creating a sandbox.
 *
 * Newer servers have /v2/sandboxes, older ones only /sandboxes; which one this base
 * URL has is learnt from the first answer and kept.
 */
#include "e2b_rest.h"

/* A caller told to stop still waits a moment: who goes in between does not learn of a
   sandbox that is being made, and nobody would end it. */
#define CREATE_PATIENCE_MS 3000

static void
create_body(struct az_buf *b, const struct e2b *e, const struct az_sb_create *c, int version)
{
	const char *const *m = c->metadata;
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_kc(&w, "templateID", c->template_id ? c->template_id : e->template_id);
	az_jw_ki(&w, "timeout", c->timeout_s);
	az_jw_key(&w, "metadata");
	az_jw_obj(&w);
	for (; m && m[0] && m[1]; m += 2)
		az_jw_kc(&w, m[0], m[1]);
	az_jw_end(&w, '}');
	if (c->internet && c->allow && c->allow[0]) {
		az_jw_key(&w, "network");
		az_jw_obj(&w);
		e2b_put_rules(&w, c->allow);
		az_jw_end(&w, '}');
	} else {
		az_jw_kb(&w, "allow_internet_access", c->internet);
	}
	if (version == 1) /* without it old services give no token */
		az_jw_kb(&w, "secure", true);
	az_jw_end(&w, '}');
}

static enum az_code
create_once(struct e2b *e, const struct az_sb_create *c, int version, struct az_http_resp *r,
    struct az_err *err)
{
	struct az_buf body;
	enum az_code rc;

	az_buf_init(&body, AZ_KIB(256));
	create_body(&body, e, c, version);
	if ((rc = az_buf_check(&body, "sandbox.create", err)) == AZ_OK)
		rc = e2b_rest(e,
		    &(struct e2b_rest){.method = "POST",
			.path = version == 1 ? "/sandboxes" : "/v2/sandboxes",
			.body = az_buf_str(&body),
			.idempotency_key = c->idempotency_key,
			.patience_ms = CREATE_PATIENCE_MS},
		    r, "sandbox.create", err);
	/* The reply was lost: the same key yields the same sandbox, where the service
	   knows of keys. Where not, a second one would be an orphan. */
	if (version == 2 && c->idempotency_key && e2b_transport(rc)) {
		az_http_resp_release(r);
		*r = (struct az_http_resp){0};
		rc = e2b_rest(e,
		    &(struct e2b_rest){.method = "POST",
			.path = "/v2/sandboxes",
			.body = az_buf_str(&body),
			.idempotency_key = c->idempotency_key,
			.patience_ms = CREATE_PATIENCE_MS},
		    r, "sandbox.create", err);
	}
	az_buf_release(&body);
	return rc;
}

enum az_code
e2b_create(struct az_sandbox *s, const struct az_sb_create *c, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct az_http_resp r = {0};
	int known = atomic_load(&e->root->api), version = known ? known : 2;
	enum az_code rc;

	rc = create_once(e, c, version, &r, err);
	if (rc == AZ_OK && !known && e2b_no_route(&r)) {
		version = 1;
		az_http_resp_release(&r);
		r = (struct az_http_resp){0};
		rc = create_once(e, c, version, &r, err);
	}
	if (rc != AZ_OK)
		goto out;
	if (r.status == 200 || r.status == 201) {
		atomic_store(&e->root->api, version);
		rc = e2b_read_ref(&r, a, out, "sandbox.create", err);
	} else if (r.status == 404) {
		/* the key's sandbox has ended: another attempt has another key. Else it is
		   the template, and no retry brings that */
		bool key = e2b_mentions(&r, AZ_S("dempotency"));

		rc = key ? AZ_EUNAVAIL : AZ_EINVAL;
		e2b_rest_fail(&r, "sandbox.create", err);
		if (err)
			err->code = rc;
		az_err_reason(err, key ? E2B_AWAY : "no_template");
	} else {
		rc = e2b_rest_fail(&r, "sandbox.create", err);
	}
out:
	az_http_resp_release(&r);
	return rc;
}
