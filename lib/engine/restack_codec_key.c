/* GET {api}/api/engine/codec/key. An engine without managed keys answers 401, 403 or 404:
   that is an answer. Everything else that is no key is a warning, and asked again. */
#include <pthread.h>
#include <stdlib.h>
#include <azlon/arena.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/json.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "restack_codec_key.h"

enum { FETCH_MS = 5000, AGAIN_MS = 60000, REPLY_BYTES = 16384 };

static const char OP[] = "engine.codec";

struct restack_codec {
	struct az_http *http;
	struct az_arena *mem;         /* holds the next three */
	char *url, *bearer, *ca_file; /* bearer: a header line, NULL without an API key */
	pthread_mutex_t fetching;     /* one request at a time; taken before mu */
	pthread_mutex_t mu;           /* what follows */
	struct codec_key key;
	int64_t again_ms; /* boot clock; 0: the last answer was one */
	bool warned;
};

enum answer { A_KEY, A_NONE, A_UNKNOWN };

enum az_code
restack_codec_new(
    const struct restack_codec_opts *o, struct restack_codec **out, struct az_err *err)
{
	struct restack_codec *c = calloc(1, sizeof *c);

	if (!c || !(c->mem = az_arena_new(AZ_KIB(64)))) {
		free(c);
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	}
	c->http = o->http;
	pthread_mutex_init(&c->fetching, NULL);
	pthread_mutex_init(&c->mu, NULL);
	c->url = az_arena_printf(c->mem, "%s/api/engine/codec/key", o->api_url);
	if (o->api_key)
		c->bearer = az_arena_printf(c->mem, "Authorization: Bearer %s", o->api_key);
	if (o->ca_file)
		c->ca_file = az_arena_cstr(c->mem, az_str_c(o->ca_file));
	if (!c->url || (o->api_key && !c->bearer) || (o->ca_file && !c->ca_file)) {
		restack_codec_free(c);
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	}
	*out = c;
	return AZ_OK;
}

void
restack_codec_free(struct restack_codec *c)
{
	if (!c)
		return;
	az_wipe(&c->key, sizeof c->key);
	if (c->bearer)
		az_wipe(c->bearer, strlen(c->bearer));
	pthread_mutex_destroy(&c->fetching);
	pthread_mutex_destroy(&c->mu);
	az_arena_free(c->mem);
	free(c);
}

static void
wipe_str(struct az_str s)
{
	void *p;

	memcpy(&p, &s.p, sizeof p); /* ours, though lent as const */
	az_wipe(p, s.n);
}

/* {"key":"<base64 of 32 bytes>","alg":"AES-256-GCM"}; alg may be missing. */
static enum az_code
read_key(const struct az_http_resp *r, unsigned char out[32], struct az_err *err)
{
	struct az_str type = az_http_header(r, "content-type");
	ptrdiff_t semicolon = az_str_chr(type, ';');
	const struct az_json *alg;
	struct az_json *doc = NULL;
	enum az_code rc = AZ_OK;
	struct az_buf raw;

	if (semicolon >= 0)
		type = az_str_trim(az_str_sub(type, 0, (size_t)semicolon));
	if (!az_str_ieq(type, AZ_S("application/json")))
		return az_fail(err, AZ_EUPSTREAM, OP, "the key's answer is not application/json");
	/* the parser's own words would tell where in the key it stumbled */
	if (az_json_parse(az_buf_str(&r->body), &az_json_request_limits, &doc, NULL))
		return az_fail(err, AZ_EUPSTREAM, OP, "the key's answer is not JSON");
	az_buf_init(&raw, 64);
	alg = az_json_get(doc, "alg");
	if (alg && !az_str_eqc(az_json_str(alg), "AES-256-GCM"))
		rc = az_fail(
		    err, AZ_EUPSTREAM, OP, "the key is for another algorithm than AES-256-GCM");
	else if (!az_base64_decode(&raw, az_json_gets(doc, "key")) || raw.n != 32)
		rc = az_fail(err, AZ_EUPSTREAM, OP, "the key is not 32 bytes in base64");
	else
		memcpy(out, raw.p, 32);
	wipe_str(az_buf_str(&raw));
	wipe_str(az_json_gets(doc, "key"));
	az_buf_release(&raw);
	az_json_free(doc);
	return rc;
}

static enum answer
fetch(struct restack_codec *c, unsigned char out[32], struct az_err *err)
{
	const char *const headers[] = {"Accept: application/json", c->bearer, NULL};
	const struct az_http_req q = {.method = "GET",
	    .url = c->url,
	    .headers = headers,
	    .connect_ms = FETCH_MS,
	    .total_ms = FETCH_MS,
	    .max_bytes = REPLY_BYTES,
	    .ca_file = c->ca_file};
	struct az_http_resp r = {0};
	enum answer got = A_UNKNOWN;

	if (az_http_call(c->http, &q, &r, err) == AZ_OK) {
		if (r.status == 401 || r.status == 403 || r.status == 404)
			got = A_NONE;
		else if (r.status != 200)
			(void)az_fail(err, AZ_EUPSTREAM, OP,
			    "the engine answers %d when asked for the key", r.status);
		else if (!read_key(&r, out, err))
			got = A_KEY;
	}
	wipe_str(az_buf_str(&r.body));
	az_http_resp_release(&r);
	return got;
}

/* With c->mu held. */
static bool
due(const struct restack_codec *c, unsigned failed)
{
	return c->key.generation == 0 || c->key.generation == failed ||
	       (!c->key.have && c->again_ms && az_boot_ms() >= c->again_ms);
}

/* With c->fetching held; c->mu only while the answer is taken in, so that who has a key
   that works never waits. */
static void
renew(struct restack_codec *c)
{
	struct az_err err = AZ_ERR_INIT;
	unsigned char bytes[32] = {0};
	enum answer got = fetch(c, bytes, &err);
	bool warn;

	pthread_mutex_lock(&c->mu);
	c->key.generation++;
	if (got == A_KEY) {
		c->key.have = true;
		memcpy(c->key.bytes, bytes, sizeof bytes);
	}
	c->again_ms = got == A_UNKNOWN ? az_boot_ms() + AGAIN_MS : 0;
	warn = got == A_UNKNOWN && !c->warned;
	c->warned = got == A_UNKNOWN;
	pthread_mutex_unlock(&c->mu);
	az_wipe(bytes, sizeof bytes);
	if (warn)
		az_log(AZ_WARN, "engine.codec",
		    AZ_KC("what", "no key for values marked sensitive; they are not encrypted"),
		    AZ_KE(&err));
}

bool
codec_key_get(struct restack_codec *c, unsigned failed, struct codec_key *k)
{
	unsigned before;

	pthread_mutex_lock(&c->mu);
	before = c->key.generation;
	if (due(c, failed)) {
		pthread_mutex_unlock(&c->mu);
		pthread_mutex_lock(&c->fetching);
		pthread_mutex_lock(&c->mu);
		if (c->key.generation == before) { /* nobody else did it meanwhile */
			pthread_mutex_unlock(&c->mu);
			renew(c);
			pthread_mutex_lock(&c->mu);
		}
		pthread_mutex_unlock(&c->fetching);
	}
	*k = c->key;
	pthread_mutex_unlock(&c->mu);
	return k->generation != before;
}
