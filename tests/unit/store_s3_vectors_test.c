/* store: signatures that others published (data/sigv4/README.md), in headers and in links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>
#include "store/s3_sign.h"

#define AT_MS 1440938160000 /* 2015-08-30T12:36:00Z */
#define TTL_S 3600
#define TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"

enum { HEADER = 1, QUERY = 2, BOTH = 3 };
static const struct {
	const char *name;
	int has;
	const char *token; /* of the credentials */
} cases[] = {
    {"get-header-key-duplicate", BOTH, ""},
    {"get-header-value-multiline", BOTH, ""},
    {"get-header-value-order", BOTH, ""},
    {"get-header-value-trim", BOTH, ""},
    {"get-relative-relative-unnormalized", BOTH, ""},
    {"get-relative-unnormalized", BOTH, ""},
    {"get-slash-dot-slash-unnormalized", BOTH, ""},
    {"get-slash-pointless-dot-unnormalized", BOTH, ""},
    {"get-slash-unnormalized", BOTH, ""},
    {"get-slashes-unnormalized", BOTH, ""},
    {"get-space-normalized", BOTH, ""},
    {"get-unreserved", BOTH, ""},
    {"get-utf8", BOTH, ""},
    {"get-vanilla-empty-query-key", BOTH, ""},
    {"get-vanilla-query", BOTH, ""},
    {"get-vanilla-query-order-encoded", BOTH, ""},
    {"get-vanilla-query-order-key-case", BOTH, ""},
    {"get-vanilla-query-unreserved", BOTH, ""},
    {"get-vanilla-utf8-query", BOTH, ""},
    {"get-vanilla-with-session-token", BOTH, TOKEN},
    {"post-header-key-sort", BOTH, ""},
    {"post-header-value-case", BOTH, ""},
    {"post-sts-header-before", BOTH, ""},
    {"post-vanilla", BOTH, ""},
    {"post-vanilla-empty-query-value", QUERY, ""},
    {"post-vanilla-query", HEADER, ""},
    {"post-x-www-form-urlencoded", BOTH, ""},
    {"post-x-www-form-urlencoded-parameters", BOTH, ""},
};

/* One signed request as the suite writes it, taken apart again. */
struct vector {
	char text[2048], method[8], payload[65], want[65];
	struct az_buf decoded; /* of the query */
	struct s3_kv headers[8], query[8];
	struct s3_cred cred;
	struct s3_sign q;
};

static struct az_str
decode(struct az_buf *b, struct az_str s)
{
	size_t from = b->n;

	assert_true(az_pct_decode(b, s, false));
	return az_str_sub(az_buf_str(b), from, b->n);
}

static void
take_want(struct vector *v, struct az_str s)
{
	assert_true(s.n >= 64);
	memcpy(v->want, s.p, 64);
}

static void
take_query(struct vector *v, struct az_str query)
{
	struct az_str part, name;

	while (az_str_cut(&query, '&', &part)) {
		az_str_cut(&part, '=', &name);
		if (az_str_eqc(name, "X-Amz-Signature"))
			take_want(v, part);
		if (az_str_starts(name, AZ_S("X-Amz-")))
			continue;
		v->query[v->q.n_query++] = (struct s3_kv){
		    .name = decode(&v->decoded, name), .value = decode(&v->decoded, part)};
	}
}

static void
take_header(struct vector *v, struct az_str line)
{
	struct s3_kv *h = &v->headers[v->q.n_headers];
	struct az_str value = line, name;

	if (line.p[0] == ' ') { /* a folded line counts as the header once more */
		*h = (struct s3_kv){h[-1].name, line};
		v->q.n_headers++;
		return;
	}
	az_str_cut(&value, ':', &name);
	if (az_str_ieq(name, AZ_S("authorization")))
		take_want(v, az_str_sub(value, value.n - 64, value.n));
	else if (az_str_ieq(name, AZ_S("host")))
		v->q.host = value;
	else if (!az_str_ieq(name, AZ_S("x-amz-date")) &&
		 !az_str_ieq(name, AZ_S("x-amz-content-sha256")) &&
		 !(v->cred.token[0] && az_str_ieq(name, AZ_S("x-amz-security-token"))))
		v->headers[v->q.n_headers++] = (struct s3_kv){name, value};
}

static void
load(struct vector *v, const char *name, const char *kind, const char *token)
{
	char path[512];
	FILE *f;
	struct az_str rest, line, target;
	ptrdiff_t end;

	memset(v, 0, sizeof *v);
	v->q = (struct s3_sign){.method = v->method,
	    .cred = &v->cred,
	    .region = "us-east-1",
	    .service = "service",
	    .query = v->query,
	    .headers = v->headers,
	    .payload = {v->payload, 64},
	    .at_ms = AT_MS};
	snprintf(v->cred.access, sizeof v->cred.access, "AKIDEXAMPLE");
	snprintf(v->cred.secret, sizeof v->cred.secret, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
	snprintf(v->cred.token, sizeof v->cred.token, "%s", token);
	az_buf_init(&v->decoded, AZ_KIB(4));
	az_buf_addf(&v->decoded, "%4000s", ""); /* room, so that nothing moves */
	az_buf_cut(&v->decoded, 0);

	snprintf(path, sizeof path, AZ_SRC "/tests/unit/data/sigv4/%s/%s-signed-request.txt", name,
	    kind);
	f = fopen(path, "rb");
	assert_non_null(f);
	rest = az_str_n(v->text, fread(v->text, 1, sizeof v->text - 1, f));
	fclose(f);

	assert_true(az_str_line(&rest, &line));
	end = az_str_rchr(line, ' '); /* a target may hold blanks */
	target = az_str_sub(line, 0, (size_t)end);
	az_str_cut(&target, ' ', &line);
	snprintf(v->method, sizeof v->method, "%.*s", AZ_FMT(line));
	az_str_cut(&target, '?', &v->q.path);
	take_query(v, target);
	while (az_str_line(&rest, &line) && line.n)
		take_header(v, line);
	az_sha256_hex(rest, v->payload);
	/* S3's own header, which the suite has where there is a body */
	if (rest.n) {
		v->q.sends_payload_hash = true;
		if (strcmp(kind, "query") == 0)
			v->headers[v->q.n_headers++] =
			    (struct s3_kv){AZ_S("x-amz-content-sha256"), {v->payload, 64}};
	}
	assert_int_equal(strlen(v->want), 64);
}

/* The hexadecimal digits at the end. */
static void
assert_signed(const char *name, struct az_str got, const char *want)
{
	struct az_str s = az_str_trim(got);

	if (s.n < 64 || memcmp(s.p + s.n - 64, want, 64) != 0)
		fail_msg("%s: %.*s, not %s", name, AZ_FMT(got), want);
}

static void
headers_are_signed_as_in_the_vectors(void **state)
{
	struct vector v;
	struct az_buf out;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (!(cases[i].has & HEADER))
			continue;
		load(&v, cases[i].name, "header", cases[i].token);
		az_buf_init(&out, AZ_KIB(16));
		assert_int_equal(s3_sign_headers(&v.q, &out, &err), AZ_OK);
		assert_signed(cases[i].name, az_buf_str(&out), v.want);
		az_buf_release(&out);
		az_buf_release(&v.decoded);
	}
}

static void
links_are_signed_as_in_the_vectors(void **state)
{
	struct vector v;
	struct az_buf out;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (!(cases[i].has & QUERY))
			continue;
		load(&v, cases[i].name, "query", cases[i].token);
		az_buf_init(&out, AZ_KIB(16));
		assert_int_equal(s3_presign(&v.q, TTL_S, &out, &err), AZ_OK);
		assert_signed(cases[i].name, az_buf_str(&out), v.want);
		az_buf_release(&out);
		az_buf_release(&v.decoded);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(headers_are_signed_as_in_the_vectors),
	    cmocka_unit_test(links_are_signed_as_in_the_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
