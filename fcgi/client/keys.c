/*
 * keys: API keys and sign-outs. Not over HTTP: who may make a key is who may write the state
 * directory of the servers.
 */
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/apikeys.h>
#include <azlon/clock.h>
#include <azlon/conf.h>
#include "client.h"

enum { DAY_S = 86400, NAME_SHOWN = 40, USER_SHOWN = 32 };

static int
failed(const struct az_err *err)
{
	fprintf(stderr, "azlon: ");
	cl_put(stderr, az_str_c(err->text), 400);
	fprintf(stderr, "\n");
	return err->code == AZ_EINVAL ? CL_USAGE : CL_FAILED;
}

/* "2026-01-31T12:00:00Z", or the word for never */
static const char *
when(struct cl *cl, int64_t s, const char *never)
{
	const char *text = never;
	struct az_buf b;

	if (!s)
		return never;
	az_buf_init(&b, 40);
	az_rfc3339(&b, s * 1000);
	/* keys are made and used to the second */
	if (b.n > 5)
		text = az_arena_printf(cl->a, "%.*sZ", (int)(b.n - 5), b.p);
	az_buf_release(&b);
	return text ? text : never;
}

static const char *
words(struct cl *cl, unsigned scopes)
{
	const char *text;
	struct az_buf b;

	az_buf_init(&b, 128);
	az_scopes_text(&b, scopes);
	text = az_arena_cstr(cl->a, az_buf_str(&b));
	az_buf_release(&b);
	return text ? text : "";
}

static void
time_member(struct cl *cl, struct az_jw *w, const char *name, int64_t s)
{
	az_jw_kc(w, name, when(cl, s, NULL));
}

/* The members that a key has in JSON, without its end. */
static void
members(struct cl *cl, struct az_jw *w, const struct az_apikey *k)
{
	az_jw_obj(w);
	az_jw_ks(w, "id", k->id);
	az_jw_ks(w, "user", k->user);
	az_jw_ks(w, "name", k->name);
	az_jw_kc(w, "scopes", words(cl, k->scopes));
	time_member(cl, w, "created_at", k->created_s);
	time_member(cl, w, "expires_at", k->expires_s);
}

static int
out(struct az_buf *b)
{
	struct az_err err = AZ_ERR_INIT;
	int rc = CL_OK;

	if (az_buf_check(b, "keys", &err))
		rc = failed(&err);
	else
		puts(b->p);
	az_buf_release(b);
	return rc;
}

/*
 * Root does this as the user that owns the state of the servers: they shall read it, and what
 * they own they could have replaced by a link. Where they never ran there is no such user
 * yet; the start gives them what it finds.
 */
static bool
as_owner(struct cl *cl, const char *var)
{
	static const char *const where[] = {"/auth", "/secret", ""};
	struct stat st;

	if (geteuid() != 0)
		return true;
	for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
		const char *path = az_arena_printf(cl->a, "%s%s", var, where[i]);

		if (path && stat(path, &st) == 0)
			return st.st_uid == 0 ||
			       (setgroups(0, NULL) == 0 && setegid(st.st_gid) == 0 &&
				   seteuid(st.st_uid) == 0);
	}
	return true;
}

/* ---- the verbs ---- */

static int
create(struct cl *cl, const struct cl_opt *o, const char *dir)
{
	int64_t now_s = az_wall_ms() / 1000;
	struct az_apikey k = {.user = az_str_c(cl->user),
	    .name = az_str_c(o->name ? o->name : ""),
	    .created_s = now_s,
	    .expires_s = o->days ? now_s + o->days * DAY_S : 0};
	struct az_err err = AZ_ERR_INIT;
	struct az_buf key, b;
	struct az_jw w;
	int rc = CL_OK;

	if (!cl->user)
		return cl_usage("whom does the key act as? --user NAME");
	if (!o->scopes || !az_scopes_parse(az_str_c(o->scopes), &k.scopes))
		return cl_usage("--scopes takes some of runs:read, runs:write, files:read, "
				"files:write with commas between, or all");
	az_buf_init(&key, 200);
	if (az_apikey_create(dir, &k, cl->a, &k.id, &key, &err)) {
		rc = failed(&err);
	} else if (cl->json) {
		az_buf_init(&b, AZ_KIB(4));
		az_jw_init(&w, &b);
		members(cl, &w, &k);
		az_jw_ks(&w, "key", az_buf_str(&key));
		az_jw_end(&w, '}');
		rc = out(&b);
	} else {
		puts(key.p);
		fprintf(stderr, "azlon: key %.*s acts as ", AZ_FMT(k.id));
		cl_put(stderr, k.user, USER_SHOWN);
		fprintf(stderr, " (%s), until %s. It is shown this once.\n", words(cl, k.scopes),
		    when(cl, k.expires_s, "revoked"));
	}
	az_buf_release(&key);
	return rc;
}

static int
list(struct cl *cl, const char *dir)
{
	int64_t now_s = az_wall_ms() / 1000;
	struct az_err err = AZ_ERR_INIT;
	struct az_apikey *keys;
	int rc = CL_OK;
	size_t n;

	if (az_apikey_list(dir, cl->a, &keys, &n, &err))
		return failed(&err);
	if (!cl->json && n)
		printf("%-12s  %-8s  %-20s  %-20s  %-20s  user, scopes, name\n", "id", "state",
		    "created", "expires", "last used");
	for (size_t i = 0; rc == CL_OK && i < n; i++) {
		const struct az_apikey *k = &keys[i];
		const char *state = k->revoked_s                            ? "revoked"
				    : k->expires_s && k->expires_s <= now_s ? "expired"
									    : "good";

		if (cl->json) {
			struct az_buf b;
			struct az_jw w;

			az_buf_init(&b, AZ_KIB(4));
			az_jw_init(&w, &b);
			members(cl, &w, k);
			time_member(cl, &w, "revoked_at", k->revoked_s);
			time_member(cl, &w, "used_at", k->used_s);
			az_jw_kc(&w, "state", state);
			az_jw_end(&w, '}');
			rc = out(&b);
			continue;
		}
		printf("%.*s  %-8s  %-20s  %-20s  %-20s  ", AZ_FMT(k->id), state,
		    when(cl, k->created_s, "-"), when(cl, k->expires_s, "never"),
		    when(cl, k->used_s, "never"));
		cl_put(stdout, k->user, USER_SHOWN);
		printf("  %s  ", words(cl, k->scopes));
		cl_put(stdout, k->name, NAME_SHOWN);
		putchar('\n');
	}
	return rc;
}

int
cl_keys(struct cl *cl, const struct cl_opt *o)
{
	const char *verb = o->narg ? o->arg[0] : "", *dir;
	struct az_str what = az_str_c(o->narg == 2 ? o->arg[1] : "");
	bool one = !strcmp(verb, "revoke") || !strcmp(verb, "sign-out");
	int64_t now_s = az_wall_ms() / 1000;
	struct az_err err = AZ_ERR_INIT;
	struct az_conf c;
	int rc;

	if ((!one && strcmp(verb, "create") != 0 && strcmp(verb, "list") != 0) ||
	    o->narg != (one ? 2 : 1))
		return cl_usage(
		    "what can be done with keys: create, list, revoke ID, sign-out USER");
	if (az_conf_load(&c, NULL, &err))
		return failed(&err);
	if (!as_owner(cl, c.var)) {
		fprintf(
		    stderr, "azlon: %s belongs to a user that root cannot become here\n", c.var);
		rc = CL_FAILED;
	} else if (az_auth_dir(c.var, cl->a, &dir, &err)) {
		rc = failed(&err);
		fprintf(stderr, "azlon: AZLON_VAR names the directory of the servers' state; where "
				"they ran it has a folder auth\n");
	} else if (!strcmp(verb, "create")) {
		rc = create(cl, o, dir);
	} else if (!strcmp(verb, "list")) {
		rc = list(cl, dir);
	} else if (!strcmp(verb, "revoke")) {
		rc = az_apikey_revoke(dir, what, now_s, &err) ? failed(&err) : CL_OK;
	} else {
		rc = az_auth_sign_out(dir, what, now_s, &err) ? failed(&err) : CL_OK;
	}
	az_conf_release(&c);
	return rc;
}
