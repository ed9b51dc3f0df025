/*
 * The store contract on a real S3 server, and what the S3 adapter alone promises. AZ_S3 is its
 * address, AZ_S3_USER and AZ_S3_PASSWORD its keys; without them there is nothing to run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <azlon/clock.h>
#include <azlon/http.h>
#include <azlon/limits.h>
#include "store/s3.h"
#include "store_suite.h"

static struct az_http *http;

static struct az_s3_opts
opts(void)
{
	return (struct az_s3_opts){.http = http,
	    .endpoint = getenv("AZ_S3"),
	    .access_key = getenv("AZ_S3_USER"),
	    .secret_key = getenv("AZ_S3_PASSWORD"),
	    .external = getenv("AZ_S3"),
	    .lock_dir = "/tmp"};
}

/* A user nobody else is: the server may be in use. */
static int
setup(void **state)
{
	struct store_fix *f = calloc(1, sizeof *f);
	struct az_s3_opts o = opts();
	struct az_err err;
	struct az_buf uid;

	az_buf_init(&uid, 64);
	az_random_id(&uid, 26);
	f->b = az_bucket_of(az_buf_str(&uid));
	az_buf_release(&uid);
	f->a = az_arena_new(AZ_MIB(16));
	assert_int_equal(az_store_s3_open(&o, &f->s, &err), AZ_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct store_fix *f = *state;
	struct az_err err;

	assert_int_equal(az_store_remove_bucket(f->s, &f->b, &err), AZ_OK);
	az_store_close(f->s);
	az_arena_free(f->a);
	free(f);
	return 0;
}

/* What a client without any keys gets. */
static int
fetch(const char *method, struct az_str url, struct az_http_resp *r)
{
	struct az_err err;
	char text[4096];
	struct az_http_req q = {.method = method, .url = text};

	snprintf(text, sizeof text, "%.*s", AZ_FMT(url));
	*r = (struct az_http_resp){.status = 0};
	assert_int_equal(az_http_call(http, &q, r, &err), AZ_OK);
	return r->status;
}

static void
test_s3_accel(void **state)
{
	struct store_fix *f = *state;
	struct az_buf target, path;
	struct az_http_resp r;
	struct az_err err;

	assert_int_equal(store_put(f, "w/a b?c%/é", "body"), AZ_OK);
	az_buf_init(&target, 4096);
	az_buf_init(&path, 4096);
	az_buf_addc(&path, getenv("AZ_S3"));
	assert_int_equal(az_store_accel(f->s, &f->b, AZ_S("w/a b?c%/é"), "GET", "text/x-odd",
			     &target, &path, &err),
	    AZ_OK);
	assert_true(az_str_eqc(az_buf_str(&target), "@s3"));
	assert_int_equal(fetch("GET", az_buf_str(&path), &r), 200);
	assert_true(az_str_eqc(az_http_header(&r, "content-type"), "text/x-odd"));
	assert_true(az_str_eqc(az_buf_str(&r.body), "body"));
	az_http_resp_release(&r);
	/* it is for this method alone */
	assert_int_equal(fetch("DELETE", az_buf_str(&path), &r), 403);
	az_http_resp_release(&r);
	az_buf_release(&target);
	az_buf_release(&path);
}

static void
test_s3_link(void **state)
{
	struct store_fix *f = *state;
	struct az_link l = {.ttl_s = 60,
	    .mime = "text/html",
	    .disposition = AZ_S("attachment; filename=\"x y.html\"")};
	struct az_http_resp r;
	struct az_buf url;
	struct az_err err;

	assert_int_equal(store_put(f, "w/x y.html", "body"), AZ_OK);
	az_buf_init(&url, 4096);
	assert_int_equal(az_store_link(f->s, &f->b, AZ_S("w/x y.html"), &l, &url, &err), AZ_OK);
	assert_int_equal(fetch("GET", az_buf_str(&url), &r), 200);
	assert_true(az_str_eqc(az_http_header(&r, "content-type"), "text/html"));
	assert_true(az_str_eq(az_http_header(&r, "content-disposition"), l.disposition));
	assert_true(az_str_eqc(az_buf_str(&r.body), "body"));
	az_http_resp_release(&r);
	az_buf_release(&url);
}

static void
test_s3_ping_knows_wrong_keys(void **state)
{
	struct store_fix *f = *state;
	struct az_s3_opts o = opts();
	struct az_store *s;
	struct az_err err;

	assert_int_equal(az_store_ping(f->s, &err), AZ_OK);
	assert_int_equal(az_store_ping(f->s, &err), AZ_OK); /* it knows the server now */
	o.secret_key = "not-the-secret";
	assert_int_equal(az_store_s3_open(&o, &s, &err), AZ_OK);
	assert_int_equal(az_store_ping(s, &err), AZ_EUNAVAIL);
	az_store_close(s);
	o = opts();
	o.access_key = "nobody";
	assert_int_equal(az_store_s3_open(&o, &s, &err), AZ_OK);
	assert_int_equal(az_store_ping(s, &err), AZ_EUNAVAIL);
	az_store_close(s);
}

static void
test_s3_leaves_no_uploads(void **state)
{
	struct store_fix *f = *state;
	static char chunk[AZ_MIB(6)];
	struct s3_kv q = {AZ_S("uploads"), AZ_S("")};
	struct s3_call c = {.method = "GET", .bucket = &f->b, .query = &q, .n_query = 1};
	struct az_put *p;
	struct s3_reply r;
	struct az_err err;
	struct s3_body *body;
	char text[8192];
	size_t n = 0, got = 1;

	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("k"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, az_str_n(chunk, sizeof chunk), &err), AZ_OK);
	az_store_put_abort(p);
	assert_int_equal(s3_open((struct s3 *)f->s, &c, &r, &body, &err), AZ_OK);
	while (got && n < sizeof text - 1) {
		assert_int_equal(
		    s3_body_read(body, text + n, sizeof text - 1 - n, &got, &err), AZ_OK);
		n += got;
	}
	text[n] = '\0';
	s3_body_close(body);
	assert_non_null(strstr(text, "ListMultipartUploadsResult"));
	assert_null(strstr(text, "<UploadId>"));
	assert_string_equal(store_keys(f, "", false, 5), "");
}

static void
test_s3_bucket_removed_by_another(void **state)
{
	struct store_fix *f = *state;
	static char chunk[AZ_MIB(6)];
	struct az_s3_opts o = opts();
	struct az_store *other;
	struct az_err err;

	assert_int_equal(az_store_s3_open(&o, &other, &err), AZ_OK);
	assert_int_equal(store_put(f, "k", "x"), AZ_OK);
	assert_int_equal(az_store_remove_bucket(other, &f->b, &err), AZ_OK);
	assert_null(store_get(f, "k"));
	assert_string_equal(store_keys(f, "", false, 5), "");
	assert_int_equal(store_put(f, "k", "y"), AZ_OK);
	assert_string_equal(store_get(f, "k"), "y");
	assert_int_equal(az_store_remove_bucket(other, &f->b, &err), AZ_OK);
	assert_int_equal(
	    az_store_put(f->s, &f->b, AZ_S("l"), az_str_n(chunk, sizeof chunk), &err), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 5), "l ");
	az_store_close(other);
}

#define S3_ONLY(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_SUITE("s3", setup, teardown),
	    S3_ONLY(test_s3_accel),
	    S3_ONLY(test_s3_link),
	    S3_ONLY(test_s3_ping_knows_wrong_keys),
	    S3_ONLY(test_s3_leaves_no_uploads),
	    S3_ONLY(test_s3_bucket_removed_by_another),
	};
	struct az_err err;
	int failed;

	if (!getenv("AZ_S3")) {
		printf("1..0 # SKIP no S3 server: AZ_S3, AZ_S3_USER and AZ_S3_PASSWORD name one\n");
		return 0;
	}
	if (az_http_new(&http, &err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	az_http_free(http);
	return failed;
}
