/*
 * The files routes over FastCGI: a real accept loop, dev identity, the store in memory
 * (we stream) or in a directory (nginx is pointed at the bytes), an engine that knows
 * two runs.
 */
#ifndef FILES_FIXTURE_H
#define FILES_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/api.h>
#include <azlon/json.h>
#include <azlon/keys.h>
#include <azlon/log.h>
#include <azlon/manifest.h>
#include <azlon/path.h>
#include "web_fixture.h"

/* alice's runs: finished, open, unknown to the engine; bob's */
#define DONE "user-alice-1790000000000-aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OPEN "user-alice-1790000000001-bbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NONE "user-alice-1790000000002-cccccccccccccccccccccccccc"
#define BOBS "user-bob-1790000000003-dddddddddddddddddddddddddd"

/* ---- an engine of two runs ---- */
static bool engine_away;

static inline enum az_code
describe(struct az_engine *e, struct az_str id, struct az_arena *a, struct az_run_info *out,
    struct az_err *err)
{
	(void)e;
	(void)a;
	if (engine_away)
		return az_fail(err, AZ_EUNAVAIL, "test", "away");
	if (!az_str_eqc(id, DONE) && !az_str_eqc(id, OPEN))
		return az_fail(err, AZ_ENOTFOUND, "test", "no such run");
	out->state = az_str_eqc(id, OPEN) ? AZ_RUN_OPEN : AZ_RUN_COMPLETED;
	out->uid = AZ_S("alice");
	return AZ_OK;
}

static bool any_open;
static const char *open_id; /* as an engine that compares without case would find it */

static inline enum az_code
count(struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err)
{
	(void)e;
	(void)err;
	*n = q->state == AZ_RUN_OPEN && any_open;
	return AZ_OK;
}

static inline enum az_code
list(struct az_engine *e, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err)
{
	(void)e;
	(void)err;
	out->runs = az_arena_alloc(a, sizeof *out->runs);
	out->n = any_open;
	*out->runs = (struct az_run_info){
	    .workflow_id = az_str_c(open_id), .type = q->type, .state = AZ_RUN_OPEN};
	return AZ_OK;
}

static inline enum az_code
ping(struct az_engine *e, struct az_err *err)
{
	(void)e;
	return engine_away ? az_fail(err, AZ_EUNAVAIL, "test", "away") : AZ_OK;
}

static const struct az_engine_ops engine_ops = {
    .name = "test", .describe = describe, .list = list, .count = count, .ping = ping};
static struct az_engine engine = {&engine_ops};

/* ---- the stack ---- */
struct fixture {
	struct web_fixture web;
	struct az_api api;
	struct az_bucket b;
	char root[64];
	struct az_arena *a;
	struct fcgi_resp r;
};

static inline int
setup(void **state, bool dir)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct az_err err;

	az_log_open("test", "stderr", AZ_ERROR);
	engine_away = any_open = false;
	f->b = az_bucket_of(AZ_S("alice"));
	f->a = az_arena_new(AZ_MIB(64));
	if (dir) {
		strcpy(f->root, "/tmp/azlon-files-XXXXXX");
		assert_non_null(mkdtemp(f->root));
		assert_int_equal(az_store_dir_open(f->root, &f->api.store, &err), AZ_OK);
	} else {
		assert_int_equal(az_store_mem_open(&f->api.store, &err), AZ_OK);
	}
	assert_int_equal(
	    az_auth_open(&(struct az_auth_opts){.identity = "dev"}, &f->api.auth, &err), AZ_OK);
	f->api.engine = &engine;
	f->api.upload_bytes = 3 << 20;
	f->api.secrets.n = 1;
	f->web.w.threads = 24;
	f->web.w.arena_bytes = AZ_MIB(32);
	assert_true(web_fixture_start(&f->web, az_api_file_routes, &f->api));
	*state = f;
	return 0;
}

static inline int
setup_mem(void **state)
{
	return setup(state, false);
}

static inline int
setup_dir(void **state)
{
	return setup(state, true);
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	web_fixture_stop(&f->web);
	az_store_close(f->api.store);
	az_auth_close(f->api.auth);
	if (f->root[0]) {
		int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

		assert_int_equal(az_remove_tree(tmp, f->root + 5), 0);
		close(tmp);
	}
	fcgi_peer_release(&f->r);
	az_arena_free(f->a);
	free(f);
	return 0;
}

/* head: one header as a parameter, or NULL. The answer is in f->r. */
static inline int
call(struct fixture *f, const char *user, const char *method, const char *path, const char *query,
    const char *head, const char *type, struct az_str body)
{
	char uid[64], ct[128];
	const char *params[8] = {"HTTP_HOST=localhost", uid, ct};
	struct fcgi_req q = {.method = method,
	    .path = path,
	    .query = query,
	    .params = params,
	    .body = body.p,
	    .body_n = body.n,
	    .content_length = body.n                  ? 0
			      : strcmp(method, "PUT") ? -1
						      : 0};

	snprintf(uid, sizeof uid, "HTTP_X_USER_ID=%s", user);
	snprintf(ct, sizeof ct, "CONTENT_TYPE=%s", type ? type : "");
	params[3] = head;
	fcgi_peer_release(&f->r);
	memset(&f->r, 0, sizeof f->r);
	assert_true(fcgi_peer_call(f->web.path, &q, &f->r));
	return f->r.status;
}

static inline int
get(struct fixture *f, const char *path, const char *query, const char *head)
{
	return call(f, "alice", "GET", path, query, head, NULL, AZ_S(""));
}

static inline const char *
header(struct fixture *f, const char *name)
{
	static char v[2048];

	return fcgi_peer_header(&f->r, name, v, sizeof v) ? v : "";
}

static inline const struct az_json *
json(struct fixture *f)
{
	const struct az_json *j = NULL;
	struct az_err err;

	if (az_json_parse_in(f->a, az_str_n(f->r.body, f->r.body_n), &az_json_own_limits, &j, &err))
		fail_msg("%s: %s", err.text, f->r.body);
	return j;
}

static inline void
check_problem(struct fixture *f, const char *code, const char *says)
{
	const struct az_json *j = json(f);

	assert_true(az_str_eqc(az_json_gets(j, "code"), code));
	if (!strstr(f->r.body, says))
		fail_msg("%s does not say %s", f->r.body, says);
}

/* A run's tree: one file "name" in iteration n, or (n < 0) the final manifest. */
static inline void
tree(struct fixture *f, const char *wid, int n, const char *const *paths)
{
	struct az_manifest m;
	struct az_buf key;
	struct az_err err;

	az_manifest_init(&m, f->a);
	for (; *paths; paths++) {
		struct az_file x = {
		    .path = az_str_c(*paths), .mode = 0644, .modified_ms = 1790000000000};
		struct az_str body = az_str_c(*paths);

		assert_int_equal(
		    az_blob_put(f->api.store, &f->b, az_str_c(wid), AZ_S(""), body, x.sha256, &err),
		    AZ_OK);
		x.size = (int64_t)body.n;
		assert_int_equal(az_manifest_set(&m, &x, &err), AZ_OK);
	}
	az_buf_init(&key, 1000);
	if (n < 0)
		az_key_meta(&key, az_str_c(wid), "manifest");
	else
		az_key_iter(&key, az_str_c(wid), n, "manifest");
	assert_int_equal(az_manifest_save(&m, f->api.store, &f->b, az_buf_str(&key), &err), AZ_OK);
	az_buf_release(&key);
}

#define PATHS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline size_t
objects(struct fixture *f)
{
	struct az_store_list q = {.limit = 1000};
	struct az_store_page p;
	struct az_err err;

	assert_int_equal(az_store_list(f->api.store, &f->b, &q, f->a, &p, &err), AZ_OK);
	return p.n;
}

#define MEM(t) cmocka_unit_test_setup_teardown(t, setup_mem, teardown)
#define DIR(t) cmocka_unit_test_setup_teardown(t, setup_dir, teardown)

#endif
