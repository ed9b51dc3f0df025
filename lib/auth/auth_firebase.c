/*
 * Whoever sends a bearer token: API keys, and ID tokens of a Firebase project. Two identities
 * have the same code: "firebase" takes both kinds, "keys" only the first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "jwt.h"
#include "keyfile.h"
#include "keyset.h"
#include "ops.h"

static const char OP[] = "auth.firebase";

struct bearer {
	struct az_auth base;
	struct keyfile *keys;
	struct keyset *set; /* of the project; NULL with the emulator and without one */
	char *project;      /* NULL: no ID tokens */
	bool emulator;
	int64_t (*now_s)(void);
};

static int64_t
clock_s(void)
{
	return az_wall_ms() / 1000;
}

static void
bearer_close(struct az_auth *au)
{
	struct bearer *b = (struct bearer *)au;

	keyset_close(b->set);
	keyfile_close(b->keys);
	free(b->project);
	free(b);
}

/* The emulator's tokens are signed by nobody: whoever reaches us could be anybody. */
static enum az_code
emulator_ok(const struct az_auth_opts *o, struct az_err *err)
{
	if (!az_str_starts(az_str_c(o->project), AZ_S("demo-")))
		return az_fail(err, AZ_EINVAL, OP,
		    "FIREBASE_AUTH_EMULATOR_HOST is set: its tokens are unsigned and are taken "
		    "only for a FIREBASE_PROJECT_ID that begins with demo-");
	if (o->external_url && *o->external_url)
		return az_fail(err, AZ_EINVAL, OP,
		    "EXTERNAL_BACKEND_URL is set: unsigned tokens of "
		    "FIREBASE_AUTH_EMULATOR_HOST are for loopback only");
	return AZ_OK;
}

static enum az_code
with_project(struct bearer *b, const struct az_auth_opts *o, const char *dir, struct az_err *err)
{
	enum az_code rc;

	if (!o->project || !*o->project)
		return az_fail(err, AZ_EINVAL, OP, "FIREBASE_PROJECT_ID is not set");
	if (!(b->project = az_str_dup(az_str_c(o->project))))
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	b->emulator = o->emulator;
	if (o->emulator) {
		if (!(rc = emulator_ok(o, err)))
			az_log(AZ_WARN, "auth.emulator", AZ_KC("project", o->project));
		return rc;
	}
	return keyset_open(
	    &(struct keyset_opts){
		.http = o->http, .url = o->keys_url, .dir = dir, .now_s = b->now_s},
	    &b->set, err);
}

static enum az_code
bearer_open(const struct az_auth_ops *ops, const struct az_auth_opts *o, struct az_auth **out,
    struct az_err *err)
{
	struct az_arena *a;
	struct bearer *b;
	const char *dir = NULL;
	enum az_code rc;

	if (!o->var)
		return az_fail(err, AZ_EINVAL, OP, "AZLON_VAR is not set");
	a = az_arena_new(AZ_KIB(16));
	b = calloc(1, sizeof *b);
	if (!a || !b) {
		az_arena_free(a);
		free(b);
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	}
	b->base.ops = ops;
	b->now_s = o->now_s ? o->now_s : clock_s;
	if (!(rc = az_auth_dir(o->var, a, &dir, err)) && !(rc = keyfile_open(dir, &b->keys, err)) &&
	    ops == &auth_firebase_ops)
		rc = with_project(b, o, dir, err);
	az_arena_free(a);
	if (rc)
		bearer_close((struct az_auth *)b);
	else
		*out = (struct az_auth *)b;
	return rc;
}

static enum az_code
firebase_open(const struct az_auth_opts *o, struct az_auth **out, struct az_err *err)
{
	return bearer_open(&auth_firebase_ops, o, out, err);
}

static enum az_code
keys_open(const struct az_auth_opts *o, struct az_auth **out, struct az_err *err)
{
	return bearer_open(&auth_keys_ops, o, out, err);
}

/* ---- one request ---- */

/* "Bearer" in any case of letters, one blank, a token without any. */
static enum az_code
token_of(struct az_str header, struct az_str *token, struct az_err *err)
{
	if (!header.p || !header.n)
		return auth_refuse(err, "unauthorized",
		    "Nothing says who sends this request: it needs a header Authorization: Bearer "
		    "with an ID token or an API key.");
	if (header.n > 7 && az_str_ieq(az_str_sub(header, 0, 7), AZ_S("Bearer "))) {
		*token = az_str_sub(header, 7, header.n);
		for (size_t i = 0; i < token->n; i++)
			if (token->p[i] <= ' ' || token->p[i] > '~' || token->p[i] == ',')
				token->n = 0;
		if (token->n)
			return AZ_OK;
	}
	return auth_refuse(err, "token_invalid",
	    "The Authorization header is not Bearer, one blank and one token.");
}

static enum az_code
id_token(struct bearer *b, struct az_str token, struct az_arena *a, struct az_caller *out,
    struct az_err *err)
{
	struct jwt_claims c;
	struct jwt t;
	enum az_code rc;

	/* nothing that a token claims is read before its signature was right */
	if ((rc = jwt_open(token, b->emulator, a, &t, err)) ||
	    (!b->emulator && (rc = keyset_check(b->set, t.kid, t.text, t.signature, err))) ||
	    (rc = jwt_claims(&t, b->project, b->now_s(), a, &c, err)) ||
	    (rc = keyfile_signed_in(b->keys, c.sub, c.auth_time_s, err)))
		return rc;
	out->uid = c.sub;
	return AZ_OK;
}

static enum az_code
bearer_identify(struct az_auth *au, const struct az_auth_in *in, struct az_arena *a,
    struct az_caller *out, struct az_err *err)
{
	struct bearer *b = (struct bearer *)au;
	struct az_str token = {NULL, 0};
	bool key;
	enum az_code rc;

	if (b->emulator && (rc = auth_loopback(in, "Firebase's emulator", OP, err)))
		return rc;
	if ((rc = token_of(in->authorization, &token, err)))
		return rc;
	key = az_str_starts(token, AZ_S(AUTH_KEY_PREFIX));
	if (key)
		rc = keyfile_check(b->keys, token, b->now_s(), a, out, err);
	else if (b->project)
		rc = id_token(b, token, a, out, err);
	else
		return auth_refuse(err, "token_invalid", "This server takes API keys only.");
	if (rc != AZ_EAUTH)
		return rc;
	if (strcmp(err->reason, "expired") == 0)
		return auth_refuse(err, "token_expired",
		    key ? "The API key has expired." : "The ID token has expired.");
	return auth_refuse(err, "token_invalid",
	    key ? "The API key is not one that this server knows, or it was revoked."
		: "The token is not an ID token that this server accepts.");
}

const struct az_auth_ops auth_firebase_ops = {
    .name = "firebase",
    .open = firebase_open,
    .identify = bearer_identify,
    .close = bearer_close,
};

const struct az_auth_ops auth_keys_ops = {
    .name = "keys",
    .open = keys_open,
    .identify = bearer_identify,
    .close = bearer_close,
};
