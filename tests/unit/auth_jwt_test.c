/* ID tokens as text: what is taken apart, and every shape that is refused, with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "auth/jwt.h"
#include "token_maker.h"

enum { NOW = 1800000000 };

#define HEAD "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"
#define IDS "\"aud\":\"proj\",\"iss\":\"https://securetoken.google.com/proj\",\"sub\":\"alice\","
#define TIMES "\"exp\":1800000600,\"iat\":1799999990,\"auth_time\":1799999000"

static struct az_arena *a;

static int
begin(void **state)
{
	(void)state;
	a = az_arena_new(AZ_MIB(16));
	return a ? 0 : -1;
}

static int
finish(void **state)
{
	(void)state;
	az_arena_free(a);
	return 0;
}

/* "" when it is taken, else the reason */
static const char *
opened(struct az_str token, bool unsigned_, struct jwt *t)
{
	static struct az_err err;
	enum az_code rc;

	err = (struct az_err)AZ_ERR_INIT;
	rc = jwt_open(token, unsigned_, a, t, &err);
	assert_int_equal(rc, err.code);
	assert_true(rc == AZ_OK || rc == AZ_EAUTH);
	return err.reason;
}

static const char *
head(const char *text, bool unsigned_)
{
	struct az_buf b;
	struct jwt t;
	const char *why;

	token_of(NULL, az_str_c(text), AZ_S("{}"), &b);
	if (!unsigned_)
		az_buf_addc(&b, "c2ln");
	why = opened(az_buf_str(&b), unsigned_, &t);
	az_buf_release(&b);
	return why;
}

static const char *
claims_at(const char *text, int64_t now_s, struct jwt_claims *c)
{
	static struct az_err err;
	const struct jwt t = {.payload = az_str_c(text)};
	enum az_code rc;

	err = (struct az_err)AZ_ERR_INIT;
	rc = jwt_claims(&t, "proj", now_s, a, c, &err);
	assert_int_equal(rc, err.code);
	assert_true(rc == AZ_OK || rc == AZ_EAUTH);
	return err.reason;
}

static const char *
claims(const char *text)
{
	struct jwt_claims c;

	return claims_at(text, NOW, &c);
}

static void
a_token_in_its_parts(void **state)
{
	struct az_buf b;
	struct jwt t;

	(void)state;
	token_of(NULL, AZ_S(HEAD), AZ_S("{\"a\":1}"), &b);
	az_buf_addc(&b, "c2ln");
	assert_string_equal(opened(az_buf_str(&b), false, &t), "");
	assert_true(az_str_eqc(t.kid, "k1"));
	assert_true(az_str_eqc(t.payload, "{\"a\":1}"));
	assert_true(az_str_eqc(t.signature, "sig"));
	assert_int_equal(t.text.n, b.n - 5);
	assert_ptr_equal(t.text.p, b.p);
	az_buf_release(&b);
}

static void
malformed_shapes(void **state)
{
	static const struct {
		const char *token, *why;
	} cases[] = {
	    {"", "parts"}, {"a", "parts"}, {"a.b", "parts"}, {"..", "parts"}, {"e30.e30.", "parts"},
	    {".e30.c2ln", "parts"}, {"e30..c2ln", "parts"}, {"e30.e30.c2ln.", "parts"},
	    {"e30.e30.c2ln.c2ln", "parts"}, {"e30.e30.c2ln.c2ln.c2ln", "parts"},
	    {"e30=.e30.c2ln", "base64"}, {"e30 .e30.c2ln", "base64"}, {" e30.e30.c2ln", "base64"},
	    {"e3+.e30.c2ln", "base64"}, {"e3/.e30.c2ln", "base64"}, {"e.e30.c2ln", "base64"},
	    {"e31.e30.c2ln", "base64"},                        /* bits of nothing at the end */
	    {"e30.e30.c2ln", "alg"}, {"W10.e30.c2ln", "json"}, /* [] */
	    {"eyJ9.e30.c2ln", "json"},                         /* {"} */
	    {"bnVsbA.e30.c2ln", "json"},                       /* null */
	};
	struct jwt t;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why = opened(az_str_c(cases[i].token), false, &t);

		if (strcmp(why, cases[i].why) != 0)
			fail_msg("%s: %s, not %s", cases[i].token, why, cases[i].why);
	}
	assert_string_equal(opened(AZ_S("e30.e30.c2\0n"), false, &t), "alg");
}

static void
parts_behind_a_good_header(void **state)
{
	static const struct {
		const char *rest, *why;
	} cases[] = {{".e30.c2ln", ""}, {".e30.c2ln\n", "base64"}, {".e30.c2ln=", "base64"},
	    {".e30.c2l", "base64"}, {".e31.c2ln", "base64"}, {".e30=.c2ln", "base64"},
	    {".e3\t0.c2ln", "base64"}, {".e30.c2ln,", "base64"}};
	struct az_buf b;
	struct jwt t;

	(void)state;
	az_buf_init(&b, AZ_KIB(1));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		az_buf_reset(&b);
		az_base64url(&b, AZ_S(HEAD));
		az_buf_addc(&b, cases[i].rest);
		assert_string_equal(opened(az_buf_str(&b), false, &t), cases[i].why);
	}
	az_buf_release(&b);
}

static void
the_algorithm_is_ours(void **state)
{
	static const char *const bad[] = {"none", "None", "NONE", "nOnE", "HS256", "RS384", "RS512",
	    "PS256", "ES256", "EdDSA", "rs256", "RS256 ", "", "RS256\\u0000"};
	char text[200];

	(void)state;
	assert_string_equal(head(HEAD, false), "");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(text, sizeof text, "{\"alg\":\"%s\",\"kid\":\"k1\"}", bad[i]);
		assert_string_equal(head(text, false), "alg");
	}
	assert_string_equal(head("{\"kid\":\"k1\"}", false), "alg");
	assert_string_equal(head("{\"alg\":[\"RS256\"],\"kid\":\"k1\"}", false), "alg");
	assert_string_equal(head("{\"alg\":null,\"kid\":\"k1\"}", false), "alg");
	assert_string_equal(head("{\"ALG\":\"RS256\",\"kid\":\"k1\"}", false), "alg");
}

static void
headers(void **state)
{
	char text[1200];

	(void)state;
	/* addresses and keys of its own are not looked at */
	assert_string_equal(
	    head("{\"alg\":\"RS256\",\"kid\":\"k\",\"jku\":\"https://evil.example/\","
		 "\"x5u\":\"https://evil.example/\",\"jwk\":{\"kty\":\"RSA\"}}",
		false),
	    "");
	assert_string_equal(
	    head("{\"alg\":\"RS256\",\"kid\":\"k\",\"crit\":[\"exp\"]}", false), "crit");
	assert_string_equal(
	    head("{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":\"at+jwt\"}", false), "typ");
	assert_string_equal(head("{\"alg\":\"RS256\",\"kid\":\"k\",\"typ\":1}", false), "typ");
	assert_string_equal(head("{\"alg\":\"RS256\"}", false), "kid");
	assert_string_equal(head("{\"alg\":\"RS256\",\"kid\":\"\"}", false), "kid");
	assert_string_equal(head("{\"alg\":\"RS256\",\"kid\":7}", false), "kid");
	snprintf(text, sizeof text, "{\"alg\":\"RS256\",\"kid\":\"%0129d\"}", 1);
	assert_string_equal(head(text, false), "kid");
	/* twice, trailing, not UTF-8, too large, too deep */
	assert_string_equal(
	    head("{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"k\"}", false), "json");
	assert_string_equal(
	    head("{\"alg\":\"RS256\",\"al\\u0067\":\"none\",\"kid\":\"k\"}", false), "json");
	assert_string_equal(head(HEAD "{}", false), "json");
	assert_string_equal(head("{\"alg\":\"RS256\",\"kid\":\"\xff\"}", false), "json");
	assert_string_equal(head("{\"alg\":\"RS256\",\"kid\":\"\xc0\xaf\"}", false), "json");
	assert_string_equal(head("\xef\xbb\xbf" HEAD, false), "json");
	assert_string_equal(head("{'alg':'RS256'}", false), "json");
	assert_string_equal(
	    head("{\"alg\":\"RS256\",\"x\":[[[[[1]]]]],\"kid\":\"k\"}", false), "json");
	snprintf(text, sizeof text, "{\"alg\":\"RS256\",\"kid\":\"k\",\"x\":\"%01000d\"}", 1);
	assert_string_equal(head(text, false), "json");
}

static void
oversize(void **state)
{
	struct az_buf b;
	struct jwt t;

	(void)state;
	az_buf_init(&b, AZ_KIB(64));
	az_base64url(&b, AZ_S(HEAD));
	az_buf_addch(&b, '.');
	while (b.n < JWT_BYTES - 5)
		az_buf_addch(&b, 'A');
	az_buf_addc(&b, ".c2ln");
	assert_int_equal(b.n, JWT_BYTES);
	/* of the size, it is at most its payload that is odd */
	assert_string_not_equal(opened(az_buf_str(&b), false, &t), "size");
	az_buf_addch(&b, 'A');
	assert_string_equal(opened(az_buf_str(&b), false, &t), "size");
	az_buf_release(&b);
}

static void
unsigned_only_where_asked_for(void **state)
{
	struct az_buf b;
	struct jwt t;

	(void)state;
	assert_string_equal(head("{\"alg\":\"none\",\"typ\":\"JWT\"}", true), "");
	assert_string_equal(head("{\"alg\":\"none\"}", true), "");
	assert_string_equal(head("{\"alg\":\"None\"}", true), "alg");
	assert_string_equal(head(HEAD, true), "alg");
	/* a signature is not passed over */
	token_of(NULL, AZ_S("{\"alg\":\"none\"}"), AZ_S("{}"), &b);
	az_buf_addc(&b, "c2ln");
	assert_string_equal(opened(az_buf_str(&b), true, &t), "parts");
	az_buf_release(&b);
	token_of(NULL, AZ_S("{\"alg\":\"none\"}"), AZ_S("{}"), &b);
	assert_string_equal(opened(az_buf_str(&b), false, &t), "parts");
	az_buf_release(&b);
}

static void
whose_token(void **state)
{
	struct jwt_claims c;

	(void)state;
	assert_string_equal(claims_at("{" IDS TIMES "}", NOW, &c), "");
	assert_true(az_str_eqc(c.sub, "alice"));
	assert_int_equal(c.auth_time_s, 1799999000);
	/* real ones have more */
	assert_string_equal(
	    claims("{" IDS TIMES ",\"email\":\"a@example.org\",\"firebase\":{\"identities\":{},"
		   "\"sign_in_provider\":\"password\"},\"admin\":true}"),
	    "");
}

#define AUD(v)                                                                                     \
	"{\"aud\":" v ",\"iss\":\"https://securetoken.google.com/proj\",\"sub\":\"a\"," TIMES "}"
#define ISS(v) "{\"aud\":\"proj\",\"iss\":" v ",\"sub\":\"a\"," TIMES "}"
#define SUB(v)                                                                                     \
	"{\"aud\":\"proj\",\"iss\":\"https://securetoken.google.com/proj\",\"sub\":" v "," TIMES "}"
#define AT(t) "{" IDS t "}"

static void
what_a_right_signature_does_not_make_good(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {AUD("\"other\""), "aud"},
	    {AUD("[\"proj\"]"), "aud"},
	    {AUD("[\"proj\",\"other\"]"), "aud"},
	    {AUD("\"proj2\""), "aud"},
	    {AUD("\"pro\""), "aud"},
	    {AUD("\"proj\\u0000\""), "aud"},
	    {AUD("null"), "aud"},
	    {AUD("\"https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1."
		 "IdentityToolkit\""),
		"aud"},
	    {ISS("\"https://securetoken.google.com/proj/\""), "iss"},
	    {ISS("\"http://securetoken.google.com/proj\""), "iss"},
	    {ISS("\"https://securetoken.google.com/other\""), "iss"},
	    {ISS("\"https://session.firebase.google.com/proj\""), "iss"},
	    {ISS("\"https://securetoken.google.com/\""), "iss"},
	    {ISS("\"proj\""), "iss"},
	    {ISS("[\"https://securetoken.google.com/proj\"]"), "iss"},
	    {ISS("null"), "iss"},
	    {SUB("\"\""), "sub"},
	    {SUB("7"), "sub"},
	    {SUB("null"), "sub"},
	    {SUB("[\"a\"]"), "sub"},
	    {"{" IDS TIMES ",\"firebase\":{\"tenant\":\"t\"}}", "tenant"},
	    {"{" IDS TIMES ",\"sub\":\"bob\"}", "json"},
	    {"{" IDS TIMES "} ", ""},
	    {"{" IDS TIMES "}x", "json"},
	    {"{" IDS TIMES "}{}", "json"},
	    {"{" IDS TIMES ",\"x\":\"\xff\"}", "json"},
	    {"{" IDS TIMES ",\"x\":\"\\ud800\"}", "json"},
	    {"{" IDS TIMES ",\"x\":NaN}", "json"},
	    {"{" IDS TIMES ",\"x\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "json"},
	    {"[]", "json"},
	    {"", "json"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (strcmp(claims(cases[i].text), cases[i].why) != 0)
			fail_msg(
			    "%s: %s, not %s", cases[i].text, claims(cases[i].text), cases[i].why);
}

static void
subjects_of_any_text_up_to_a_size(void **state)
{
	char text[600], sub[160];
	struct jwt_claims c;

	(void)state;
	snprintf(sub, sizeof sub, "%0128d", 7);
	snprintf(text, sizeof text, SUB("\"%s\""), sub);
	assert_string_equal(claims_at(text, NOW, &c), "");
	assert_true(az_str_eqc(c.sub, sub));
	snprintf(sub, sizeof sub, "%0129d", 7);
	snprintf(text, sizeof text, SUB("\"%s\""), sub);
	assert_string_equal(claims(text), "sub");
	assert_string_equal(claims_at(SUB("\"../\xc3\xa4 |.azlon\""), NOW, &c), "");
	assert_true(az_str_eqc(c.sub, "../\xc3\xa4 |.azlon"));
}

static void
times_to_the_second(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {AT("\"exp\":1799999970,\"iat\":1,\"auth_time\":1"), ""}, /* 30 s past */
	    {AT("\"exp\":1799999941,\"iat\":1,\"auth_time\":1"), ""},
	    {AT("\"exp\":1799999940,\"iat\":1,\"auth_time\":1"), "expired"},
	    {AT("\"exp\":1799999939,\"iat\":1,\"auth_time\":1"), "expired"}, /* 61 s */
	    {AT("\"exp\":0,\"iat\":1,\"auth_time\":1"), "expired"},
	    {AT("\"exp\":1800000600,\"iat\":1800000060,\"auth_time\":1"), ""},
	    {AT("\"exp\":1800000600,\"iat\":1800000061,\"auth_time\":1"), "future"},
	    {AT("\"exp\":1800000600,\"iat\":1800000300,\"auth_time\":1"), "future"},
	    {AT("\"exp\":1800000600,\"iat\":1,\"auth_time\":1800000060"), ""},
	    {AT("\"exp\":1800000600,\"iat\":1,\"auth_time\":1800000061"), "future"},
	    {AT(TIMES ",\"nbf\":1800000061"), "future"},
	    {AT(TIMES ",\"nbf\":1800000060"), ""},
	    {AT(TIMES ",\"nbf\":\"1\""), "times"},
	    {AT("\"exp\":\"1800000600\",\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":1800000600.0,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":1.8e9,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":-1,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":true,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":null,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":99999999999999999999999,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":18446744073709551615,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":9223372036854775807,\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"iat\":1,\"auth_time\":1"), "times"},
	    {AT("\"exp\":1800000600,\"auth_time\":1"), "times"},
	    {AT("\"exp\":1800000600,\"iat\":1"), "times"},
	    {AT("\"exp\":1800000600,\"iat\":\"1\",\"auth_time\":1"), "times"},
	    {AT("\"exp\":1800000600,\"iat\":1,\"auth_time\":1.5"), "times"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (strcmp(claims(cases[i].text), cases[i].why) != 0)
			fail_msg(
			    "%s: %s, not %s", cases[i].text, claims(cases[i].text), cases[i].why);
	/* who has the wrong project is not told that it came too late */
	assert_string_equal(
	    claims("{\"aud\":\"other\",\"exp\":1,\"iat\":1,\"auth_time\":1,\"sub\":\"a\"}"), "aud");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_in_its_parts),
	    cmocka_unit_test(malformed_shapes),
	    cmocka_unit_test(parts_behind_a_good_header),
	    cmocka_unit_test(the_algorithm_is_ours),
	    cmocka_unit_test(headers),
	    cmocka_unit_test(oversize),
	    cmocka_unit_test(unsigned_only_where_asked_for),
	    cmocka_unit_test(whose_token),
	    cmocka_unit_test(what_a_right_signature_does_not_make_good),
	    cmocka_unit_test(subjects_of_any_text_up_to_a_size),
	    cmocka_unit_test(times_to_the_second),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
