/* POST /sandboxes: what may be asked for, idempotency, capacity. */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <azlon/crypto.h>
#include "net.h"

#define IDEM_MS 3600000
#define IDEM_MAX 4096

/* ---- checking a create ---- */

static bool
string_map(const struct az_json *j)
{
	void *it = NULL;
	struct az_str k;
	const struct az_json *v;

	if (az_json_type(j) == AZ_JNULL)
		return true;
	if (az_json_type(j) != AZ_JOBJ)
		return false;
	while (az_json_each(j, &it, &k, &v))
		if (!az_json_is_str(v))
			return false;
	return true;
}

static bool
empty(const struct az_json *j)
{
	enum az_json_type t = az_json_type(j);

	return t == AZ_JNULL || ((t == AZ_JARR || t == AZ_JOBJ) && !az_json_len(j)) ||
	       (t == AZ_JBOOL && !az_json_bool(j, false));
}

static enum az_code
refuse(const struct az_json *j, const char *const *names, struct az_err *err)
{
	for (; *names; names++)
		if (!empty(az_json_get(j, *names)))
			return az_fail(err, AZ_EINVAL, "box.create",
			    "%s is not offered by this server", *names);
	return AZ_OK;
}

enum az_code
network_wish(const struct az_json *outer, const struct az_json *net, bool *internet,
    const struct az_json **allow, struct az_err *err)
{
	static const char *const no[] = {"dnsServers", "rules", "egressProxy", "httpsPorts", NULL};
	const struct az_json *deny = az_json_get(net, "denyOut");
	enum az_code rc;

	/* what is misread here would be a door left open */
	if (az_json_type(net) != AZ_JNULL && az_json_type(net) != AZ_JOBJ)
		return az_fail(err, AZ_EINVAL, "box.network", "network: not an object");
	if ((rc = refuse(net, no, err)) ||
	    (rc = control_bool(outer, "allow_internet_access", true, internet, err)))
		return rc;
	*allow = az_json_get(net, "allowOut");
	if (az_json_type(*allow) != AZ_JNULL && az_json_type(*allow) != AZ_JARR)
		return az_fail(err, AZ_EINVAL, "box.network", "allowOut: not a list");
	if (az_json_type(deny) != AZ_JNULL && az_json_type(deny) != AZ_JARR)
		return az_fail(err, AZ_EINVAL, "box.network", "denyOut: not a list");
	for (size_t i = 0; i < az_json_len(deny); i++) {
		struct az_str d = az_json_str(az_json_at(deny, i));

		if (!az_str_eqc(d, "0.0.0.0/0") && !az_str_eqc(d, "::/0"))
			return az_fail(err, AZ_EINVAL, "box.network",
			    "denyOut: only 0.0.0.0/0 is offered by this server");
		*internet = false;
	}
	return AZ_OK;
}

/* What is to happen when its time is over, and to requests after that. */
static enum az_code
check_lifecycle(const struct az_json *req, struct az_err *err)
{
	const struct az_json *resume = az_json_get(req, "autoResume");
	bool pause, memory, wakes;
	enum az_code rc;

	if (az_json_type(resume) != AZ_JNULL && az_json_type(resume) != AZ_JOBJ)
		return az_fail(err, AZ_EINVAL, "box.create", "autoResume: not an object");
	if ((rc = control_bool(req, "autoPause", false, &pause, err)) ||
	    (rc = control_bool(req, "autoPauseMemory", true, &memory, err)) ||
	    (rc = control_bool(resume, "enabled", false, &wakes, err)))
		return rc;
	if (wakes && !memory)
		return az_fail(err, AZ_EINVAL, "box.create",
		    "autoResume.enabled does not go with autoPauseMemory false: its programs "
		    "would be gone");
	return AZ_OK;
}

static enum az_code
check_create(const struct az_box_server *s, const struct az_json *req, int64_t dflt_s,
    int64_t *timeout_s, struct az_err *err)
{
	static const char *const no[] = {"volumeMounts", "mcp", "iam", NULL};
	struct az_str t = az_json_gets(req, "templateID");
	const struct az_json *j = az_json_get(req, "timeout");
	enum az_code rc;

	if (az_json_type(req) != AZ_JOBJ || !t.n)
		return az_fail(err, AZ_EINVAL, "box.create", "templateID is required");
	*timeout_s = dflt_s;
	if (az_json_type(j) != AZ_JNULL && !az_json_i64(j, INT32_MIN, INT32_MAX, timeout_s))
		return az_fail(err, AZ_EINVAL, "box.create", "timeout is not an integer");
	if (*timeout_s <= 0)
		return az_fail(err, AZ_EINVAL, "box.create", "Timeout must be greater than 0");
	if (*timeout_s > TTL_MAX_S)
		return az_fail(err, AZ_EINVAL, "box.create",
		    "Timeout cannot be greater than %d hours", TTL_MAX_S / 3600);
	if (!string_map(az_json_get(req, "metadata")))
		return az_fail(err, AZ_EINVAL, "box.create", "metadata is not a map of strings");
	if (!string_map(az_json_get(req, "envVars")))
		return az_fail(err, AZ_EINVAL, "box.create", "envVars is not a map of strings");
	if ((rc = refuse(req, no, err)) || (rc = check_lifecycle(req, err)))
		return rc;
	if (!template_known(s, t))
		return az_fail(err, AZ_ENOTFOUND, "box.create", "template '%.*s' not found",
		    AZ_FMT(az_str_sub(t, 0, 100)));
	return AZ_OK;
}

/* ---- idempotency ---- */

static bool
key_ok(struct az_str k)
{
	if (!k.n || k.n > 255)
		return false;
	for (size_t i = 0; i < k.n; i++)
		if (!((k.p[i] >= 'a' && k.p[i] <= 'z') || (k.p[i] >= '0' && k.p[i] <= '9') ||
			k.p[i] == '-'))
			return false;
	return true;
}

/* With s->mu held: drop old keys, find this one. */
static struct idem *
idem_find(struct az_box_server *s, struct az_str key, size_t *n)
{
	int64_t now = az_boot_ms();
	struct idem *found = NULL;

	*n = 0;
	for (struct idem **pp = &s->idem; *pp;) {
		struct idem *k = *pp;

		if (k->id[0] && k->until_ms < now) {
			*pp = k->next;
			free(k->key);
			free(k);
			continue;
		}
		if (az_str_eqc(key, k->key))
			found = k;
		++*n;
		pp = &k->next;
	}
	return found;
}

/*
 * Begin under a key: *out referenced when it was created before; else *mine is the
 * entry to finish. Without a key both are NULL.
 */
static enum az_code
idem_begin(struct az_box_server *s, struct az_str key, struct az_str body, struct box **out,
    struct idem **mine, struct az_err *err)
{
	unsigned char sum[32];
	char id[BOX_ID + 1] = "";
	struct idem *k;
	enum az_code rc = AZ_OK;
	size_t n;

	*out = NULL;
	*mine = NULL;
	if (!key.p)
		return AZ_OK;
	if (!key_ok(key))
		return az_fail(
		    err, AZ_EINVAL, "box.create", "Idempotency-Key: 1 to 255 of a-z, 0-9 and -");
	az_sha256_of(body, sum);
	pthread_mutex_lock(&s->mu);
	k = idem_find(s, key, &n);
	if (k && memcmp(k->body, sum, sizeof sum)) {
		rc = az_fail(err, AZ_EUNPROC, "box.create",
		    "the Idempotency-Key was used with another request");
		az_err_reason(err, "idempotency_request_mismatch");
	} else if (k && !k->id[0]) {
		rc = az_fail(err, AZ_ECONFLICT, "box.create",
		    "a request with this Idempotency-Key is under way");
		az_err_reason(err, "idempotency_in_progress");
	} else if (k) {
		memcpy(id, k->id, sizeof id);
	} else if (n >= IDEM_MAX || !(k = calloc(1, sizeof *k)) || !(k->key = az_str_dup(key))) {
		free(n >= IDEM_MAX ? NULL : k);
		rc = az_fail(err, AZ_EUNAVAIL, "box.create", "too many keys");
	} else {
		memcpy(k->body, sum, sizeof sum);
		k->next = s->idem;
		s->idem = k;
		*mine = k;
	}
	pthread_mutex_unlock(&s->mu);
	if (!rc && id[0] && !(*out = box_find(s, az_str_c(id))))
		rc = az_fail(
		    err, AZ_ENOTFOUND, "box.create", "the sandbox of this Idempotency-Key is gone");
	return rc;
}

static void
idem_end(struct az_box_server *s, struct idem *mine, const struct box *b)
{
	if (!mine)
		return;
	pthread_mutex_lock(&s->mu);
	if (b) {
		memcpy(mine->id, b->id, sizeof mine->id);
		mine->until_ms = az_boot_ms() + IDEM_MS;
	} else {
		/* nothing came of it: the next try is a first one */
		for (struct idem **pp = &s->idem; *pp; pp = &(*pp)->next)
			if (*pp == mine) {
				*pp = mine->next;
				break;
			}
		free(mine->key);
		free(mine);
	}
	pthread_mutex_unlock(&s->mu);
}

/* ---- create ---- */

static bool
book(struct az_box_server *s)
{
	int n;

	pthread_mutex_lock(&s->mu);
	n = s->starting;
	for (const struct box *b = s->boxes; b; b = b->next)
		n++;
	if (n < s->max)
		s->starting++;
	pthread_mutex_unlock(&s->mu);
	return n < s->max;
}

/* Only the end of another one helps: no Retry-After, and the SDKs shall not try. */
static enum az_code
full(struct az_rq *rq, const struct az_box_server *s, struct az_err *err)
{
	char text[128];

	snprintf(text, sizeof text,
	    "you have reached the maximum number of concurrent "
	    "E2B sandboxes (%d)",
	    s->max);
	az_rs_header(rq, "Should-Retry", AZ_S("false"));
	return rs_error(rq, 429, text, err);
}

static enum az_code
create(struct az_box_server *s, struct az_str text, int64_t dflt_s, struct box **out,
    struct az_err *err)
{
	struct az_json *req = NULL;
	const struct az_json *allow = NULL, *net;
	struct box *b = NULL;
	int64_t timeout_s = dflt_s;
	struct az_str mask = AZ_S("");
	bool internet = true, open = true;
	enum az_code rc = az_json_parse(text, &az_json_request_limits, &req, err);

	if (rc)
		return rc;
	net = az_json_get(req, "network");
	if ((rc = check_create(s, req, dflt_s, &timeout_s, err)) ||
	    (rc = network_wish(req, net, &internet, &allow, err)) ||
	    (rc = ports_wish(net, &open, &mask, err))) {
		az_json_free(req);
		return rc;
	}
	/* consumed, but alive as long as the box: allow and mask stay readable */
	rc = box_create_own(s, req, timeout_s, s->memory, &b, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&b->mu);
	b->mask = mask;
	if (!open)
		token_make(b->traffic);
	rc = net_policy(b, internet, allow, err);
	pthread_mutex_unlock(&b->mu);
	if (rc) {
		box_destroy(b, "bad network policy", true);
		box_unref(b);
		return rc;
	}
	*out = b;
	return AZ_OK;
}

static enum az_code
create_route(struct az_rq *rq, struct az_box_server *s, int64_t dflt_s, struct az_err *err)
{
	struct idem *mine = NULL;
	struct box *b = NULL;
	struct az_str text;
	int64_t t0 = az_boot_us();
	enum az_code rc;

	if ((rc = check_key(rq, s, err)) ||
	    (rc = az_rq_body(rq, AZ_LIM_REQUEST_BYTES, &text, err)) ||
	    (rc = idem_begin(s, az_rq_header(rq, "Idempotency-Key"), text, &b, &mine, err)))
		return rc;
	if (!b && !book(s)) {
		idem_end(s, mine, NULL);
		return full(rq, s, err);
	}
	if (!b) {
		rc = create(s, text, dflt_s, &b, err);
		pthread_mutex_lock(&s->mu);
		s->starting--;
		pthread_mutex_unlock(&s->mu);
		if (!rc)
			az_log(AZ_INFO, "box.start", AZ_KC("box", b->id),
			    AZ_KN("us", az_boot_us() - t0));
		else
			az_log(AZ_WARN, "box.start", AZ_KE(err));
	}
	idem_end(s, mine, b);
	if (!rc)
		rc = rs_sandbox(rq, 201, b, err);
	if (b)
		box_unref(b);
	return rc;
}

enum az_code
control_create_v1(struct az_rq *rq, void *app, struct az_err *err)
{
	return create_route(rq, app, TTL_V1_S, err);
}

enum az_code
control_create_v2(struct az_rq *rq, void *app, struct az_err *err)
{
	return create_route(rq, app, TTL_V2_S, err);
}
