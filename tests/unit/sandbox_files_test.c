/* Files of a sandbox against a scripted peer. */
#include "e2b_fixture.h"

static const char gone[] = "{\"message\":\"The sandbox was not found\",\"code\":502}";

struct src {
	struct az_str rest;
	int reads, fail_at;
};

static enum az_code
src_read(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct src *s = arg;

	if (++s->reads == s->fail_at)
		return az_fail(err, AZ_EIO, "test", "the disk broke");
	*got = n < s->rest.n ? n : s->rest.n;
	if (*got > 7)
		*got = 7; /* in small pieces */
	memcpy(p, s->rest.p, *got);
	s->rest = az_str_sub(s->rest, *got, s->rest.n);
	return AZ_OK;
}

static void
upload_streams(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /files?path=", {{0}}, 1, 0}};
	struct src s = {AZ_S("hello sandbox, with a \0 byte"), 0, 0};
	size_t n = s.rest.n, body_n = 0;
	const char *req;

	(void)state;
	r[0].step[0] = answer(&f, 200, "", "[{\"name\":\"a\",\"path\":\"/x\",\"type\":\"file\"}]");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_upload(f.sb, &f.ref, "/home/user/app/a b+ü.txt", (int64_t)n,
			     src_read, &s, &f.err),
	    AZ_OK);
	assert_true(sent(&f, 0, "POST /files?path=/home/user/app/a%20b%2B%C3%BC.txt "));
	assert_false(sent(&f, 0, "username="));
	assert_true(sent(&f, 0, "Content-Type: application/octet-stream\r\n"));
	assert_true(sent(&f, 0, "X-Access-Token: ea_token\r\n"));
	req = http_peer_request(f.peer, 0, &body_n);
	assert_int_equal(body_n, n);
	assert_memory_equal(strstr(req, "\r\n\r\n") + 4, "hello sandbox, with a \0 byte", n);
	/* without a known size: chunked */
	s = (struct src){AZ_S("0123456789"), 0, 0};
	assert_int_equal(az_sandbox_upload(f.sb, &f.ref, "b", -1, src_read, &s, &f.err), AZ_OK);
	assert_true(sent(&f, 1, "chunked"));
	assert_true(sent(&f, 1, "0123456789"));
	fix_stop(&f);
}

static void
old_daemons_are_told_the_user(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /files?path=", {{0}}, 1, 0}, {"POST /filesystem", {{0}}, 1, 0}};
	struct src s = {AZ_S("x"), 0, 0};

	(void)state;
	r[0].step[0] = answer(&f, 200, "", "[{\"path\":\"/x\"}]");
	r[1].step[0] = answer(&f, 200, "", "{}");
	fix_start(&f, r, 2);
	f.ref.envd_version = AZ_S("0.3.9");
	assert_int_equal(az_sandbox_upload(f.sb, &f.ref, "b", 1, src_read, &s, &f.err), AZ_OK);
	assert_true(sent(&f, 0, "&username=user "));
	assert_int_equal(az_sandbox_mkdir(f.sb, &f.ref, "d", &f.err), AZ_OK);
	assert_true(sent(&f, 1, "Authorization: Basic dXNlcjo=\r\n"));
	fix_stop(&f);
}

static void
upload_failures(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum az_code want;
		const char *reason;
	} t[] = {
	    {200, "[]", AZ_EUPSTREAM, ""},
	    {200, "{}", AZ_EUPSTREAM, ""},
	    {200, "<html>", AZ_EUPSTREAM, ""},
	    {400, "{\"code\":400,\"message\":\"path is a directory: /x\"}", AZ_EINVAL, ""},
	    {401, "{\"code\":401,\"message\":\"m\"}", AZ_EAUTH, ""},
	    {507, "{\"code\":507,\"message\":\"not enough disk space\"}", AZ_EINVAL, "disk_full"},
	    {502, gone, AZ_ENOTFOUND, E2B_GONE},
	    {502, "<html>", AZ_EUNAVAIL, E2B_UNREACHABLE},
	    {503, "", AZ_EUNAVAIL, E2B_AWAY},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct route r[] = {{"POST /files?path=", {{0}}, 1, 0}};
		struct src s = {AZ_S("x"), 0, 0};

		r[0].step[0] = answer(&f, t[i].status, "", t[i].body);
		fix_start(&f, r, 1);
		assert_int_equal(
		    az_sandbox_upload(f.sb, &f.ref, "b", 1, src_read, &s, &f.err), t[i].want);
		assert_string_equal(f.err.reason, t[i].reason);
		fix_stop(&f);
	}
}

static void
a_failing_source_is_not_the_sandboxs_fault(void **state)
{
	struct fix f = {0};
	struct src s = {AZ_S("0123456789"), 0, 2};

	(void)state;
	fix_start(&f, NULL, 0);
	assert_int_equal(az_sandbox_upload(f.sb, &f.ref, "b", 10, src_read, &s, &f.err), AZ_EIO);
	assert_string_equal(f.err.text, "the disk broke");
	assert_int_equal(asked(&f, "GET /health"), 0);
	fix_stop(&f);
}

static enum az_code
sink(void *arg, struct az_str chunk, struct az_err *err)
{
	struct az_buf *b = arg;

	(void)err;
	az_buf_adds(b, chunk);
	return AZ_OK;
}

static enum az_code
full(void *arg, struct az_str chunk, struct az_err *err)
{
	(void)arg;
	(void)chunk;
	return az_fail(err, AZ_ETOOBIG, "test", "full");
}

static void
download_streams_and_fails(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"GET /files?path=", {{0}}, 5, 0}, {"GET /health", {{0}}, 1, 0}};
	struct az_buf b;

	(void)state;
	r[0].step[0] = answer(&f, 200, "", "some bytes");
	r[0].step[1] =
	    answer(&f, 404, "", "{\"code\":404,\"message\":\"path '/x' does not exist\"}");
	r[0].step[2] = (struct http_peer_step){
	    .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", .then = HTTP_THEN_CLOSE};
	r[0].step[3] = answer(&f, 200, "", "some bytes");
	r[0].step[4] = answer(&f, 502, "", gone);
	r[1].step[0] = answer(&f, 502, "", gone);
	fix_start(&f, r, 2);
	az_buf_init(&b, 1000);
	assert_int_equal(az_sandbox_download(f.sb, &f.ref, "out/ä.csv", sink, &b, &f.err), AZ_OK);
	assert_string_equal(b.p, "some bytes");
	assert_true(sent(&f, 0, "GET /files?path=out/%C3%A4.csv "));
	assert_true(sent(&f, 0, "Accept-Encoding: identity\r\n"));
	assert_int_equal(az_sandbox_download(f.sb, &f.ref, "x", sink, &b, &f.err), AZ_ENOTFOUND);
	assert_string_equal(f.err.reason, "not_found"); /* the file, not the sandbox */
	assert_int_equal(az_sandbox_download(f.sb, &f.ref, "x", sink, &b, &f.err),
	    AZ_ENOTFOUND); /* cut, and /health says why */
	assert_string_equal(f.err.reason, E2B_GONE);
	assert_int_equal(az_sandbox_download(f.sb, &f.ref, "x", full, &b, &f.err), AZ_ETOOBIG);
	assert_int_equal(az_sandbox_download(f.sb, &f.ref, "x", sink, &b, &f.err), AZ_ENOTFOUND);
	assert_string_equal(f.err.reason, E2B_GONE);
	assert_int_equal(asked(&f, "GET /health"), 1);
	az_buf_release(&b);
	fix_stop(&f);
}

static void
list_reads_entries(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /filesystem.Filesystem/ListDir", {{0}}, 3, 0}};
	struct az_sb_entry *e;
	size_t n;

	(void)state;
	r[0].step[0] = answer(&f, 200, "",
	    "{\"entries\":["
	    "{\"name\":\"a\",\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/a\","
	    "\"size\":\"9007199254740993\",\"mode\":33188,\"modifiedTime\":"
	    "\"2026-01-02T03:04:05.678901234Z\"},"
	    "{\"name\":\"d\",\"type\":2,\"path\":\"/home/user/d\",\"mode\":493},"
	    "{\"name\":\"l\",\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/l\",\"size\":5,"
	    "\"symlinkTarget\":\"/etc/passwd\"},"
	    "{\"name\":\"m\",\"type\":\"FILE_TYPE_SYMLINK\",\"path\":\"/home/user/m\"}]}");
	r[0].step[1] = answer(&f, 200, "", "{}");
	r[0].step[2] = answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"m\"}");
	fix_start(&f, r, 1);
	assert_int_equal(
	    az_sandbox_list(f.sb, &f.ref, "/home/user", 3, f.a, &e, &n, &f.err), AZ_OK);
	assert_true(sent(&f, 0, "{\"path\":\"/home/user\",\"depth\":3}"));
	assert_true(sent(&f, 0, "Content-Type: application/json\r\n"));
	assert_int_equal(n, 4);
	assert_true(e[0].file && !e[0].dir && !e[0].link);
	assert_true(e[0].size == 9007199254740993);
	assert_int_equal(e[0].mode, 0644);
	assert_true(e[0].modified_ms == 1767323045678);
	assert_true(e[1].dir && !e[1].file);
	assert_int_equal(e[1].mode, 0755);
	assert_true(e[2].link && e[3].link);
	assert_true(az_str_eqc(e[2].path, "/home/user/l"));
	assert_int_equal(az_sandbox_list(f.sb, &f.ref, "x", 1, f.a, &e, &n, &f.err), AZ_OK);
	assert_int_equal(n, 0);
	assert_int_equal(az_sandbox_list(f.sb, &f.ref, "x", 1, f.a, &e, &n, &f.err), AZ_ENOTFOUND);
	assert_string_equal(f.err.reason, "not_found");
	fix_stop(&f);
}

static void
making_and_removing_twice_is_fine(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /filesystem.Filesystem/MakeDir", {{0}}, 2, 0},
	    {"POST /filesystem.Filesystem/Remove", {{0}}, 2, 0}};

	(void)state;
	r[0].step[0] = answer(&f, 409, "", "{\"code\":\"already_exists\",\"message\":\"m\"}");
	r[0].step[1] =
	    answer(&f, 400, "", "{\"code\":\"invalid_argument\",\"message\":\"a file\"}");
	r[1].step[0] = answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"m\"}");
	r[1].step[1] = answer(&f, 502, "", gone);
	fix_start(&f, r, 2);
	assert_int_equal(az_sandbox_mkdir(f.sb, &f.ref, "d", &f.err), AZ_OK);
	assert_int_equal(az_sandbox_mkdir(f.sb, &f.ref, "d", &f.err), AZ_EINVAL);
	assert_int_equal(az_sandbox_remove(f.sb, &f.ref, "d", &f.err), AZ_OK);
	assert_int_equal(az_sandbox_remove(f.sb, &f.ref, "d", &f.err), AZ_ENOTFOUND);
	assert_int_equal(az_sandbox_remove(f.sb, &f.ref, "", &f.err), AZ_EINVAL);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(upload_streams),
	    cmocka_unit_test(old_daemons_are_told_the_user),
	    cmocka_unit_test(upload_failures),
	    cmocka_unit_test(a_failing_source_is_not_the_sandboxs_fault),
	    cmocka_unit_test(download_streams_and_fails),
	    cmocka_unit_test(list_reads_entries),
	    cmocka_unit_test(making_and_removing_twice_is_fine),
	};

	return cmocka_run_group_tests_name("sandbox_files", tests, NULL, NULL);
}
