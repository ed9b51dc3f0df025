/* A walk over a JSON document that replaces what is marked. */
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/json.h>
#include "restack_codec_key.h"

#define CLEAR "__restack_sensitive__"
#define SEALED "__restack_encrypted__"
#define ALG "AES-256-GCM"

enum { NONCE = 12, LAYERS = 8, PATH_BYTES = 140 };

static const char OP[] = "engine.codec";

enum mode { DECODE, ENCODE, UNWRAP };

struct walk {
	struct restack_codec *c;
	enum mode mode;
	struct az_jw w;
	struct codec_key key; /* as looked up by this walk; generation 0: not yet */
	bool fresh;           /* the key is as new as it can be */
	bool changed;
	unsigned layers; /* of marks within what was decrypted */
	struct az_err *err;
};

/* Where the walk is: a chain up the stack, written out only for an error. */
struct at {
	const struct at *up;
	struct az_str key; /* .p NULL: element i */
	size_t i;
};

static enum az_code walk_value(struct walk *w, const struct az_json *j, const struct at *at);

/* Appends up to PATH_BYTES; what is deeper shows as an ellipsis. */
static void
write_path(const struct at *at, struct az_buf *b)
{
	struct az_buf part;

	if (!at) {
		az_buf_addch(b, '$');
		return;
	}
	write_path(at->up, b);
	az_buf_init(&part, 64);
	if (at->key.p)
		az_buf_addf(&part, ".%.*s", AZ_FMT(az_str_sub(at->key, 0, 40)));
	else
		az_buf_addf(&part, "[%zu]", at->i);
	if (b->n + part.n <= PATH_BYTES)
		az_buf_adds(b, az_buf_str(&part));
	else if (!az_str_ends(az_buf_str(b), AZ_S("...")))
		az_buf_addc(b, "...");
	az_buf_release(&part);
}

static enum az_code
refuse(struct walk *w, const struct at *at, const char *why)
{
	struct az_buf path;

	az_buf_init(&path, PATH_BYTES + 8);
	write_path(at, &path);
	(void)az_fail(w->err, AZ_EINVAL, OP, "the encrypted value at %.*s %s",
	    AZ_FMT(az_buf_str(&path)), why);
	(void)az_err_reason(w->err, "encrypted_payload");
	az_buf_release(&path);
	return AZ_EINVAL;
}

static void
discard(struct az_buf *b)
{
	if (b->p)
		az_wipe(b->p, b->n);
	az_buf_release(b);
}

static bool
has(const struct az_json *obj, const char *key)
{
	const struct az_json *v;
	struct az_str k;
	void *it = NULL;

	while (az_json_each(obj, &it, &k, &v))
		if (az_str_eqc(k, key))
			return true;
	return false;
}

/* Decrypt with the key in force, else with a new one, else not at all. */
static enum az_code
open_sealed(struct walk *w, const struct at *at, const unsigned char nonce[NONCE],
    struct az_str sealed, struct az_buf *plain)
{
	enum az_code rc;

	if (!w->key.generation)
		w->fresh = codec_key_get(w->c, 0, &w->key);
	for (;;) {
		if (w->key.have) {
			rc = az_aes256gcm_open(w->key.bytes, nonce, sealed, plain, w->err);
			if (rc != AZ_EINVAL)
				return rc;
		}
		if (w->fresh)
			break;
		(void)codec_key_get(w->c, w->key.generation, &w->key);
		w->fresh = true;
	}
	return refuse(w, at,
	    w->key.have ? "was encrypted with another key, or altered"
			: "cannot be read: the engine gives no key");
}

/* V of an encrypted mark, as JSON text. */
static enum az_code
decrypt(struct walk *w, const struct az_json *mark, const struct at *at, struct az_buf *plain)
{
	struct az_buf nonce, sealed;
	enum az_code rc;

	az_buf_init(&nonce, 64);
	az_buf_init(&sealed, az_json_own_limits.bytes);
	if (!az_str_eqc(az_json_gets(mark, SEALED), "v1"))
		rc = refuse(w, at, "has a version that is not known here");
	else if (!az_str_eqc(az_json_gets(mark, "alg"), ALG))
		rc = refuse(w, at, "uses another algorithm than " ALG);
	else if (!az_base64_decode(&nonce, az_json_gets(mark, "iv")) || nonce.n != NONCE)
		rc = nonce.fail == AZ_ENOMEM ? az_buf_check(&nonce, OP, w->err)
					     : refuse(w, at, "has a malformed iv");
	else if (!az_base64_decode(&sealed, az_json_gets(mark, "ct")))
		rc = sealed.fail ? az_buf_check(&sealed, OP, w->err)
				 : refuse(w, at, "has a malformed ct");
	else
		rc = open_sealed(w, at, (const unsigned char *)nonce.p, az_buf_str(&sealed), plain);
	if (!rc && (rc = az_json_scan(az_buf_str(plain), &az_json_own_limits, w->err)) &&
	    rc != AZ_ENOMEM)
		rc = refuse(w, at, "does not hold JSON");
	az_buf_release(&nonce);
	az_buf_release(&sealed);
	return rc;
}

static enum az_code
walk_sealed(struct walk *w, const struct az_json *mark, const struct at *at)
{
	struct az_json *v = NULL;
	struct az_buf plain;
	enum az_code rc;

	if (w->layers == LAYERS)
		return refuse(w, at, "lies within too many others");
	az_buf_init(&plain, az_json_own_limits.bytes);
	w->changed = true;
	if ((rc = decrypt(w, mark, at, &plain)))
		goto out;
	if (w->mode == DECODE) {
		az_jw_obj(&w->w);
		az_jw_kb(&w->w, CLEAR, true);
		az_jw_kraw(&w->w, "value", az_buf_str(&plain));
		az_jw_end(&w->w, '}');
		goto out;
	}
	/* V may hold marks of its own */
	if ((rc = az_json_parse(az_buf_str(&plain), &az_json_own_limits, &v, w->err)))
		goto out;
	w->layers++;
	rc = walk_value(w, v, at);
	w->layers--;
out:
	az_json_free(v);
	discard(&plain);
	return rc;
}

static enum az_code
encrypt(struct walk *w, const struct az_json *mark)
{
	struct az_buf plain, sealed, text;
	unsigned char nonce[NONCE];
	struct az_jw v;
	enum az_code rc;
	size_t iv_n;

	az_buf_init(&plain, az_json_own_limits.bytes);
	az_buf_init(&sealed, az_json_own_limits.bytes);
	az_buf_init(&text, az_json_own_limits.bytes);
	az_jw_init(&v, &plain);
	az_jw_value(&v, az_json_get(mark, "value"));
	az_random(nonce, sizeof nonce);
	if ((rc = az_buf_check(&plain, OP, w->err)) ||
	    (rc = az_aes256gcm_seal(w->key.bytes, nonce, az_buf_str(&plain), &sealed, w->err)))
		goto out;
	az_base64(&text, az_str_n(nonce, sizeof nonce));
	iv_n = text.n;
	az_base64(&text, az_buf_str(&sealed));
	if ((rc = az_buf_check(&text, OP, w->err)))
		goto out;
	w->changed = true;
	az_jw_obj(&w->w);
	az_jw_kc(&w->w, SEALED, "v1");
	az_jw_kc(&w->w, "alg", ALG);
	az_jw_ks(&w->w, "iv", az_str_sub(az_buf_str(&text), 0, iv_n));
	az_jw_ks(&w->w, "ct", az_str_sub(az_buf_str(&text), iv_n, text.n));
	az_jw_end(&w->w, '}');
out:
	discard(&plain);
	az_buf_release(&sealed);
	az_buf_release(&text);
	return rc;
}

static enum az_code
walk_object(struct walk *w, const struct az_json *obj, const struct at *up)
{
	const struct az_json *v;
	struct at at = {.up = up};
	enum az_code rc = AZ_OK;
	void *it = NULL;

	if (w->mode != ENCODE && has(obj, SEALED))
		return walk_sealed(w, obj, up);
	if (az_json_getb(obj, CLEAR, false) && has(obj, "value")) {
		if (w->mode == UNWRAP) {
			at.key = AZ_S("value");
			w->changed = true;
			return walk_value(w, az_json_get(obj, "value"), &at);
		}
		if (w->mode == ENCODE && !w->key.generation)
			(void)codec_key_get(w->c, 0, &w->key);
		if (w->mode == ENCODE && w->key.have)
			return encrypt(w, obj);
	}
	az_jw_obj(&w->w);
	while (!rc && az_json_each(obj, &it, &at.key, &v)) {
		az_jw_keys(&w->w, at.key);
		rc = walk_value(w, v, &at);
	}
	az_jw_end(&w->w, '}');
	return rc;
}

static enum az_code
walk_value(struct walk *w, const struct az_json *j, const struct at *up)
{
	struct at at = {.up = up};
	enum az_code rc = AZ_OK;

	if (az_json_type(j) == AZ_JOBJ)
		return walk_object(w, j, up);
	if (az_json_type(j) != AZ_JARR) {
		az_jw_value(&w->w, j);
		return AZ_OK;
	}
	az_jw_arr(&w->w);
	for (size_t n = az_json_len(j); !rc && at.i < n; at.i++)
		rc = walk_value(w, az_json_at(j, at.i), &at);
	az_jw_end(&w->w, ']');
	return rc;
}

bool
restack_codec_marked(struct az_str json)
{
	/* an escape may hide a letter of the mark */
	return az_str_find(json, AZ_S("__restack_"), 0) >= 0 ||
	       az_str_find(json, AZ_S("\\u"), 0) >= 0;
}

static enum az_code
transform(struct restack_codec *c, enum mode mode, struct az_str json, struct az_buf *out,
    struct az_err *err)
{
	struct walk w = {.c = c, .mode = mode, .err = err};
	struct az_json *doc = NULL;
	size_t from = out->n;
	enum az_code rc = AZ_OK;

	if (restack_codec_marked(json)) {
		if ((rc = az_json_parse(json, &az_json_own_limits, &doc, err)))
			return rc;
		az_jw_init(&w.w, out);
		if (!(rc = walk_value(&w, doc, NULL)))
			rc = az_buf_check(out, OP, err);
		az_json_free(doc);
		az_wipe(&w.key, sizeof w.key);
		if (rc || !w.changed)
			az_buf_cut(out, from);
	}
	if (rc || w.changed)
		return rc;
	az_buf_adds(out, json);
	return az_buf_check(out, OP, err);
}

enum az_code
restack_codec_decode(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err)
{
	return transform(c, DECODE, json, out, err);
}

enum az_code
restack_codec_encode(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err)
{
	return transform(c, ENCODE, json, out, err);
}

enum az_code
restack_codec_unwrap(
    struct restack_codec *c, struct az_str json, struct az_buf *out, struct az_err *err)
{
	return transform(c, UNWRAP, json, out, err);
}
