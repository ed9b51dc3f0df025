/*
 * Creating a sandbox.
 *
 * Newer servers have /v2/sandboxes, older ones only /sandboxes; which one this base
 * URL has is learnt from the first answer and kept.
 *
 * A sandbox whose answer was lost lives and costs until its time is up. So each carries the
 * key of its creation in its metadata: it is looked for by that, and whatever else has the
 * same key is ended.
 */
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "e2b_rest.h"

/* A caller told to stop still waits a moment: who goes in between does not learn of a
   sandbox that is being made, and nobody would end it. */
#define CREATE_PATIENCE_MS 3000
#define META_KEY "azlon_create"

static const char op[] = "sandbox.create";

struct making {
	struct e2b *e;
	const struct az_sb_create *c;
	const char *key;
	struct az_arena *a;
	struct az_box_ref *out;
};

static void
create_body(struct az_buf *b, const struct making *m, int version)
{
	const struct az_sb_create *c = m->c;
	const char *const *v = c->metadata;
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_kc(&w, "templateID", c->template_id ? c->template_id : m->e->template_id);
	az_jw_ki(&w, "timeout", c->timeout_s);
	az_jw_key(&w, "metadata");
	az_jw_obj(&w);
	for (; v && v[0] && v[1]; v += 2)
		az_jw_kc(&w, v[0], v[1]);
	az_jw_kc(&w, META_KEY, m->key);
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

/* r is emptied first. */
static enum az_code
post(const struct making *m, int version, struct az_http_resp *r, struct az_err *err)
{
	struct az_buf body;
	enum az_code rc;

	az_http_resp_release(r);
	*r = (struct az_http_resp){0};
	az_buf_init(&body, AZ_KIB(256));
	create_body(&body, m, version);
	if ((rc = az_buf_check(&body, op, err)) == AZ_OK)
		rc = e2b_rest(m->e,
		    &(struct e2b_rest){.method = "POST",
			.path = version == 1 ? "/sandboxes" : "/v2/sandboxes",
			.body = az_buf_str(&body),
			.idempotency_key = m->key,
			.patience_ms = CREATE_PATIENCE_MS},
		    r, op, err);
	az_buf_release(&body);
	return rc;
}

/* End what carries our key, but keep. */
static void
end_others(const struct making *m, const struct az_str *ids, size_t n, struct az_str keep)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!az_str_eq(ids[i], keep)) {
			enum az_code rc = e2b_kill(&m->e->base, ids[i], NULL);

			(void)rc; /* then its time ends it */
		}
}

/*
 * The answer was lost. Was a sandbox made? Then it is ours now; else ask once more, with the
 * same key. AZ_OK with out->id set: adopted; else r has the answer.
 */
static enum az_code
after_loss(const struct making *m, int version, struct az_http_resp *r, enum az_code lost,
    struct az_err *err)
{
	struct az_err x = AZ_ERR_INIT;
	struct az_str *ids = NULL;
	size_t n = 0;
	enum az_code rc = e2b_find(&m->e->base, META_KEY, m->key, m->a, &ids, &n, &x);

	if (rc == AZ_ECANCELLED || e2b_transport(rc))
		return lost;
	if (rc == AZ_OK && n > 0) {
		rc = e2b_attach(&m->e->base, ids[0], m->c->timeout_s, m->a, m->out, err);
		if (rc == AZ_OK)
			end_others(m, ids, n, m->out->id);
		return rc;
	}
	rc = post(m, version, r, err);
	if (rc != AZ_OK || (r->status != 200 && r->status != 201))
		return rc;
	/* where keys are not known, the first try may have come through late */
	rc = e2b_read_ref(r, m->a, m->out, op, err);
	ids = NULL;
	n = 0;
	if (rc == AZ_OK && e2b_find(&m->e->base, META_KEY, m->key, m->a, &ids, &n, &x) == AZ_OK)
		end_others(m, ids, n, m->out->id);
	return rc;
}

static enum az_code
ask(const struct making *m, int version, struct az_http_resp *r, struct az_err *err)
{
	enum az_code rc = post(m, version, r, err);

	return e2b_transport(rc) ? after_loss(m, version, r, rc, err) : rc;
}

static enum az_code
refused(const struct az_http_resp *r, struct az_err *err)
{
	enum az_code rc = e2b_rest_fail(r, op, err);

	if (r->status == 404) {
		/* the key's sandbox has ended: another attempt has another key. Else it is
		   the template, and no retry brings that */
		bool key = e2b_mentions(r, AZ_S("dempotency"));

		rc = key ? AZ_EUNAVAIL : AZ_EINVAL;
		if (err)
			err->code = rc;
		az_err_reason(err, key ? E2B_AWAY : "no_template");
	}
	return rc;
}

static enum az_code
try_once(const struct making *m, struct az_err *err)
{
	struct e2b *e = m->e;
	struct az_http_resp r = {0};
	int64_t asked_ms = az_boot_ms();
	int known = atomic_load(&e->shared->api), version = known ? known : 2;
	enum az_code rc;

	*m->out = (struct az_box_ref){.id = {NULL, 0}};
	rc = ask(m, version, &r, err);
	if (rc == AZ_OK && !m->out->id.n && !known && e2b_no_route(&r)) {
		version = 1;
		rc = ask(m, version, &r, err);
	}
	if (rc == AZ_OK && !m->out->id.n)
		rc = r.status == 200 || r.status == 201 ? e2b_read_ref(&r, m->a, m->out, op, err)
							: refused(&r, err);
	if (rc == AZ_OK) {
		if (r.status / 100 == 2)
			atomic_store(&e->shared->api, version);
		e2b_lease_set(e, m->out->id, asked_ms, m->c->timeout_s);
	}
	az_http_resp_release(&r);
	return rc;
}

enum az_code
e2b_create(struct az_sandbox *s, const struct az_sb_create *c, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err)
{
	struct making m = {.e = e2b_of(s), .c = c, .key = c->idempotency_key, .a = a, .out = out};
	int64_t until = az_boot_ms() + (int64_t)c->wait_s * 1000;
	struct e2b_place place = {.next = NULL};
	struct az_err own = AZ_ERR_INIT;
	struct az_buf key;
	enum az_code rc = AZ_OK;

	if (!err)
		err = &own;
	az_buf_init(&key, 64);
	if (!m.key) {
		az_random_id(&key, 26);
		rc = az_buf_check(&key, op, err);
		m.key = key.p;
	}
	if (rc == AZ_OK && c->wait_s > 0 && e2b_line_busy(m.e) &&
	    !e2b_line_wait(m.e, &place, until)) {
		rc = az_fail(err, AZ_EUNAVAIL, op, "others wait for a sandbox as well");
		az_err_reason(err, E2B_CAP);
	}
	while (rc == AZ_OK) {
		rc = try_once(&m, err);
		if (rc != AZ_EUNAVAIL || strcmp(err->reason, E2B_CAP) != 0 || c->wait_s <= 0 ||
		    !e2b_line_wait(m.e, &place, until))
			break;
		rc = AZ_OK;
	}
	e2b_line_leave(m.e, &place);
	if (rc != AZ_OK && e2b_stopped(m.e))
		rc = az_fail(err, AZ_ECANCELLED, op, "cancelled");
	az_buf_release(&key);
	return rc;
}
