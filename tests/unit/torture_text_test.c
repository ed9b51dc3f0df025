/* Out of memory while text is read and written: JSON, buffers, configuration, forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/conf.h>
#include <azlon/crypto.h>
#include <azlon/json.h>
#include <azlon/manifest.h>
#include <azlon/multipart.h>
#include "torture.h"

static const char json[] = "{\"a\":[1,2.5,true,null,{\"deep\":{\"er\":[\"text \\u00e9\"]}}],"
			   "\"b\":\"a longer text, so that it does not fit where it began\"}";

static enum az_code
json_there_and_back(struct az_err *err)
{
	struct az_json *j = NULL;
	struct az_buf b;
	struct az_jw w;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(64));
	if ((rc = az_json_parse(az_str_c(json), &az_json_own_limits, &j, err)))
		goto out;
	az_jw_init(&w, &b);
	az_jw_arr(&w);
	for (int i = 0; i < 20; i++)
		az_jw_value(&w, j);
	az_jw_end(&w, ']');
	if ((rc = az_buf_check(&b, "test", err)))
		goto out;
	rc = az_json_scan(az_buf_str(&b), &az_json_own_limits, err);
out:
	az_json_free(j);
	az_buf_release(&b);
	return rc;
}

static enum az_code
json_in_arena(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	const struct az_json *j = NULL;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = az_json_parse_in(a, az_str_c(json), &az_json_own_limits, &j, err);
	if (!rc)
		assert_int_equal(az_json_len(az_json_get(j, "a")), 5);
	az_arena_free(a);
	return rc;
}

static void
count(void *arg)
{
	++*(int *)arg;
}

/* Closers run once each, registered or not. */
static enum az_code
arena(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	int deferred = 0, ran = 0;
	bool ok = a;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	for (int i = 1; ok && i < 40; i++) {
		char *p = az_arena_alloc(a, (size_t)i * 1000);

		ok = p && az_arena_printf(a, "%d %s", i, json);
		if (ok)
			memset(p, 'x', (size_t)i * 1000);
		deferred++;
		ok = az_arena_defer(a, count, &ran) && ok;
		if (i == 20)
			az_arena_reset(a);
	}
	az_arena_free(a);
	assert_int_equal(ran, deferred);
	return ok ? AZ_OK : az_fail(err, AZ_ENOMEM, "test", "no memory");
}

/* What was refused stays empty, and says so. */
static enum az_code
buffer(struct az_err *err)
{
	struct az_buf b;
	char *out = NULL;
	size_t n = 0;
	enum az_code rc;

	az_buf_init(&b, AZ_MIB(1));
	for (int i = 0; i < 5000; i++)
		az_buf_addf(&b, "%d,", i);
	az_base64(&b, az_str_c(json));
	az_base64url(&b, az_str_c(json));
	az_base32(&b, az_str_c(json));
	az_pct_encode(&b, az_str_c(json), NULL);
	if (b.fail)
		assert_int_equal(az_buf_str(&b).n, 0);
	rc = az_buf_take(&b, &out, &n, err);
	assert_true(rc ? !out : out && n > 20000);
	free(out);
	az_buf_release(&b);
	return rc;
}

static enum az_code
encodings(struct az_err *err)
{
	struct az_buf a, b;
	enum az_code rc;
	bool ok;

	az_buf_init(&a, AZ_KIB(64));
	az_buf_init(&b, AZ_KIB(64));
	az_base64(&a, az_str_c(json));
	if ((rc = az_buf_check(&a, "test", err)))
		goto out;
	ok = az_base64_decode(&b, az_buf_str(&a));
	if (!(rc = az_buf_check(&b, "test", err)))
		assert_true(ok && az_str_eqc(az_buf_str(&b), json));
out:
	az_buf_release(&a);
	az_buf_release(&b);
	return rc;
}

static enum az_code
manifest(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_manifest m, again;
	struct az_buf b;
	char path[32];
	enum az_code rc = AZ_OK;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	az_buf_init(&b, AZ_MIB(1));
	az_manifest_init(&m, a);
	az_manifest_init(&again, a);
	for (int i = 0; !rc && i < 50; i++) {
		struct az_file f = {.size = i, .mode = 0644};

		az_sha256_hex(az_str_c(json), f.sha256);
		snprintf(path, sizeof path, "dir%d/file%d.txt", i % 7, i);
		f.path = az_str_c(path);
		rc = az_manifest_set(&m, &f, err);
	}
	if (!rc) {
		az_manifest_write(&m, &b);
		rc = az_buf_check(&b, "test", err);
	}
	if (!rc)
		rc = az_manifest_parse(&again, az_buf_str(&b), err);
	if (!rc)
		assert_int_equal(again.n, 50);
	az_buf_release(&b);
	az_arena_free(a);
	return rc;
}

static enum az_code
conf(struct az_err *err)
{
	static const char *const env[] = {"AZLON_VAR=/nonexistent", "OPENAI_API_KEY=sk-x",
	    "E2B_API_KEY=e2b_x", "AZLON_CORS_ORIGINS=http://a", NULL};
	struct az_conf c;
	struct az_buf b;
	enum az_code rc = az_conf_load(&c, env, err);

	if (rc) {
		assert_null(c.owned);
		return rc;
	}
	az_buf_init(&b, AZ_KIB(256));
	az_conf_print(&c, &b);
	az_conf_example(&b);
	az_conf_man(&b);
	rc = az_buf_check(&b, "test", err);
	az_buf_release(&b);
	az_conf_release(&c);
	return rc;
}

static enum az_code
on_begin(void *arg, const struct az_multipart_part *p, struct az_err *err)
{
	(void)err;
	az_buf_addf(arg, "[%.*s|%.*s]", AZ_FMT(p->name), AZ_FMT(p->filename));
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str s, struct az_err *err)
{
	(void)err;
	az_buf_adds(arg, s);
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	return az_buf_check(arg, "test", err);
}

/* No part is ever told of with half a name. */
static enum az_code
form(struct az_err *err)
{
	static const char body[] =
	    "--X\r\nContent-Disposition: form-data; name=\"files\"; "
	    "filename=\"a/long/path.csv\"\r\n"
	    "Content-Type: text/csv\r\n\r\n1,2\r\n--X\r\n"
	    "Content-Disposition: form-data; name=user; filename=b\r\n\r\n\r\n--X--";
	struct az_multipart m;
	struct az_buf b;
	struct az_multipart_sink sink = {on_begin, on_data, on_end, &b};
	enum az_code rc;

	az_buf_init(&b, 1024);
	rc = az_multipart_init(&m, AZ_S("multipart/form-data; a=b; boundary=X"), &sink, err);
	for (size_t i = 0; !rc && i < sizeof body - 1; i += 3)
		rc = az_multipart_feed(&m, az_str_sub(az_str_c(body), i, i + 3), err);
	if (!rc)
		rc = az_multipart_finish(&m, err);
	if (!rc)
		assert_string_equal(b.p, "[files|a/long/path.csv]1,2[user|b]");
	az_multipart_release(&m);
	az_buf_release(&b);
	return rc;
}

#define CASE(f)                                                                                    \
	static void test_##f(void **state)                                                         \
	{                                                                                          \
		(void)state;                                                                       \
		torture(#f, f);                                                                    \
	}
CASE(json_there_and_back)
CASE(json_in_arena)
CASE(arena)
CASE(buffer)
CASE(encodings)
CASE(manifest)
CASE(conf)
CASE(form)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json_there_and_back),
	    cmocka_unit_test(test_json_in_arena),
	    cmocka_unit_test(test_arena),
	    cmocka_unit_test(test_buffer),
	    cmocka_unit_test(test_encodings),
	    cmocka_unit_test(test_manifest),
	    cmocka_unit_test(test_conf),
	    cmocka_unit_test(test_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
