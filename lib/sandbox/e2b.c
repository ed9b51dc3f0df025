/* The adapter: opening, the table of slots, and where a sandbox is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/cond.h>
#include <azlon/crypto.h>
#include "e2b.h"

static void
e2b_close(struct az_sandbox *s)
{
	struct e2b *e = e2b_of(s);

	if (!e || e->root != e)
		return;
	if (e->key)
		az_wipe(e->key, strlen(e->key));
	free(e->api_url);
	free(e->sandbox_url);
	free(e->domain);
	free(e->key);
	free(e->template_id);
	if (e->shared) {
		pthread_cond_destroy(&e->shared->changed);
		pthread_mutex_destroy(&e->shared->mu);
		free(e->shared);
	}
	free(e);
}

bool
e2b_stopped(void *arg)
{
	const struct e2b *e = arg;

	return e->cancelled && e->cancelled(e->arg);
}

enum az_code
e2b_watched(struct az_sandbox *s, bool (*cancelled)(void *arg), void *arg, struct az_arena *a,
    struct az_sandbox **out, struct az_err *err)
{
	struct e2b *of = e2b_of(s)->root, *e = az_arena_alloc(a, sizeof(*e));

	if (!e)
		return az_fail(err, AZ_ENOMEM, "sandbox.watched", "out of memory");
	*e = *of;
	e->cancelled = cancelled;
	e->arg = arg;
	*out = &e->base;
	return AZ_OK;
}

static const struct az_sandbox_ops ops = {
    .name = "e2b",
    .watched = e2b_watched,
    .create = e2b_create,
    .connect = e2b_attach,
    .find = e2b_find,
    .kill = e2b_kill,
    .network = e2b_network,
    .blocked = e2b_blocked,
    .run = e2b_run,
    .kill_all = e2b_kill_all,
    .upload = e2b_upload,
    .upload_form = e2b_upload_form,
    .download = e2b_download,
    .list = e2b_list,
    .mkdir = e2b_mkdir,
    .remove = e2b_remove,
    .ping = e2b_ping,
    .close = e2b_close,
};

/* A copy of an URL without the '/' at its end; paths are appended with theirs. */
static char *
url_copy(const char *url)
{
	struct az_str s = az_str_c(url);

	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	return az_str_dup(s);
}

static bool
url_ok(const char *url)
{
	struct az_str s = az_str_c(url);
	size_t i;

	if (!az_str_starts(s, AZ_S("http://")) && !az_str_starts(s, AZ_S("https://")))
		return false;
	for (i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '?' || s.p[i] == '#')
			return false;
	return s.n < 2000;
}

enum az_code
az_sandbox_e2b_open(
    const struct az_sandbox_e2b_opts *o, struct az_sandbox **out, struct az_err *err)
{
	struct e2b *e = NULL;
	enum az_code rc;
	const char *k;

	*out = NULL;
	if (!o->http || !o->api_url || !url_ok(o->api_url))
		return az_fail(err, AZ_EINVAL, "sandbox.open",
		    "not a URL of an E2B control plane: %.80s", o->api_url ? o->api_url : "(none)");
	if (o->sandbox_url && !url_ok(o->sandbox_url))
		return az_fail(err, AZ_EINVAL, "sandbox.open", "not a URL of sandboxes: %.80s",
		    o->sandbox_url);
	if (!o->key || !*o->key || strlen(o->key) > 500)
		return az_fail(err, AZ_EINVAL, "sandbox.open", "no E2B API key");
	for (k = o->key; *k; k++)
		if (*k <= ' ' || *k > '~')
			return az_fail(err, AZ_EINVAL, "sandbox.open",
			    "the E2B API key holds a blank or control character");
	if (!(e = calloc(1, sizeof *e)))
		return az_fail(err, AZ_ENOMEM, "sandbox.open", "out of memory");
	e->base.ops = &ops;
	e->root = e;
	e->http = o->http;
	e->kills_trees = o->kills_trees;
	e->wait_ms = E2B_WAIT_MS;
	e->line_ms = E2B_LINE_MS;
	e->idle_ms = 2 * E2B_KEEPALIVE_S * 1000;
	e->grace_ms = E2B_GRACE_MS;
	e->api_url = url_copy(o->api_url);
	e->sandbox_url = o->sandbox_url ? url_copy(o->sandbox_url) : NULL;
	e->domain = az_str_dup(az_str_c(o->domain ? o->domain : "e2b.app"));
	e->key = az_str_dup(az_str_c(o->key));
	e->template_id = az_str_dup(az_str_c(o->template_id ? o->template_id : "base"));
	if ((e->shared = calloc(1, sizeof *e->shared))) {
		pthread_mutex_init(&e->shared->mu, NULL);
		az_cond_init(&e->shared->changed);
	}
	if (!e->api_url || (o->sandbox_url && !e->sandbox_url) || !e->domain || !e->key ||
	    !e->template_id || !e->shared) {
		rc = az_fail(err, AZ_ENOMEM, "sandbox.open", "out of memory");
		e2b_close((struct az_sandbox *)e);
		return rc;
	}
	*out = (struct az_sandbox *)e;
	return AZ_OK;
}

/* E2B's own domains have one shared host that routes by header and lets connections
   be reused between sandboxes. */
static bool
shared_host(struct az_str domain)
{
	static const char *const own[] = {"e2b.app", "e2b.dev", "e2b.pro", "e2b-staging.dev",
	    "e2b-tango.dev", "e2b-juliett.dev", "foxtrot-2.e2b.dev"};
	size_t i;

	for (i = 0; i < sizeof own / sizeof own[0]; i++)
		if (az_str_eqc(domain, own[i]))
			return true;
	return false;
}

void
e2b_envd_url(const struct e2b *e, const struct az_box_ref *ref, struct az_buf *b)
{
	struct az_str domain = ref->domain.n ? ref->domain : az_str_c(e->domain);

	if (e->sandbox_url)
		az_buf_addc(b, e->sandbox_url);
	else if (shared_host(domain))
		az_buf_addf(b, "https://sandbox.%.*s", AZ_FMT(domain));
	else
		az_buf_addf(
		    b, "https://" E2B_ENVD_PORT "-%.*s.%.*s", AZ_FMT(ref->id), AZ_FMT(domain));
}

bool
e2b_default_user(const struct az_box_ref *ref)
{
	struct az_str rest = ref->envd_version, part;
	int64_t major = 0, minor = 0;

	if (!az_str_cut(&rest, '.', &part) || !az_str_to_i64(part, 0, 9999, &major) ||
	    !az_str_cut(&rest, '.', &part) || !az_str_to_i64(part, 0, 9999, &minor))
		return true; /* not told: today's */
	return major > 0 || minor >= 4;
}

enum az_code
e2b_head_init(
    struct e2b_head *h, const struct az_box_ref *ref, const char *user, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	*h = (struct e2b_head){.n = 0};
	if (ref->token.n > sizeof h->token - 20 || ref->id.n > sizeof h->id - 20)
		return az_fail(err, AZ_EINVAL, "sandbox.head", "token too long");
	snprintf(h->id, sizeof h->id, "E2b-Sandbox-Id: %.*s", AZ_FMT(ref->id));
	snprintf(h->port, sizeof h->port, "E2b-Sandbox-Port: " E2B_ENVD_PORT);
	e2b_head_add(h, h->id);
	e2b_head_add(h, h->port);
	if (ref->token.n) {
		snprintf(h->token, sizeof h->token, "X-Access-Token: %.*s", AZ_FMT(ref->token));
		e2b_head_add(h, h->token);
	}
	if (!user && !e2b_default_user(ref))
		user = "user";
	if (user) {
		char who[80];
		int n = snprintf(who, sizeof who, "%s:", user);

		if (n < 0 || (size_t)n >= sizeof who)
			return az_fail(err, AZ_EINVAL, "sandbox.head", "user name too long");
		az_buf_init(&b, sizeof h->user);
		az_base64(&b, az_str_n(who, (size_t)n));
		if ((rc = az_buf_check(&b, "sandbox.head", err)) == AZ_OK) {
			snprintf(h->user, sizeof h->user, "Authorization: Basic %.*s",
			    AZ_FMT(az_buf_str(&b)));
			e2b_head_add(h, h->user);
		}
		az_buf_release(&b);
		return rc;
	}
	return AZ_OK;
}

void
e2b_head_add(struct e2b_head *h, const char *line)
{
	if (h->n + 1 < sizeof h->line / sizeof h->line[0])
		h->line[h->n++] = line;
}
