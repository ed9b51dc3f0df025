/* Connections that programs of a sandbox were refused: a member of ours in its page. */
#include "e2b_rest.h"

#define OP "sandbox.blocked"
#define HOST_MAX 255
#define WHY_MAX 32

/* What a program called a host: it chose the bytes. */
static bool
host_ok(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f)
			return false;
		/* U+0080 to U+009F are control characters as well */
		if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
			return false;
	}
	return s.n > 0 && s.n <= HOST_MAX && az_str_utf8_ok(s);
}

static bool
why_ok(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '_'))
			return false;
	return s.n > 0 && s.n <= WHY_MAX;
}

static bool
twice(const struct az_sb_blocked *v, size_t n, const struct az_sb_blocked *k)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].port == k->port && az_str_eq(v[i].host, k->host))
			return true;
	return false;
}

static enum az_code
read_list(const struct az_json *list, struct az_arena *a, struct az_sb_blocked **out, size_t *n,
    struct az_err *err)
{
	size_t len = az_json_len(list), k = 0;
	struct az_sb_blocked *v;

	if (az_json_type(list) != AZ_JARR || !len)
		return AZ_OK;
	if (!(v = az_arena_alloc(a, AZ_SB_BLOCKED_MAX * sizeof *v)))
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	for (size_t i = 0; i < len && k < AZ_SB_BLOCKED_MAX; i++) {
		const struct az_json *o = az_json_at(list, i);
		struct az_sb_blocked b = {
		    .host = az_json_gets(o, "host"), .why = az_json_gets(o, "why")};
		int64_t port;

		if (!host_ok(b.host) || !why_ok(b.why) ||
		    !az_json_i64(az_json_get(o, "port"), 1, 65535, &port) ||
		    !az_json_i64(az_json_get(o, "count"), 1, INT64_MAX, &b.count))
			continue;
		b.port = (int)port;
		if (twice(v, k, &b))
			continue;
		b.host = az_arena_str(a, b.host);
		b.why = az_arena_str(a, b.why);
		if (!b.host.p || !b.why.p)
			return az_fail(err, AZ_ENOMEM, OP, "out of memory");
		v[k++] = b;
	}
	*out = v;
	*n = k;
	return AZ_OK;
}

enum az_code
e2b_blocked(struct az_sandbox *s, const struct az_box_ref *ref, struct az_arena *a,
    struct az_sb_blocked **out, size_t *n, struct az_err *err)
{
	struct e2b *e = e2b_of(s);
	struct az_http_resp r = {0};
	const struct az_json *ours;
	struct az_json *j = NULL;
	enum az_code rc;

	/* a service that says nothing of it is asked once */
	if (atomic_load(&e->shared->counts_none))
		return AZ_OK;
	rc = e2b_on_sandbox(e, &(struct e2b_rest){.method = "GET", .total_ms = E2B_PROBE_MS},
	    ref->id, "", &r, OP, err);
	if (rc == AZ_OK && r.status != 200)
		rc = e2b_rest_fail(&r, OP, err);
	if (rc == AZ_OK && (az_json_parse(az_buf_str(&r.body), &e2b_rest_limits, &j, NULL) ||
			       az_json_type(j) != AZ_JOBJ))
		rc = az_fail(err, AZ_EUPSTREAM, OP, "the answer is not a sandbox");
	if (rc == AZ_OK) {
		ours = az_json_get(j, "azlon");
		if (az_json_type(ours) == AZ_JNULL)
			atomic_store(&e->shared->counts_none, true);
		rc = read_list(az_json_get(ours, "blocked"), a, out, n, err);
	}
	if (rc != AZ_OK)
		e2b_cause(e, ref->id, err);
	az_json_free(j);
	az_http_resp_release(&r);
	return rc;
}
