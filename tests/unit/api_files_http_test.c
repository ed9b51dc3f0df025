/* The files routes over FastCGI: listings, bytes, archives. */
#include <sys/mman.h>
#include <azlon/archive.h>
#include <azlon/crypto.h>
#include "api/files.h"
#include "files_fixture.h"

static void
test_list_of_current_and_of_an_iteration(void **state)
{
	struct fixture *f = *state;
	const struct az_json *files;

	tree(f, DONE, 1, PATHS("one"));
	tree(f, DONE, 2, PATHS("two", "d/three.csv"));
	assert_int_equal(get(f, "/files/" DONE, NULL, NULL), 200);
	files = az_json_get(json(f), "files");
	assert_int_equal(az_json_len(files), 2);
	assert_true(az_str_eqc(az_json_gets(az_json_at(files, 0), "path"), "d/three.csv"));
	assert_true(
	    az_str_eqc(az_json_gets(az_json_at(files, 0), "mime"), "text/csv; charset=utf-8"));
	assert_int_equal(get(f, "/files/" DONE, "iteration=1", NULL), 200);
	assert_non_null(strstr(f->r.body, "\"one\""));
	assert_int_equal(get(f, "/files/" DONE, "iteration=3", NULL), 404);
	assert_int_equal(get(f, "/files/" DONE, "iteration=x", NULL), 400);
	tree(f, DONE, -1, PATHS("final"));
	assert_int_equal(get(f, "/files/" DONE, NULL, NULL), 200);
	assert_non_null(strstr(f->r.body, "\"final\""));
	assert_int_equal(get(f, "/files/" DONE, NULL, "HTTP_ACCEPT=text/plain"), 200);
	assert_non_null(strstr(f->r.body, "└── final (5 bytes)"));
	assert_int_equal(get(f, "/files/" DONE, "view=tree", NULL), 200);
	assert_int_equal(get(f, "/files/" DONE, "view=legacy", NULL), 200);
	assert_int_equal(f->r.body[0], '[');
	assert_int_equal(get(f, "/files/" DONE, "view=x", NULL), 400);
	assert_int_equal(get(f, "/files/" DONE, "cursor=x", NULL), 400);
	assert_int_equal(get(f, "/files/" DONE, "limit=0", NULL), 400);
}

static void
test_run_without_files_yet(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/files/" OPEN, NULL, NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 0);
	assert_int_equal(get(f, "/files/" NONE, NULL, NULL), 404);
	engine_away = true;
	assert_int_equal(get(f, "/files/" OPEN, NULL, NULL), 503);
	check_problem(f, "engine", "engine");
}

static void
test_others_runs_do_not_exist(void **state)
{
	static const char *const queries[] = {NULL, "format=zip", "view=tree"};
	struct fixture *f = *state;

	tree(f, DONE, -1, PATHS("a"));
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(
		    call(f, "bob", "GET", "/files/" DONE, queries[i], NULL, NULL, AZ_S("")), 404);
		assert_int_equal(get(f, "/files/" BOBS, queries[i], NULL), 404);
	}
	assert_int_equal(
	    call(f, "bob", "GET", "/files/" DONE "/a", NULL, NULL, NULL, AZ_S("")), 404);
	assert_int_equal(call(f, "bob", "DELETE", "/files/" DONE, NULL, NULL, NULL, AZ_S("")), 404);
	assert_int_equal(
	    call(f, "bob", "DELETE", "/files/" DONE "/a", NULL, NULL, NULL, AZ_S("")), 404);
	/* alice's prefix is nobody's */
	assert_int_equal(call(f, "alic", "GET", "/files/" DONE, NULL, NULL, NULL, AZ_S("")), 404);
	/* a legacy route names its user: only to be compared */
	assert_int_equal(get(f, "/files/" DONE, "legacy_user=bob", NULL), 404);
	assert_int_equal(get(f, "/files/" DONE "/a", "legacy_user=alice", NULL), 200);
	assert_int_equal(
	    get(f, "/files/" DONE "/a", "legacy_user=bob&legacy_user=alice", NULL), 404);
	assert_int_equal(get(f, "/files/../etc/passwd", NULL, NULL), 400);
	assert_int_equal(get(f, "/files/nonsense", NULL, NULL), 404);
}

static void
test_bytes_are_streamed_with_ranges(void **state)
{
	struct fixture *f = *state;
	char etag[80], head[200];

	tree(f, DONE, -1, PATHS("d/0123456789.txt"));
	assert_int_equal(get(f, "/files/" DONE "/d/0123456789.txt", NULL, NULL), 200);
	assert_string_equal(f->r.body, "d/0123456789.txt");
	strcpy(etag, header(f, "ETag"));
	assert_int_equal(strlen(etag), 66);
	assert_string_equal(header(f, "Content-Type"), "text/plain; charset=utf-8");
	assert_string_equal(header(f, "Content-Length"), "16");
	assert_string_equal(
	    header(f, "Content-Disposition"), "inline; filename=\"0123456789.txt\"");
	snprintf(head, sizeof head, "HTTP_IF_NONE_MATCH=\"x\", %s", etag);
	assert_int_equal(get(f, "/files/" DONE "/d/0123456789.txt", NULL, head), 304);
	assert_int_equal(f->r.body_n, 0);
	assert_string_equal(header(f, "ETag"), etag);
	assert_int_equal(
	    get(f, "/files/" DONE "/d/0123456789.txt", NULL, "HTTP_RANGE=bytes=2-4"), 206);
	assert_string_equal(f->r.body, "012");
	assert_string_equal(header(f, "Content-Range"), "bytes 2-4/16");
	assert_int_equal(
	    get(f, "/files/" DONE "/d/0123456789.txt", NULL, "HTTP_RANGE=bytes=16-"), 416);
	assert_string_equal(header(f, "Content-Range"), "bytes */16");
	assert_int_equal(call(f, "alice", "HEAD", "/files/" DONE "/d/0123456789.txt", NULL, NULL,
			     NULL, AZ_S("")),
	    200);
	assert_int_equal(f->r.body_n, 0);
	assert_string_equal(header(f, "Content-Length"), "16");
	assert_int_equal(get(f, "/files/" DONE "/d/0123456789.txt", "download=1", NULL), 200);
	assert_string_equal(
	    header(f, "Content-Disposition"), "attachment; filename=\"0123456789.txt\"");
	assert_int_equal(get(f, "/files/" DONE "/d", NULL, NULL), 404);
	assert_int_equal(get(f, "/files/" DONE "/.azlon/manifest", NULL, NULL), 400);
	assert_int_equal(get(f, "/files/" DONE "/d//x", NULL, NULL), 400);
}

static void
test_active_files_are_attachments(void **state)
{
	struct fixture *f = *state;

	tree(f, DONE, -1, PATHS("a.html", "a.svg", "a.js", "a.xml", "a.png"));
	for (const char *const *p = PATHS("a.html", "a.svg", "a.js", "a.xml"); *p; p++) {
		char path[200];

		snprintf(path, sizeof path, "/files/" DONE "/%s", *p);
		assert_int_equal(get(f, path, NULL, NULL), 200);
		assert_non_null(strstr(header(f, "Content-Disposition"), "attachment"));
	}
	assert_int_equal(get(f, "/files/" DONE "/a.png", NULL, NULL), 200);
	assert_non_null(strstr(header(f, "Content-Disposition"), "inline"));
}

static void
test_nginx_is_pointed_at_the_bytes(void **state)
{
	struct fixture *f = *state;
	char want[300], sha[65];

	tree(f, DONE, -1, PATHS("a b.txt"));
	assert_int_equal(get(f, "/files/" DONE "/a b.txt", NULL, NULL), 200);
	assert_int_equal(f->r.body_n, 0);
	az_sha256_hex(AZ_S("a b.txt"), sha);
	snprintf(want, sizeof want, "/_dir/%s/" DONE "/.azlon/blobs/%s", f->b.name, sha);
	assert_string_equal(header(f, "X-Accel-Redirect"), want);
	snprintf(want, sizeof want, "\"%s\"", sha);
	assert_string_equal(header(f, "X-Azlon-ETag"), want);
	assert_string_equal(header(f, "Content-Type"), "text/plain; charset=utf-8");
	snprintf(want, sizeof want, "HTTP_IF_NONE_MATCH=\"%s\"", sha);
	assert_int_equal(get(f, "/files/" DONE "/a b.txt", NULL, want), 304);
	assert_string_equal(header(f, "X-Accel-Redirect"), "");
}

static enum az_code
on_entry(void *arg, struct az_str p, unsigned mode, struct az_err *err)
{
	(void)err;
	(void)mode;
	az_buf_addf(arg, "%.*s=", AZ_FMT(p));
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str b, struct az_err *err)
{
	(void)err;
	az_buf_adds(arg, b);
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	(void)err;
	az_buf_addch(arg, ' ');
	return AZ_OK;
}

static const char *
unpack(struct fixture *f)
{
	static const struct az_archive_limits lim = {100, 1 << 20, 1 << 20, 100};
	int fd = memfd_create("a", MFD_CLOEXEC);
	struct az_buf b;
	struct az_archive_in in = {on_entry, on_data, on_end, &b};
	struct az_err err;
	const char *out;

	az_buf_init(&b, 1 << 20);
	assert_int_equal(az_write_all(fd, f->r.body, f->r.body_n), 0);
	if (az_archive_read(fd, &lim, &in, &err))
		fail_msg("%s", err.text);
	close(fd);
	out = az_arena_cstr(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return out ? out : "";
}

static void
test_archives(void **state)
{
	struct fixture *f = *state;

	tree(f, DONE, -1, PATHS("a", "d/b", "d/c"));
	assert_int_equal(get(f, "/files/" DONE, "format=zip", NULL), 200);
	assert_string_equal(header(f, "Content-Type"), "application/zip");
	assert_string_equal(unpack(f), "a=a d/b=d/b d/c=d/c ");
	assert_int_equal(get(f, "/files/" DONE, "format=tar.gz&prefix=d/", NULL), 200);
	assert_string_equal(unpack(f), "d/b=d/b d/c=d/c ");
	assert_int_equal(
	    call(f, "alice", "HEAD", "/files/" DONE, "format=zip", NULL, NULL, AZ_S("")), 200);
	assert_int_equal(f->r.body_n, 0);
	/* a path names a file, or a directory with all in it */
	assert_int_equal(get(f, "/files/" DONE "/d", "format=zip", NULL), 200);
	assert_string_equal(unpack(f), "d/b=d/b d/c=d/c ");
	assert_int_equal(get(f, "/files/" DONE "/d/", "format=zip", NULL), 200);
	assert_string_equal(unpack(f), "d/b=d/b d/c=d/c ");
	assert_int_equal(get(f, "/files/" DONE "/d/c", "format=tar.gz", NULL), 200);
	assert_string_equal(unpack(f), "d/c=d/c ");
	assert_int_equal(get(f, "/files/" DONE "/d/", "format=tar.gz&prefix=d/c", NULL), 200);
	assert_string_equal(unpack(f), "d/c=d/c ");
	assert_int_equal(get(f, "/files/" DONE "/x", "format=zip", NULL), 404);
	assert_int_equal(get(f, "/files/" DONE, "format=rar", NULL), 400);
	assert_int_equal(get(f, "/files/" OPEN, "format=zip", NULL), 200);
	assert_string_equal(unpack(f), "");
}

static void
test_broken_object_is_no_archive(void **state)
{
	struct fixture *f = *state;
	struct az_buf key;
	struct az_err err;
	char sha[65];

	tree(f, DONE, -1, PATHS("a", "b"));
	az_sha256_hex(AZ_S("b"), sha);
	az_buf_init(&key, 1000);
	az_key_blob(&key, AZ_S(DONE), az_str_c(sha));
	assert_int_equal(az_store_remove(f->api.store, &f->b, az_buf_str(&key), &err), AZ_OK);
	/* nothing of so short an archive has left yet: a proper error */
	assert_int_equal(get(f, "/files/" DONE, "format=zip", NULL), 503);
	check_problem(f, "store", "store");
	assert_string_equal(header(f, "Content-Disposition"), "");
	/* nor when it is the first object */
	az_sha256_hex(AZ_S("a"), sha);
	az_buf_reset(&key);
	az_key_blob(&key, AZ_S(DONE), az_str_c(sha));
	assert_int_equal(az_store_remove(f->api.store, &f->b, az_buf_str(&key), &err), AZ_OK);
	assert_int_equal(get(f, "/files/" DONE, "format=zip", NULL), 503);
	check_problem(f, "store", "store");
	assert_string_equal(header(f, "Content-Disposition"), "");
	az_buf_release(&key);
}

/* A finished run of user with a file that no buffer on the way to a client holds. */
static void
big_run(struct fixture *f, const char *user, const char *wid)
{
	size_t n = 8 << 20;
	char *body = calloc(1, n);
	struct az_file x = {.path = AZ_S("big"), .size = (int64_t)n};
	struct az_bucket b = az_bucket_of(az_str_c(user));
	struct az_manifest m;
	struct az_buf key;
	struct az_err err;

	assert_int_equal(az_blob_put(f->api.store, &b, az_str_c(wid), AZ_S(""), az_str_n(body, n),
			     x.sha256, &err),
	    AZ_OK);
	free(body);
	az_manifest_init(&m, f->a);
	assert_int_equal(az_manifest_set(&m, &x, &err), AZ_OK);
	az_buf_init(&key, 1000);
	az_key_meta(&key, az_str_c(wid), "manifest");
	assert_int_equal(az_manifest_save(&m, f->api.store, &b, az_buf_str(&key), &err), AZ_OK);
	az_buf_release(&key);
}

static void
test_archives_are_capped(void **state)
{
	/* one alone may have half of the places, the next four of the rest */
	static const char *const users[] = {"alice", "alice", "bob", "carol"};
	struct fixture *f = *state;
	struct fcgi_resp r[16];
	char who[40], path[100];
	const char *const params[] = {"HTTP_HOST=localhost", who, NULL};
	struct fcgi_req q = {.path = path, .query = "format=zip", .params = params};
	int fd[16];

	for (int i = 0; i < 16; i++) {
		const char *user = users[i / 4];

		snprintf(who, sizeof who, "HTTP_X_USER_ID=%s", user);
		snprintf(path, sizeof path, "/files/user-%s-1790000000000-%026d", user, 0);
		for (char *c = path + strlen(path) - 26; *c; c++)
			*c = 'a';
		if (i == 0 || strcmp(user, users[(i - 1) / 4]) != 0)
			big_run(f, user, path + strlen("/files/"));
		/* a client that stops reading once it began */
		memset(&r[i], 0, sizeof r[i]);
		fd[i] = fcgi_peer_connect(f->web.path);
		assert_true(fcgi_peer_send(fd[i], &q, true));
		assert_true(fcgi_peer_read_until(fd[i], &r[i], "PK"));
		if (i != 7)
			continue;
		/* no more for this user, and half of the places are for others */
		assert_int_equal(get(f, "/files/" DONE, "format=zip", NULL), 429);
		assert_string_equal(header(f, "Retry-After"), "5");
		check_problem(f, "rate_limited", "archives of this user");
	}
	assert_int_equal(
	    call(f, "erin", "GET", "/files/user-erin-1790000000000-aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"format=zip", NULL, NULL, AZ_S("")),
	    404);
	big_run(f, "erin", "user-erin-1790000000000-aaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_int_equal(
	    call(f, "erin", "GET", "/files/user-erin-1790000000000-aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"format=zip", NULL, NULL, AZ_S("")),
	    503);
	assert_string_equal(header(f, "Retry-After"), "5");
	check_problem(f, "busy", "archives");
	/* what else is asked for is served */
	assert_int_equal(get(f, "/files/" DONE, NULL, NULL), 200);
	/* one reads to its end: its place is free again */
	assert_true(fcgi_peer_read(fd[0], &r[0]));
	assert_int_equal(
	    call(f, "erin", "GET", "/files/user-erin-1790000000000-aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"format=zip", NULL, NULL, AZ_S("")),
	    200);
	for (int i = 0; i < 16; i++) {
		close(fd[i]);
		fcgi_peer_release(&r[i]);
	}
}

static void
test_who_hardly_reads_an_archive_is_left(void **state)
{
	(void)state;
	assert_false(files_archive_too_slow(60000, 0));
	assert_true(files_archive_too_slow(60001, 0));
	/* a byte a second; a slow modem; what lies in buffers on the way */
	assert_true(files_archive_too_slow(120000, 120));
	assert_false(files_archive_too_slow(3600000, INT64_C(3600) * 16384));
	assert_false(files_archive_too_slow(600000, AZ_MIB(32)));
	assert_true(files_archive_too_slow(3600000, AZ_MIB(32)));
}

static void
test_health(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/files/health/live", NULL, NULL), 200);
	assert_int_equal(get(f, "/files/health/ready", NULL, NULL), 200);
	engine_away = true;
	assert_int_equal(get(f, "/files/health/ready", NULL, NULL), 503);
	assert_non_null(strstr(f->r.body, "\"engine\":\"down\""));
	assert_int_equal(get(f, "/files/health/live", NULL, NULL), 200);
	assert_int_equal(
	    call(f, "alice", "PATCH", "/files/" DONE, NULL, NULL, NULL, AZ_S("")), 405);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    MEM(test_list_of_current_and_of_an_iteration),
	    MEM(test_run_without_files_yet),
	    MEM(test_others_runs_do_not_exist),
	    MEM(test_bytes_are_streamed_with_ranges),
	    MEM(test_active_files_are_attachments),
	    DIR(test_nginx_is_pointed_at_the_bytes),
	    MEM(test_archives),
	    DIR(test_archives),
	    MEM(test_broken_object_is_no_archive),
	    MEM(test_archives_are_capped),
	    MEM(test_who_hardly_reads_an_archive_is_left),
	    MEM(test_health),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
