/* store: S3's own examples of signing, and what must hold for every signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "store/s3_sign.h"

#define AT_MS 1369353600000 /* 2013-05-24T00:00:00Z */
#define KV(n, v)                                                                                   \
	{                                                                                          \
		{n, sizeof(n) - 1},                                                                \
		{                                                                                  \
			v, sizeof(v) - 1                                                           \
		}                                                                                  \
	}
#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct s3_cred cred;

static struct s3_sign
get(const char *path)
{
	cred = (struct s3_cred){
	    .access = "AKIAIOSFODNN7EXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
	return (struct s3_sign){.method = "GET",
	    .host = AZ_S("examplebucket.s3.amazonaws.com"),
	    .path = az_str_c(path),
	    .payload = AZ_S(S3_EMPTY_SHA256),
	    .sends_payload_hash = true,
	    .cred = &cred,
	    .region = "us-east-1",
	    .service = "s3",
	    .at_ms = AT_MS};
}

static enum az_code
headers(const struct s3_sign *q, struct az_buf *out)
{
	az_buf_init(out, AZ_KIB(64));
	return s3_sign_headers(q, out, NULL);
}

static enum az_code
presign(const struct s3_sign *q, int ttl_s, struct az_buf *out)
{
	az_buf_init(out, AZ_KIB(64));
	return s3_presign(q, ttl_s, out, NULL);
}

static bool
holds(const struct az_buf *b, const char *what)
{
	return az_str_find(az_buf_str(b), az_str_c(what), 0) >= 0;
}

static void
assert_holds(const struct az_buf *b, const char *what)
{
	if (!holds(b, what))
		fail_msg("no \"%s\" in: %.*s", what, AZ_FMT(az_buf_str(b)));
}

/* A canonical request and what is over it. */
static void
assert_canonical(const struct s3_sign *q, int ttl_s, const char *request, const char *to_sign)
{
	struct az_buf r, t;

	az_buf_init(&r, AZ_KIB(64));
	az_buf_init(&t, AZ_KIB(64));
	assert_int_equal(s3_canonical(q, ttl_s, &r, &t, NULL), AZ_OK);
	assert_string_equal(r.p, request);
	if (to_sign)
		assert_string_equal(t.p, to_sign);
	az_buf_release(&r);
	az_buf_release(&t);
}

static void
assert_signature(const struct s3_sign *q, const char *names, const char *hex)
{
	struct az_buf b;
	char want[512];

	snprintf(want, sizeof want,
	    "authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/"
	    "s3/aws4_request, SignedHeaders=%s, Signature=%s\n",
	    names, hex);
	assert_int_equal(headers(q, &b), AZ_OK);
	assert_holds(&b, want);
	az_buf_release(&b);
}

/* ---- the examples ---- */

static void
example_get_with_a_range(void **state)
{
	static const struct s3_kv h[] = {KV("Range", "bytes=0-9")};
	struct s3_sign q = get("/test.txt");

	(void)state;
	q.headers = h;
	q.n_headers = 1;
	assert_canonical(&q, 0,
	    "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\n"
	    "x-amz-content-sha256:" S3_EMPTY_SHA256 "\nx-amz-date:20130524T000000Z\n\n"
	    "host;range;x-amz-content-sha256;x-amz-date\n" S3_EMPTY_SHA256,
	    "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
	    "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
	assert_signature(&q, "host;range;x-amz-content-sha256;x-amz-date",
	    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void
example_put(void **state)
{
	static const struct s3_kv h[] = {KV("x-amz-storage-class", "REDUCED_REDUNDANCY"),
	    KV("Date", "Fri, 24 May 2013 00:00:00 GMT")};
	struct s3_sign q = get("/test$file.text");
	char hash[65];

	(void)state;
	az_sha256_hex(AZ_S("Welcome to Amazon S3."), hash);
	q.method = "PUT";
	q.headers = h;
	q.n_headers = COUNT(h);
	q.payload = az_str_c(hash);
	assert_signature(&q, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void
example_of_a_parameter_without_a_value(void **state)
{
	static const struct s3_kv p[] = {KV("lifecycle", "")};
	struct s3_sign q = get("/");
	struct az_buf target;

	(void)state;
	q.query = p;
	q.n_query = 1;
	assert_signature(&q, "host;x-amz-content-sha256;x-amz-date",
	    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	az_buf_init(&target, 100);
	s3_target(&q, &target);
	assert_string_equal(target.p, "/?lifecycle=");
	az_buf_release(&target);
}

static void
example_list(void **state)
{
	static const struct s3_kv p[] = {KV("prefix", "J"), KV("max-keys", "2")};
	struct s3_sign q = get(""); /* an empty path is "/" */

	(void)state;
	q.query = p;
	q.n_query = 2;
	assert_signature(&q, "host;x-amz-content-sha256;x-amz-date",
	    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void
example_presigned(void **state)
{
	struct s3_sign q = get("/test.txt");
	struct az_buf b;

	(void)state;
	q.payload = AZ_S(S3_UNSIGNED);
	assert_int_equal(presign(&q, 86400, &b), AZ_OK);
	assert_string_equal(b.p,
	    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE"
	    "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&"
	    "X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
	    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	az_buf_release(&b);
}

/* ---- what always holds ---- */

static void
every_byte_is_encoded_once(void **state)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	(void)state;
	for (int c = 0; c < 256; c++) {
		char raw = (char)(unsigned char)c, want[4] = {raw};
		struct az_buf b;

		for (int slash = 0; slash < 2; slash++) {
			az_buf_init(&b, 16);
			if (!(c && strchr(plain, c)) && !(slash && c == '/'))
				snprintf(want, sizeof want, "%%%02X", (unsigned)c);
			s3_uri_encode(&b, az_str_n(&raw, 1), slash);
			if (slash && c == '/')
				assert_string_equal(b.p, "/");
			else
				assert_string_equal(b.p, want);
			az_buf_release(&b);
		}
	}
}

static void
a_path_is_never_normalised(void **state)
{
	struct s3_sign q = get("//a/../b/./%2F/\xe1\x88\xb4+ *'()!");
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 200);
	s3_target(&q, &b);
	assert_string_equal(b.p, "//a/../b/./%252F/%E1%88%B4%2B%20%2A%27%28%29%21");
	az_buf_release(&b);
}

static void
a_query_is_sorted_by_what_is_sent(void **state)
{
	/* '%' is before '-' and 'A' before 'a' only once they are encoded; values count, too */
	static const struct s3_kv p[] = {KV("b", "1"), KV("a-", "1"), KV("a!", "1"), KV("a", "b"),
	    KV("a", "/ +&="), KV("A", ""), KV("a", "a"), KV("\xc3\xa9", "1")};
	struct s3_kv back[COUNT(p)];
	struct s3_sign q = get("/k");
	struct az_buf b, other;

	(void)state;
	for (size_t i = 0; i < COUNT(p); i++)
		back[i] = p[COUNT(p) - 1 - i];
	q.query = p;
	q.n_query = COUNT(p);
	az_buf_init(&b, 300);
	s3_target(&q, &b);
	assert_string_equal(b.p, "/k?%C3%A9=1&A=&a=%2F%20%2B%26%3D&a=a&a=b&a%21=1&a-=1&b=1");
	az_buf_release(&b);
	assert_int_equal(headers(&q, &b), AZ_OK);
	q.query = back;
	assert_int_equal(headers(&q, &other), AZ_OK);
	assert_string_equal(b.p, other.p);
	az_buf_release(&b);
	az_buf_release(&other);
}

static void
headers_are_sorted_by_name_alone(void **state)
{
	/* '-' is before ':', so whole lines would be in another order */
	static const struct s3_kv h[] = {KV("X-Amz-Meta-A-B", "1"), KV("X-AMZ-META-A", "2"),
	    KV("x-amz-meta-a.b", "3"), KV("Content-Type", "text/plain")};
	struct s3_sign q = get("/k");

	(void)state;
	q.headers = h;
	q.n_headers = COUNT(h);
	assert_canonical(&q, 0,
	    "GET\n/k\n\ncontent-type:text/plain\nhost:examplebucket.s3.amazonaws.com\n"
	    "x-amz-content-sha256:" S3_EMPTY_SHA256 "\nx-amz-date:20130524T000000Z\n"
	    "x-amz-meta-a:2\nx-amz-meta-a-b:1\nx-amz-meta-a.b:3\n\n"
	    "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-a-b;"
	    "x-amz-meta-a.b\n" S3_EMPTY_SHA256,
	    NULL);
}

static void
repeated_headers_are_joined_and_blanks_folded(void **state)
{
	static const struct s3_kv h[] = {KV("x-b", " \t two  \t words "), KV("X-A", ""),
	    KV("X-B", "once"), KV("x-b", "\"a  b\"")};
	struct s3_sign q = get("/k");
	struct az_buf b;

	(void)state;
	q.sends_payload_hash = false;
	q.headers = h;
	q.n_headers = COUNT(h);
	assert_canonical(&q, 0,
	    "GET\n/k\n\nhost:examplebucket.s3.amazonaws.com\nx-a:\nx-amz-date:20130524T000000Z\n"
	    "x-b:two words,once,\"a b\"\n\nhost;x-a;x-amz-date;x-b\n" S3_EMPTY_SHA256,
	    NULL);
	assert_int_equal(headers(&q, &b), AZ_OK);
	assert_holds(&b, "x-b: two words\nx-b: once\nx-b: \"a b\"\nauthorization: ");
	assert_false(holds(&b, "content-sha256"));
	az_buf_release(&b);
}

static void
a_token_is_signed_in_headers_and_links(void **state)
{
	struct s3_sign q = get("/k");
	struct az_buf b;

	(void)state;
	snprintf(cred.token, sizeof cred.token, "a/b+c==");
	assert_int_equal(headers(&q, &b), AZ_OK);
	assert_holds(&b, "\nx-amz-security-token: a/b+c==\n");
	assert_holds(
	    &b, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
	az_buf_release(&b);
	q.payload = AZ_S(S3_UNSIGNED);
	assert_int_equal(presign(&q, 60, &b), AZ_OK);
	assert_holds(
	    &b, "&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&X-Amz-SignedHeaders=host&X-Amz-Sig");
	az_buf_release(&b);
	/* the longest there is */
	memset(cred.token, '/', sizeof cred.token - 1);
	assert_int_equal(presign(&q, 60, &b), AZ_OK);
	az_buf_release(&b);
	assert_int_equal(headers(&q, &b), AZ_OK);
	az_buf_release(&b);
}

static void
a_link_keeps_its_parameters_and_headers(void **state)
{
	static const struct s3_kv p[] = {KV("response-content-type", "a/b; c=\"d\""), KV("XY", "")};
	static const struct s3_kv h[] = {KV("Content-Type", "text/plain")};
	struct s3_sign q = get("/k");
	struct az_buf b;

	(void)state;
	q.query = p;
	q.n_query = 2;
	q.headers = h;
	q.n_headers = 1;
	assert_int_equal(presign(&q, 60, &b), AZ_OK);
	assert_holds(&b, "&X-Amz-SignedHeaders=content-type%3Bhost&XY=&response-content-type="
			 "a%2Fb%3B%20c%3D%22d%22&X-Amz-Signature=");
	az_buf_release(&b);
}

static void
a_link_lives_a_second_to_a_week(void **state)
{
	static const struct {
		int ttl_s;
		enum az_code rc;
	} ttl[] = {
	    {-1, AZ_EINVAL}, {0, AZ_EINVAL}, {1, AZ_OK}, {604800, AZ_OK}, {604801, AZ_EINVAL}};
	struct s3_sign q = get("/k");
	struct az_buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(ttl); i++) {
		assert_int_equal(presign(&q, ttl[i].ttl_s, &b), ttl[i].rc);
		assert_int_equal(b.n == 0, ttl[i].rc != AZ_OK);
		az_buf_release(&b);
	}
}

static void
the_day_rolls_at_midnight_utc(void **state)
{
	struct s3_sign q = get("/k");
	struct az_buf b;

	(void)state;
	q.at_ms = AT_MS - 1;
	assert_int_equal(headers(&q, &b), AZ_OK);
	assert_holds(&b, "x-amz-date: 20130523T235959Z\n");
	assert_holds(&b, "/20130523/us-east-1/");
	az_buf_release(&b);
}

static void
method_host_path_region_and_service_count(void **state)
{
	struct s3_sign q[7];
	struct az_buf b[7];

	(void)state;
	for (size_t i = 0; i < COUNT(q); i++)
		q[i] = get("/k");
	q[1].method = "HEAD";
	q[2].host = AZ_S("examplebucket.s3.amazonaws.com:9000");
	q[3].path = AZ_S("/K");
	q[4].region = "eu-west-1";
	q[5].service = "sts";
	q[6].payload = AZ_S(S3_UNSIGNED);
	for (size_t i = 0; i < COUNT(q); i++) {
		assert_int_equal(headers(&q[i], &b[i]), AZ_OK);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(b[i].p + b[i].n - 65, b[k].p + b[k].n - 65, 64);
	}
	for (size_t i = 0; i < COUNT(q); i++)
		az_buf_release(&b[i]);
}

/* ---- what is refused ---- */

static void
assert_refused(const struct s3_sign *q)
{
	struct az_buf b;

	assert_int_equal(headers(q, &b), AZ_EINVAL);
	assert_int_equal(b.n, 0);
	az_buf_release(&b);
	assert_int_equal(presign(q, 60, &b), AZ_EINVAL);
	assert_int_equal(b.n, 0);
	az_buf_release(&b);
}

static void
a_header_that_would_break_the_request_is_refused(void **state)
{
	static const struct s3_kv bad[] = {KV("x-a", "1\nx-b: 2"), KV("x-a", "1\r"),
	    KV("x-a", "\0"), KV("x-a", "\x7f"), KV("x-a", "\n"), KV("x a", "1"), KV("x:a", "1"),
	    KV("x\n", "1"), KV("", "1"), KV("x\x80", "1")};
	struct s3_sign q = get("/k");

	(void)state;
	q.n_headers = 1;
	for (size_t i = 0; i < COUNT(bad); i++) {
		q.headers = &bad[i];
		assert_refused(&q);
	}
	q.n_headers = 0;
	q.host = AZ_S("h\r\nx: y");
	assert_refused(&q);
}

static void
a_credential_that_would_break_the_request_is_refused(void **state)
{
	struct s3_sign q = get("/k");

	(void)state;
	q.region = "us\nx: y";
	assert_refused(&q);
	q = get("/k");
	snprintf(cred.access, sizeof cred.access, "key\r\nx: y");
	assert_refused(&q);
	q = get("/k");
	snprintf(cred.token, sizeof cred.token, "a\nb");
	assert_refused(&q);
}

static void
too_many_are_refused(void **state)
{
	struct s3_kv many[S3_QUERY_MAX + 1];
	struct s3_sign q = get("/k");
	struct az_buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = (struct s3_kv)KV("x-n", "1");
	snprintf(cred.token, sizeof cred.token, "t");
	q.query = q.headers = many;
	q.n_query = S3_QUERY_MAX;
	q.n_headers = S3_HEADERS_MAX;
	assert_int_equal(headers(&q, &b), AZ_OK);
	az_buf_release(&b);
	assert_int_equal(presign(&q, 60, &b), AZ_OK);
	az_buf_release(&b);
	q.n_query++;
	assert_refused(&q);
	q.n_query = 0;
	q.n_headers++;
	assert_refused(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(example_get_with_a_range),
	    cmocka_unit_test(example_put),
	    cmocka_unit_test(example_of_a_parameter_without_a_value),
	    cmocka_unit_test(example_list),
	    cmocka_unit_test(example_presigned),
	    cmocka_unit_test(every_byte_is_encoded_once),
	    cmocka_unit_test(a_path_is_never_normalised),
	    cmocka_unit_test(a_query_is_sorted_by_what_is_sent),
	    cmocka_unit_test(headers_are_sorted_by_name_alone),
	    cmocka_unit_test(repeated_headers_are_joined_and_blanks_folded),
	    cmocka_unit_test(a_token_is_signed_in_headers_and_links),
	    cmocka_unit_test(a_link_keeps_its_parameters_and_headers),
	    cmocka_unit_test(a_link_lives_a_second_to_a_week),
	    cmocka_unit_test(the_day_rolls_at_midnight_utc),
	    cmocka_unit_test(method_host_path_region_and_service_count),
	    cmocka_unit_test(a_header_that_would_break_the_request_is_refused),
	    cmocka_unit_test(a_credential_that_would_break_the_request_is_refused),
	    cmocka_unit_test(too_many_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
