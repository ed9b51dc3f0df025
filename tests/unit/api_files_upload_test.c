/* The files routes over FastCGI: uploads. */
#include <sys/mman.h>
#include <azlon/archive.h>
#include <azlon/crypto.h>
#include "files_fixture.h"

#define FORM "multipart/form-data; boundary=XX"

static const char form[] = "--XX\r\nContent-Disposition: form-data; name=\"user_id\"\r\n\r\nbob\r\n"
			   "--XX\r\nContent-Disposition: form-data; name=\"files\"; "
			   "filename=\"C:\\d/x.csv\"\r\n\r\n1,2\r\n"
			   "--XX\r\nContent-Disposition: form-data; name=\"files\"; "
			   "filename=\"caf\xc3\xa9.txt\"\r\n\r\n\r\n"
			   "--XX--\r\n";

static void
test_form_makes_a_set(void **state)
{
	struct fixture *f = *state;
	const struct az_json *j;
	char path[128];
	struct az_str id;

	assert_int_equal(
	    call(f, "alice", "POST", "/files/inputs", NULL, NULL, FORM, az_str_c(form)), 201);
	j = json(f);
	id = az_json_gets(j, "input_id");
	assert_true(az_input_id_ok(id));
	assert_int_equal(az_json_len(az_json_get(j, "files")), 2);
	snprintf(path, sizeof path, "/files/inputs/%.*s", AZ_FMT(id));
	assert_string_equal(header(f, "Location"), path);
	assert_int_equal(get(f, path, NULL, NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 2);
	assert_true(az_str_eq(az_json_gets(json(f), "input_id"), id));
	assert_int_equal(call(f, "bob", "GET", path, NULL, NULL, NULL, AZ_S("")), 404);
	strcat(path, "/x.csv");
	assert_int_equal(get(f, path, NULL, NULL), 200);
	assert_string_equal(f->r.body, "1,2");
	assert_int_equal(call(f, "bob", "GET", path, NULL, NULL, NULL, AZ_S("")), 404);
	assert_int_equal(call(f, "alice", "DELETE", path, NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(get(f, path, NULL, NULL), 404);
	path[strlen(path) - 6] = '\0';
	assert_int_equal(call(f, "alice", "DELETE", path, NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(get(f, path, NULL, NULL), 404);
	assert_int_equal(call(f, "alice", "DELETE", path, NULL, NULL, NULL, AZ_S("")), 404);
	assert_int_equal(objects(f), 0);
}

static void
test_legacy_upload_adds_to_the_default_set(void **state)
{
	struct fixture *f = *state;
	const struct az_json *j, *file;

	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/default/old.txt", NULL, NULL, NULL, AZ_S("old")),
	    201);
	assert_int_equal(call(f, "alice", "POST", "/files/inputs", "view=legacy&legacy_user=bob",
			     NULL, FORM, az_str_c(form)),
	    404);
	assert_int_equal(call(f, "alice", "POST", "/files/inputs", "view=legacy&legacy_user=alice",
			     NULL, FORM, az_str_c(form)),
	    200);
	j = json(f);
	assert_true(az_json_is_str(az_json_get(j, "message")));
	file = az_json_at(az_json_get(j, "files"), 1);
	assert_true(az_str_eqc(az_json_gets(file, "filename"), "x.csv"));
	assert_true(az_str_eqc(az_json_gets(file, "key"), "input/default/x.csv"));
	assert_int_equal(az_json_geti(file, "size", -1), 3);
	assert_int_equal(get(f, "/files/inputs/default", NULL, NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 3);
}

static enum az_code
to_buf(void *arg, struct az_str b, struct az_err *err)
{
	(void)err;
	az_buf_adds(arg, b);
	return AZ_OK;
}

static struct az_str
zip_of(struct fixture *f, const char *const *names, size_t bytes)
{
	char *body = calloc(1, bytes + 1);
	struct az_archive_writer *w;
	struct az_buf b;
	struct az_err err;
	struct az_str out;

	az_buf_init(&b, 16 << 20);
	assert_int_equal(az_archive_begin(AZ_ZIP, to_buf, &b, &w, &err), AZ_OK);
	for (; *names; names++) {
		assert_int_equal(
		    az_archive_entry(w, az_str_c(*names), (int64_t)bytes, 0755, 0, &err), AZ_OK);
		assert_int_equal(az_archive_data(w, az_str_n(body, bytes), &err), AZ_OK);
	}
	assert_int_equal(az_archive_finish(w, &err), AZ_OK);
	out = az_arena_str(f->a, az_buf_str(&b));
	az_buf_release(&b);
	free(body);
	return out;
}

static void
test_zip_is_expanded_or_kept(void **state)
{
	struct fixture *f = *state;
	struct az_str zip = zip_of(f, PATHS("a", "d/b"), 5);
	const struct az_json *files;

	assert_int_equal(
	    call(f, "alice", "POST", "/files/inputs", NULL, NULL, "application/zip", zip), 201);
	files = az_json_get(json(f), "files");
	assert_int_equal(az_json_len(files), 2);
	assert_true(az_str_eqc(az_json_gets(az_json_at(files, 1), "path"), "d/b"));
	assert_true(az_json_getb(az_json_at(files, 1), "executable", false));
	assert_int_equal(call(f, "alice", "POST", "/files/inputs", "expand=0&name=keep.zip", NULL,
			     "application/zip", zip),
	    201);
	files = az_json_get(json(f), "files");
	assert_int_equal(az_json_len(files), 1);
	assert_true(az_str_eqc(az_json_gets(az_json_at(files, 0), "path"), "keep.zip"));
	assert_int_equal(az_json_geti(az_json_at(files, 0), "size", 0), zip.n);
}

static void
test_archive_inside_a_form_is_expanded(void **state)
{
	struct fixture *f = *state;
	struct az_buf b;

	az_buf_init(&b, 1 << 20);
	az_buf_addc(&b, "--XX\r\nContent-Disposition: form-data; name=a; "
			"filename=\"p.zip\"\r\n\r\n");
	az_buf_adds(&b, zip_of(f, PATHS("in/zip"), 3));
	az_buf_addc(&b, "\r\n--XX\r\nContent-Disposition: form-data; name=b; "
			"filename=\"q\"\r\n\r\nq\r\n--XX--");
	assert_int_equal(
	    call(f, "alice", "POST", "/files/inputs", NULL, NULL, FORM, az_buf_str(&b)), 201);
	assert_non_null(strstr(f->r.body, "\"in/zip\""));
	assert_non_null(strstr(f->r.body, "\"q\""));
	az_buf_release(&b);
}

static void
test_bad_uploads_leave_nothing(void **state)
{
	static const struct {
		const char *type, *body;
		int status;
		const char *says;
	} t[] = {
	    {"application/zip", "PK\3\4garbage", 400, "zip"},
	    {"application/zip", "hello", 400, "neither"},
	    {"text/csv", "1,2", 415, ""},
	    {"", "1,2", 415, ""},
	    {FORM, "--XX\r\n", 400, "malformed"},
	    {FORM, "--XX--", 400, "no file"},
	    {FORM,
		"--XX\r\nContent-Disposition: form-data; name=a; filename=ok\r\n\r\n1\r\n"
		"--XX\r\nContent-Disposition: form-data; name=a; filename=..\r\n\r\n1\r\n--XX--",
		400, ".."},
	    {FORM,
		"--XX\r\nContent-Disposition: form-data; name=a; filename=ok\r\n\r\n1\r\n"
		"--XX\r\nContent-Disposition: form-data; name=a; filename=ok\r\n\r\n2\r\n--XX--",
		400, "two files"},
	    /* cut in the middle of the second file */
	    {FORM,
		"--XX\r\nContent-Disposition: form-data; name=a; filename=ok\r\n\r\n1\r\n"
		"--XX\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n2",
		400, "closing boundary"},
	};
	struct fixture *f = *state;
	const char *big[] = {"a", "b", NULL};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		int got = call(f, "alice", "POST", "/files/inputs", NULL, NULL, t[i].type,
		    az_str_c(t[i].body));

		if (got != t[i].status || !strstr(f->r.body, t[i].says))
			fail_msg("%s: %d %s", t[i].body, got, f->r.body);
		assert_int_equal(objects(f), 0);
	}
	/* past the limit of 3 MiB, as one and in total; a bomb */
	assert_int_equal(call(f, "alice", "POST", "/files/inputs", NULL, NULL, "application/zip",
			     zip_of(f, big, 2 << 20)),
	    413);
	check_problem(f, "too_large", "3145728");
	assert_int_equal(objects(f), 0);
	assert_int_equal(call(f, "alice", "PUT", "/files/inputs/default/big", NULL, NULL, NULL,
			     zip_of(f, PATHS("a"), 4 << 20)),
	    413);
	assert_int_equal(objects(f), 0);
}

static void
test_put_replaces_and_reads_back(void **state)
{
	struct fixture *f = *state;
	char etag[80];

	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/default/d/a.txt", NULL, NULL, NULL, AZ_S("one")),
	    201);
	strcpy(etag, header(f, "ETag"));
	assert_int_equal(get(f, "/files/inputs/default/d/a.txt", NULL, NULL), 200);
	assert_string_equal(f->r.body, "one");
	assert_string_equal(header(f, "ETag"), etag);
	assert_int_equal(call(f, "alice", "PUT", "/files/inputs/default/d/a.txt", NULL, NULL, NULL,
			     AZ_S("two!")),
	    201);
	assert_int_equal(get(f, "/files/inputs/default/d/a.txt", NULL, NULL), 200);
	assert_string_equal(f->r.body, "two!");
	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/default/empty", NULL, NULL, NULL, AZ_S("")),
	    201);
	/* a directory is not a file; bad names; sets that are none */
	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/default/d", NULL, NULL, NULL, AZ_S("x")), 400);
	assert_int_equal(call(f, "alice", "PUT", "/files/inputs/default/.azlon/manifest", NULL,
			     NULL, NULL, AZ_S("x")),
	    400);
	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/other/x", NULL, NULL, NULL, AZ_S("x")), 404);
	assert_int_equal(get(f, "/files/inputs/default", NULL, NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 2);
	/* equal contents share a blob; removing one keeps the other */
	assert_int_equal(
	    call(f, "alice", "PUT", "/files/inputs/default/twin", NULL, NULL, NULL, AZ_S("two!")),
	    201);
	assert_int_equal(
	    call(f, "alice", "DELETE", "/files/inputs/default/d/a.txt", NULL, NULL, NULL, AZ_S("")),
	    204);
	assert_int_equal(get(f, "/files/inputs/default/twin", NULL, NULL), 200);
	assert_string_equal(f->r.body, "two!");
}

struct putter {
	struct fixture *f;
	int i, bad;
};

static void *
put_many(void *arg)
{
	struct putter *p = arg;

	for (int k = 0; k < 8; k++) {
		char path[64];
		const char *params[] = {"HTTP_HOST=localhost", "HTTP_X_USER_ID=alice", NULL};
		struct fcgi_req q = {
		    .method = "PUT", .path = path, .params = params, .body = "x", .body_n = 1};
		struct fcgi_resp r = {0};

		snprintf(path, sizeof path, "/files/inputs/default/%d-%d", p->i, k);
		if (!fcgi_peer_call(p->f->web.path, &q, &r) || r.status != 201)
			p->bad++;
		fcgi_peer_release(&r);
	}
	return NULL;
}

static void
test_puts_at_once_all_arrive(void **state)
{
	struct fixture *f = *state;
	struct putter p[4];
	pthread_t t[4];

	for (int i = 0; i < 4; i++) {
		p[i] = (struct putter){f, i, 0};
		assert_int_equal(pthread_create(&t[i], NULL, put_many, &p[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(p[i].bad, 0);
	}
	assert_int_equal(get(f, "/files/inputs/default", NULL, NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 32);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    MEM(test_form_makes_a_set),
	    MEM(test_legacy_upload_adds_to_the_default_set),
	    MEM(test_zip_is_expanded_or_kept),
	    MEM(test_archive_inside_a_form_is_expanded),
	    MEM(test_bad_uploads_leave_nothing),
	    DIR(test_bad_uploads_leave_nothing),
	    MEM(test_put_replaces_and_reads_back),
	    DIR(test_puts_at_once_all_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
