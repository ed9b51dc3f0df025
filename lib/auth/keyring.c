#include <stdlib.h>
#include <azlon/crypto.h>
#include <azlon/json.h>
#include "keyring.h"
#include "ops.h"

static const char OP[] = "auth.apikeys";

static const struct az_json_limits limits = {KEYRING_BYTES, 8, 200000};

static const struct {
	const char *name;
	unsigned bit;
} scopes[] = {{"runs:read", AZ_SCOPE_RUNS_READ}, {"runs:write", AZ_SCOPE_RUNS_WRITE},
    {"files:read", AZ_SCOPE_FILES_READ}, {"files:write", AZ_SCOPE_FILES_WRITE}};

bool
az_scopes_parse(struct az_str list, unsigned *out)
{
	struct az_str part;
	unsigned all = 0;

	while (az_str_cut(&list, ',', &part)) {
		unsigned bit = 0;

		part = az_str_trim(part);
		for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
			if (az_str_eqc(part, scopes[i].name))
				bit = scopes[i].bit;
		if (az_str_eqc(part, "all"))
			bit = AZ_SCOPE_ALL;
		if (!bit)
			return false;
		all |= bit;
	}
	*out = all;
	return all != 0;
}

void
az_scopes_text(struct az_buf *b, unsigned bits)
{
	const char *between = "";

	for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
		if (bits & scopes[i].bit) {
			az_buf_addf(b, "%s%s", between, scopes[i].name);
			between = ",";
		}
}

/* n characters of our base32 */
static bool
base32(struct az_str s, size_t n)
{
	if (s.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '2' && s.p[i] <= '7')))
			return false;
	return true;
}

struct az_str
keyring_id(struct az_str key)
{
	struct az_str id = az_str_sub(key, 4, 4 + KEY_ID_CHARS);

	if (key.n == 4 + KEY_ID_CHARS + 1 + KEY_SECRET_CHARS &&
	    az_str_starts(key, AZ_S(AUTH_KEY_PREFIX)) && base32(id, KEY_ID_CHARS) &&
	    key.p[4 + KEY_ID_CHARS] == '_' &&
	    base32(az_str_sub(key, 4 + KEY_ID_CHARS + 1, key.n), KEY_SECRET_CHARS))
		return id;
	return AZ_S("");
}

static bool
time_of(const struct az_json *j, const char *name, int64_t *out)
{
	return az_json_i64(az_json_get(j, name), 0, INT64_C(1) << 40, out);
}

static int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
hash_of(struct az_str hex, unsigned char out[32])
{
	if (hex.n != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int hi = digit(hex.p[2 * i]), lo = digit(hex.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

static bool
key_of(struct keyring *r, const struct az_json *j, struct keyring_key *out)
{
	struct az_apikey *k = &out->k;

	k->id = az_arena_str(r->a, az_json_gets(j, "id"));
	k->user = az_arena_str(r->a, az_json_gets(j, "user"));
	k->name = az_arena_str(r->a, az_json_gets(j, "name"));
	atomic_init(&out->touched_s, 0);
	return k->id.p && k->user.p && k->name.p && base32(k->id, KEY_ID_CHARS) &&
	       auth_uid_ok(k->user) && hash_of(az_json_gets(j, "sha256"), out->hash) &&
	       az_scopes_parse(az_json_gets(j, "scopes"), &k->scopes) &&
	       time_of(j, "created_s", &k->created_s) && time_of(j, "expires_s", &k->expires_s) &&
	       time_of(j, "revoked_s", &k->revoked_s);
}

static enum az_code
fill(struct keyring *r, const struct az_json *doc, struct az_err *err)
{
	const struct az_json *keys = az_json_get(doc, "keys"), *out = az_json_get(doc, "out");
	size_t n = az_json_len(keys), n_out = az_json_len(out);

	if (doc && (az_json_geti(doc, "version", 0) != 1 || az_json_type(keys) != AZ_JARR ||
		       az_json_type(out) != AZ_JARR || n > KEYRING_KEYS || n_out > KEYRING_OUT))
		return az_fail(err, AZ_EINVAL, OP, "not a file of API keys");
	r->keys = az_arena_alloc(r->a, (n + 1) * sizeof *r->keys);
	r->out = az_arena_alloc(r->a, (n_out + 1) * sizeof *r->out);
	if (!r->keys || !r->out)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	for (; r->n < n; r->n++)
		if (!key_of(r, az_json_at(keys, r->n), &r->keys[r->n]))
			return az_fail(err, AZ_EINVAL, OP, "key %zu is damaged", r->n + 1);
	for (; r->n_out < n_out; r->n_out++) {
		const struct az_json *j = az_json_at(out, r->n_out);
		struct keyring_out *o = &r->out[r->n_out];

		o->user = az_arena_str(r->a, az_json_gets(j, "user"));
		if (!o->user.p || !auth_uid_ok(o->user) || !time_of(j, "until_s", &o->until_s))
			return az_fail(err, AZ_EINVAL, OP, "sign-out %zu is damaged", r->n_out + 1);
	}
	return AZ_OK;
}

enum az_code
keyring_parse(struct az_str text, struct keyring **out, struct az_err *err)
{
	struct keyring *r = calloc(1, sizeof *r);
	struct az_json *doc = NULL;
	enum az_code rc;

	*out = NULL;
	if (!r || !(r->a = az_arena_new(4 * KEYRING_BYTES))) {
		free(r);
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	}
	rc = text.n ? az_json_parse(text, &limits, &doc, err) : AZ_OK;
	if (!rc)
		rc = fill(r, doc, err);
	az_json_free(doc);
	if (rc) {
		keyring_free(r);
		return rc == AZ_ETOOBIG ? az_fail(err, AZ_EINVAL, OP, "too large") : rc;
	}
	*out = r;
	return AZ_OK;
}

void
keyring_free(struct keyring *r)
{
	if (!r)
		return;
	az_arena_free(r->a);
	free(r);
}

void
keyring_write(const struct keyring *r, struct az_buf *b)
{
	struct az_buf words;
	struct az_jw w;
	char hex[65];

	az_buf_init(&words, 128);
	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_ki(&w, "version", 1);
	az_jw_key(&w, "keys");
	az_jw_arr(&w);
	for (size_t i = 0; i < r->n; i++) {
		const struct az_apikey *k = &r->keys[i].k;

		az_buf_reset(&words);
		az_scopes_text(&words, k->scopes);
		az_hex(r->keys[i].hash, 32, hex);
		az_jw_obj(&w);
		az_jw_ks(&w, "id", k->id);
		az_jw_kc(&w, "sha256", hex);
		az_jw_ks(&w, "user", k->user);
		az_jw_ks(&w, "name", k->name);
		az_jw_ks(&w, "scopes", az_buf_str(&words));
		az_jw_ki(&w, "created_s", k->created_s);
		az_jw_ki(&w, "expires_s", k->expires_s);
		az_jw_ki(&w, "revoked_s", k->revoked_s);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_key(&w, "out");
	az_jw_arr(&w);
	for (size_t i = 0; i < r->n_out; i++) {
		az_jw_obj(&w);
		az_jw_ks(&w, "user", r->out[i].user);
		az_jw_ki(&w, "until_s", r->out[i].until_s);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	if (words.fail)
		b->fail = words.fail;
	az_buf_release(&words);
}

struct keyring_key *
keyring_find(const struct keyring *r, struct az_str id)
{
	for (size_t i = 0; i < r->n; i++)
		if (az_str_eq(r->keys[i].k.id, id))
			return &r->keys[i];
	return NULL;
}
