/* Values marked sensitive: the published vector, every answer the engine may give when
   asked for the key, and what is refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <azlon/json.h>
#include "engine/restack_codec.h"
#include "http_peer.h"

/* key 00 01 … 1f, iv 00 … 0b, V = "pw" */
#define K0 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define K1 "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define IV "AAECAwQFBgcICQoL"
#define CT "ZXKhOejO2oB6QMmAcRZy+VWviNM="
#define MARK(iv, ct)                                                                               \
	"{\"__restack_encrypted__\":\"v1\",\"alg\":\"AES-256-GCM\",\"iv\":\"" iv "\",\"ct\":\"" ct \
	"\"}"
#define SEALED MARK(IV, CT)
#define CLEAR "{\"__restack_sensitive__\":true,\"value\":\"pw\"}"

/* a body ends with its connection */
#define HEAD(status, type) "HTTP/1.1 " status " X\r\nContent-Type: " type "\r\n\r\n"
#define KEY0 HEAD("200", "application/json") "{\"key\":\"" K0 "\",\"alg\":\"AES-256-GCM\"}"
#define KEY1 HEAD("200", "application/json") "{\"key\":\"" K1 "\",\"alg\":\"AES-256-GCM\"}"
#define NONE HEAD("404", "text/plain")

static struct az_http *http;
static struct http_peer *peer;
static struct restack_codec *codec;
static struct az_buf out;
static struct az_err err;

static int
setup(void **state)
{
	(void)state;
	az_buf_init(&out, AZ_MIB(4));
	err = (struct az_err)AZ_ERR_INIT;
	return az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	restack_codec_free(codec);
	codec = NULL;
	az_http_free(http);
	if (peer)
		http_peer_stop(peer);
	peer = NULL;
	az_buf_release(&out);
	return 0;
}

/* A codec whose engine answers with these, the last one for ever. */
static void
engine(const struct http_peer_step *steps, size_t n, const char *key)
{
	static char url[64];

	peer = http_peer_start(steps, n, NULL, NULL);
	http_peer_url(peer, "", url, sizeof url);
	assert_int_equal(
	    restack_codec_new(
		&(struct restack_codec_opts){.http = http, .api_url = url, .api_key = key}, &codec,
		NULL),
	    AZ_OK);
}

static void
engine_says(const char *answer)
{
	static struct http_peer_step s;

	s = (struct http_peer_step){.bytes = answer, .then = HTTP_THEN_CLOSE};
	engine(&s, 1, NULL);
}

typedef enum az_code (*transform)(
    struct restack_codec *c, struct az_str json, struct az_buf *o, struct az_err *e);

static const char *
of(transform f, const char *json)
{
	az_buf_reset(&out);
	if (f(codec, az_str_c(json), &out, &err))
		fail_msg("%s: %s", json, err.text);
	return out.p ? out.p : "";
}

/* Refused for good with a text that holds both words, nothing appended. */
static void
refused(transform f, const char *json, const char *path, const char *word)
{
	az_buf_reset(&out);
	az_buf_addc(&out, "kept");
	if (!f(codec, az_str_c(json), &out, &err))
		fail_msg("accepted: %s", json);
	assert_int_equal(err.code, AZ_EINVAL);
	assert_false(az_code_retryable(err.code));
	assert_string_equal(err.reason, "encrypted_payload");
	if (!strstr(err.text, path) || !strstr(err.text, word))
		fail_msg("%s: the text does not say %s, %s: %s", json, path, word, err.text);
	assert_string_equal(out.p, "kept");
}

static void
published_vector_opens(void **state)
{
	(void)state;
	engine_says(KEY0);
	assert_string_equal(of(restack_codec_decode, SEALED), CLEAR);
	assert_string_equal(of(restack_codec_unwrap, SEALED), "\"pw\"");
	assert_string_equal(of(restack_codec_unwrap, CLEAR), "\"pw\"");
	assert_string_equal(of(restack_codec_decode, "{\"a\":[1," SEALED "],\"b\":" SEALED "}"),
	    "{\"a\":[1," CLEAR "],\"b\":" CLEAR "}");
	assert_int_equal(http_peer_requests(peer), 1); /* once a process */
}

static void
every_kind_of_value_comes_back(void **state)
{
	static const char *const v[] = {"null", "true", "-7", "1.5", "\"\"", "[]", "{}",
	    "\"\xc3\xa9\\n\\\"\"", "{\"a\":[{\"b\":null}]}", CLEAR};
	char doc[256], sealed[512];

	(void)state;
	engine_says(KEY0);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		snprintf(doc, sizeof doc, "{\"x\":[{\"__restack_sensitive__\":true,\"value\":%s}]}",
		    v[i]);
		snprintf(sealed, sizeof sealed, "%s", of(restack_codec_encode, doc));
		assert_null(strstr(sealed, "__restack_sensitive__"));
		assert_non_null(strstr(sealed, "\"__restack_encrypted__\":\"v1\""));
		assert_string_equal(of(restack_codec_decode, sealed), doc);
		/* encrypted values pass an encode as they are */
		assert_string_equal(of(restack_codec_encode, sealed), sealed);
	}
}

/* What only looks encrypted must not carry a value out in the clear. */
static void
a_false_mark_hides_nothing(void **state)
{
	(void)state;
	engine_says(KEY0);
	assert_null(
	    strstr(of(restack_codec_encode, "{\"__restack_encrypted__\":\"v1\",\"x\":" CLEAR "}"),
		"\"pw\""));
}

static void
no_two_encryptions_are_alike(void **state)
{
	char first[256];

	(void)state;
	engine_says(KEY0);
	snprintf(first, sizeof first, "%s", of(restack_codec_encode, CLEAR));
	assert_string_not_equal(of(restack_codec_encode, CLEAR), first);
}

static void
unwrapping_takes_off_marks_within_marks(void **state)
{
	char inner[256], doc[600];

	(void)state;
	engine_says(KEY0);
	snprintf(inner, sizeof inner, "%s", of(restack_codec_encode, "[" CLEAR "]"));
	snprintf(doc, sizeof doc, "{\"__restack_sensitive__\":true,\"value\":{\"in\":%s,\"n\":%s}}",
	    inner, CLEAR);
	assert_string_equal(of(restack_codec_unwrap, doc), "{\"in\":[\"pw\"],\"n\":\"pw\"}");
	snprintf(inner, sizeof inner, "%s", SEALED);
	snprintf(doc, sizeof doc, "{\"__restack_sensitive__\":true,\"value\":%s}", inner);
	snprintf(doc, sizeof doc, "%s", of(restack_codec_encode, doc));
	assert_string_equal(of(restack_codec_unwrap, doc), "\"pw\"");
}

static void
what_is_not_marked_passes_byte_for_byte(void **state)
{
	static const char *const v[] = {"", "{ \"a\" : 1.50 }", "not json", "{\"a\":1,\"a\":2}",
	    "\"\\u00e9\"", "12345678901234567890123",
	    "{\"__restack_sensitive__\":false,\"value\":1}",
	    "{\"__restack_sensitive__\":1, \"value\":1}", "{\"__restack_sensitive__\":true}",
	    "[\"__restack_encrypted__\"]"};

	(void)state;
	engine_says(KEY0);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		assert_string_equal(of(restack_codec_decode, v[i]), v[i]);
		assert_string_equal(of(restack_codec_encode, v[i]), v[i]);
		assert_string_equal(of(restack_codec_unwrap, v[i]), v[i]);
	}
	assert_string_equal(of(restack_codec_decode, "{ \"a\":" CLEAR "}"), "{ \"a\":" CLEAR "}");
	assert_int_equal(http_peer_requests(peer), 0); /* nobody needed the key */
	assert_false(restack_codec_marked(AZ_S("{\"a\":1}")));
	assert_true(restack_codec_marked(AZ_S(CLEAR)));
	/* a letter of the mark behind an escape */
	assert_string_equal(
	    of(restack_codec_unwrap, "{\"\\u005f_restack_sensitive__\":true,\"value\":\"pw\"}"),
	    "\"pw\"");
}

static void
what_does_not_open_is_refused_by_its_path(void **state)
{
	(void)state;
	engine_says(KEY0);
	refused(restack_codec_decode,
	    "{\"a\":[0,{\"b c\":" MARK(IV, "ZXKhOejO2oB6QMmAcRZy+VWviNI=") "}]}", "$.a[1].b c ",
	    "altered");
	refused(restack_codec_unwrap, MARK("AAECAwQFBgcICQoM", CT), "at $ ", "altered");
	refused(restack_codec_decode, "[" MARK("AAEC", CT) "]", "$[0]", "iv");
	refused(restack_codec_decode, MARK("****", CT), "$", "iv");
	refused(restack_codec_decode, MARK(IV, "!"), "$", "ct");
	refused(restack_codec_decode, MARK(IV, ""), "$", "altered");
	refused(
	    restack_codec_decode, "{\"p\":{\"__restack_encrypted__\":\"v2\"}}", "$.p", "version");
	refused(restack_codec_decode, "{\"p\":{\"__restack_encrypted__\":true,\"x\":1}}", "$.p",
	    "version");
	refused(restack_codec_decode,
	    "{\"__restack_encrypted__\":\"v1\",\"alg\":\"AES-128-GCM\",\"iv\":\"" IV
	    "\",\"ct\":\"" CT "\"}",
	    "$", "algorithm");
	refused(restack_codec_decode, "{\"__restack_encrypted__\":\"v1\"}", "$", "algorithm");
	assert_null(strstr(err.text, CT));
}

/* Its bytes are authentic and still not JSON. */
static void
plaintext_that_is_not_json_is_refused(void **state)
{
	unsigned char key[32], nonce[12];
	struct az_buf sealed, doc;

	(void)state;
	for (size_t i = 0; i < 32; i++)
		key[i] = (unsigned char)i;
	memcpy(nonce, key, sizeof nonce);
	az_buf_init(&sealed, 1024);
	az_buf_init(&doc, 1024);
	assert_int_equal(az_aes256gcm_seal(key, nonce, AZ_S("1,\"x\":NaN"), &sealed, NULL), AZ_OK);
	az_buf_addc(&doc, "{\"__restack_encrypted__\":\"v1\",\"alg\":\"AES-256-GCM\",\"iv\":\"" IV
			  "\",\"ct\":\"");
	az_base64(&doc, az_buf_str(&sealed));
	az_buf_addc(&doc, "\"}");
	engine_says(KEY0);
	refused(restack_codec_decode, doc.p, "$", "JSON");
	refused(restack_codec_unwrap, doc.p, "$", "JSON");
	az_buf_release(&sealed);
	az_buf_release(&doc);
}

static void
a_long_path_is_cut(void **state)
{
	struct az_buf doc;
	char key[200];

	(void)state;
	engine_says(NONE);
	memset(key, 'k', sizeof key);
	az_buf_init(&doc, 4096);
	for (int i = 0; i < 8; i++)
		az_buf_addf(&doc, "{\"%.*s\":", 190, key);
	az_buf_addc(&doc, SEALED "}}}}}}}}");
	refused(restack_codec_decode, doc.p, "$.kkkk", "...");
	az_buf_release(&doc);
}

static void
a_new_key_is_asked_for_once(void **state)
{
	static const struct http_peer_step s[] = {{.bytes = KEY1, .then = HTTP_THEN_CLOSE},
	    {.bytes = KEY1, .then = HTTP_THEN_CLOSE}, {.bytes = KEY0, .then = HTTP_THEN_CLOSE}};

	(void)state;
	engine(s, 3, "rk_1");
	refused(restack_codec_decode, SEALED, "$", "altered");
	assert_int_equal(http_peer_requests(peer), 1); /* the key was as new as can be */
	refused(restack_codec_decode, "[" SEALED "," SEALED "]", "$[0]", "altered");
	assert_int_equal(http_peer_requests(peer), 2);
	/* the engine's key was replaced meanwhile */
	assert_string_equal(of(restack_codec_decode, SEALED), CLEAR);
	assert_int_equal(http_peer_requests(peer), 3);
	assert_string_equal(of(restack_codec_decode, SEALED), CLEAR);
	assert_int_equal(http_peer_requests(peer), 3);
	for (int i = 0; i < 3; i++) {
		const char *q = http_peer_request(peer, i, NULL);

		assert_non_null(strstr(q, "GET /api/engine/codec/key HTTP/1.1\r\n"));
		assert_non_null(strstr(q, "Authorization: Bearer rk_1\r\n"));
	}
}

/* A value that cannot be opened must not cost everybody else the key. */
static void
a_failed_fetch_does_not_drop_the_key(void **state)
{
	static const struct http_peer_step s[] = {{.bytes = KEY0, .then = HTTP_THEN_CLOSE},
	    {.bytes = NONE, .then = HTTP_THEN_CLOSE},
	    {.bytes = HEAD("500", "text/plain"), .then = HTTP_THEN_CLOSE}};

	(void)state;
	engine(s, 3, NULL);
	assert_string_equal(of(restack_codec_decode, SEALED), CLEAR);
	refused(restack_codec_decode, MARK(IV, "ZXKhOejO2oB6QMmAcRZy+VWviNI="), "$", "altered");
	refused(restack_codec_decode, MARK(IV, "ZXKhOejO2oB6QMmAcRZy+VWviNI="), "$", "altered");
	assert_string_equal(of(restack_codec_decode, SEALED), CLEAR);
	assert_int_equal(http_peer_requests(peer), 3);
	assert_null(strstr(http_peer_request(peer, 0, NULL), "Authorization"));
}

/* Without a key: values go out in the clear, encrypted ones are refused. */
static void
every_answer_that_is_no_key_turns_it_off(void **state)
{
	static const char *const answer[] = {
	    NONE,
	    HEAD("401", "application/json") "{}",
	    HEAD("403", "application/json") "{}",
	    HEAD("500", "text/plain"),
	    HEAD("204", "application/json"),
	    HEAD("302", "text/plain"),
	    HEAD("200", "text/html") "<html",
	    HEAD("200", "text/json") "{\"key\":\"" K0 "\"}                        ",
	    HEAD("200", "application/json") "{",
	    HEAD("200", "application/json") "[]",
	    HEAD("200", "application/json") "{}",
	    HEAD("200", "application/json") "{\"key\":\"AAEC\"}",
	    HEAD("200", "application/json") "{\"key\":12}",
	    HEAD("200", "application/json") "{\"key\":\"" K0 "\",\"alg\":\"AES-128-GCM\"}",
	    HEAD("200", "application/json") "{\"key\":\"" K0 "\",\"alg\":1}",
	    "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{}",
	    "SSH-2.0-x\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof answer / sizeof *answer; i++) {
		struct http_peer_step s = {.bytes = answer[i], .then = HTTP_THEN_CLOSE};

		engine(&s, 1, NULL);
		assert_string_equal(of(restack_codec_encode, CLEAR), CLEAR);
		assert_int_equal(http_peer_requests(peer), 1);
		assert_string_equal(of(restack_codec_encode, CLEAR), CLEAR);
		assert_string_equal(of(restack_codec_decode, CLEAR), CLEAR);
		assert_string_equal(of(restack_codec_unwrap, CLEAR), "\"pw\"");
		assert_int_equal(http_peer_requests(peer), 1);
		refused(restack_codec_decode, SEALED, "$", "no key");
		assert_int_equal(http_peer_requests(peer), 2);
		restack_codec_free(codec);
		http_peer_stop(peer);
	}
	peer = NULL;
	codec = NULL;
}

static void
alg_may_be_missing_and_types_have_parameters(void **state)
{
	(void)state;
	engine_says(HEAD("200", "Application/JSON; charset=utf-8") "{\"key\":\"" K0 "\"}");
	assert_string_equal(of(restack_codec_decode, SEALED), CLEAR);
}

static void
an_engine_that_is_away_is_no_key(void **state)
{
	(void)state;
	engine_says(NONE);
	http_peer_stop(peer); /* nobody listens there now */
	peer = NULL;
	assert_string_equal(of(restack_codec_encode, CLEAR), CLEAR);
	refused(restack_codec_decode, SEALED, "$", "no key");
}

static void *
many(void *arg)
{
	for (int i = 0; i < 50; i++) {
		struct az_buf b;

		az_buf_init(&b, 1024);
		if (restack_codec_decode(codec, AZ_S(SEALED), &b, NULL) ||
		    !az_str_eqc(az_buf_str(&b), CLEAR))
			*(bool *)arg = true;
		az_buf_release(&b);
	}
	return NULL;
}

static void
threads_share_one_fetch(void **state)
{
	bool bad[8] = {false};
	pthread_t t[8];

	(void)state;
	engine_says(KEY0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, &bad[i]), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 8; i++)
		assert_false(bad[i]);
	assert_int_equal(http_peer_requests(peer), 1);
}

static void
a_ceiling_is_respected(void **state)
{
	(void)state;
	engine_says(KEY0);
	az_buf_release(&out);
	az_buf_init(&out, 60);
	assert_int_equal(restack_codec_encode(codec, AZ_S(CLEAR), &out, &err), AZ_ETOOBIG);
	az_buf_reset(&out);
	assert_int_equal(
	    restack_codec_decode(codec, AZ_S("[" SEALED "," SEALED "]"), &out, &err), AZ_ETOOBIG);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest t[] = {
	    T(published_vector_opens),
	    T(every_kind_of_value_comes_back),
	    T(a_false_mark_hides_nothing),
	    T(no_two_encryptions_are_alike),
	    T(unwrapping_takes_off_marks_within_marks),
	    T(what_is_not_marked_passes_byte_for_byte),
	    T(what_does_not_open_is_refused_by_its_path),
	    T(plaintext_that_is_not_json_is_refused),
	    T(a_long_path_is_cut),
	    T(a_new_key_is_asked_for_once),
	    T(a_failed_fetch_does_not_drop_the_key),
	    T(every_answer_that_is_no_key_turns_it_off),
	    T(alg_may_be_missing_and_types_have_parameters),
	    T(an_engine_that_is_away_is_no_key),
	    T(threads_share_one_fetch),
	    T(a_ceiling_is_respected),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
