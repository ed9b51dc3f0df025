/* Refused connections, recorded and told: see blocked.h. */
#include "blocked.h"

enum {
	TOLD = 8, /* hosts named in one line */
	HOST_TOLD = 100
};

/* ---- during a function ---- */

void
blocked_begin(struct work_job *j, const struct work_box *x, struct blocked *b)
{
	*b = (struct blocked){.id = x->ref.id, .known = true};
	if (!x->made) /* counts are the sandbox's, over all iterations */
		b->known = az_sandbox_blocked(
			       j->sandbox, &x->ref, j->a, &b->before, &b->n_before, NULL) == AZ_OK;
}

static int64_t
count_before(const struct blocked *b, const struct az_sb_blocked *k)
{
	for (size_t i = 0; i < b->n_before; i++)
		if (b->before[i].port == k->port && az_str_eq(b->before[i].host, k->host))
			return b->before[i].count;
	return 0;
}

static int
order(const struct az_sb_blocked *x, const struct az_sb_blocked *y)
{
	int c = az_str_cmp(x->host, y->host);

	return c ? c : x->port - y->port;
}

/* Programs ask in any order; prompts must not differ for that. */
static void
add(struct az_sb_blocked *v, size_t *n, const struct az_sb_blocked *k)
{
	size_t at = *n;

	for (; at > 0 && order(&v[at - 1], k) > 0; at--)
		v[at] = v[at - 1];
	v[at] = *k;
	++*n;
}

void
blocked_end(struct work_job *j, const struct work_box *x, struct blocked *b)
{
	struct az_sb_blocked *all;
	size_t n;

	if (!az_str_eq(b->id, x->ref.id)) { /* another one, new */
		b->n_before = 0;
		b->known = true;
	}
	if (!b->known || az_sandbox_blocked(j->sandbox, &x->ref, j->a, &all, &n, NULL) != AZ_OK ||
	    !n || !(b->v = az_arena_alloc(j->a, n * sizeof(*b->v))))
		return;
	for (size_t i = 0; i < n; i++) {
		struct az_sb_blocked k = all[i];

		k.count -= count_before(b, &k);
		if (k.count > 0)
			add(b->v, &b->n, &k);
	}
}

void
blocked_json(const struct blocked *b, struct az_jw *w)
{
	if (!b->n)
		return;
	az_jw_key(w, "blocked");
	az_jw_arr(w);
	for (size_t i = 0; i < b->n; i++) {
		az_jw_obj(w);
		az_jw_ks(w, "host", b->v[i].host);
		az_jw_ki(w, "port", b->v[i].port);
		az_jw_ki(w, "count", b->v[i].count);
		az_jw_ks(w, "why", b->v[i].why);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
}

/* ---- afterwards, out of the records ---- */

struct told {
	struct az_sb_blocked v[2 * AZ_SB_BLOCKED_MAX];
	size_t n;
};

static void
gather(struct told *t, const struct az_json *list)
{
	for (size_t i = 0; i < az_json_len(list) && t->n < 2 * AZ_SB_BLOCKED_MAX; i++) {
		const struct az_json *o = az_json_at(list, i);
		struct az_sb_blocked k = {.host = az_json_gets(o, "host"),
		    .port = (int)(az_json_geti(o, "port", 0) & 0xffff),
		    .why = az_json_gets(o, "why")};
		bool known = false;

		for (size_t m = 0; m < t->n; m++)
			known = known || order(&t->v[m], &k) == 0;
		if (!known)
			add(t->v, &t->n, &k);
	}
}

/* A name that could be one; what else a program wrote there is only counted. */
static bool
plain(struct az_str host)
{
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '.' || c == '-' || c == '_' || c == ':'))
			return false;
	}
	return host.n > 0 && host.n <= HOST_TOLD;
}

static void
hosts(const struct told *t, struct az_buf *b)
{
	size_t named = 0;

	for (size_t i = 0; i < t->n && named < TOLD; i++) {
		struct az_str h = t->v[i].host;
		bool six = az_str_chr(h, ':') >= 0;

		if (!plain(h))
			continue;
		az_buf_addf(b, "%s%s%.*s%s:%d", named++ ? ", " : "", six ? "[" : "", AZ_FMT(h),
		    six ? "]" : "", t->v[i].port);
	}
	if (named < t->n)
		az_buf_addf(b, "%s%zu %s", named ? " and " : "", t->n - named,
		    named ? "more" : "with odd names");
}

bool
blocked_words(struct work_job *j, const struct az_json *list, struct az_buf *b)
{
	struct told *t = az_arena_alloc(j->a, sizeof(*t));

	if (!t)
		return false;
	t->n = 0;
	gather(t, list);
	hosts(t, b);
	return t->n > 0;
}

static bool
any_hidden(const struct az_json *verdict)
{
	const struct az_json *all = az_json_get(verdict, "checks");

	for (size_t i = 0; i < az_json_len(all); i++)
		if (az_json_getb(az_json_at(all, i), "hidden", false))
			return true;
	return false;
}

static bool
refused_for(const struct told *t, const char *why)
{
	for (size_t i = 0; i < t->n; i++)
		if (az_str_eqc(t->v[i].why, why))
			return true;
	return false;
}

void
blocked_prompt(
    struct work_job *j, const struct az_json *run, const struct az_json *verdict, struct az_buf *b)
{
	const struct az_json *net = az_json_get(j->request, "network");
	struct told *t = az_arena_alloc(j->a, sizeof(*t));

	if (!t)
		return;
	t->n = 0;
	gather(t, az_json_get(run, "blocked"));
	if (!any_hidden(verdict))
		gather(t, az_json_get(verdict, "blocked"));
	if (!t->n)
		return;
	az_buf_addc(b, "Connections that were refused: ");
	hosts(t, b);
	az_buf_addc(b, "\n");
	if (refused_for(t, "network"))
		az_buf_addc(b, az_str_eqc(az_json_gets(net, "default"), "deny")
				   ? "There is no network, not for RUN lines either.\n"
				   : "The program has no network; only RUN lines can install "
				     "packages.\n");
	if (refused_for(t, "domain"))
		az_buf_addc(b, "Only hosts that the request allows can be reached.\n");
	if (refused_for(t, "address"))
		az_buf_addc(b, "Only public addresses can be reached, on ports 80 and 443.\n");
}
