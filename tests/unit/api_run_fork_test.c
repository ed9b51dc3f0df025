/* Forks: what the new run is asked to do, which files it has, and what is refused. */
#include "api_tree_fixture.h"

#define REQUEST                                                                                    \
	"{\"user_prompt\":\"old\",\"test_conditions\":\"t\",\"model\":\"recording/x\","            \
	"\"model_fallbacks\":[\"recording/y\"],\"hitl\":\"each\","                                 \
	"\"checks\":[{\"id\":\"c1\",\"run\":\"a\"}],"                                              \
	"\"limits\":{\"iterations\":4,\"tokens\":5000,\"wall_s\":70,\"sandbox_s\":80},"            \
	"\"inputs\":[\"inp_aaaaaaaaaaaaaaaaaaaaaaaaaa\"],"                                         \
	"\"network\":{\"default\":\"deny\",\"allow\":[]},\"on_disconnect\":\"cancel\","            \
	"\"metadata\":{\"k\":\"v\"},\"traceparent\":"                                              \
	"\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}"

/* A run whose first attempt is over, its second under way. */
static struct az_str
source(void)
{
	struct az_str id = begin("alice", "");

	put_request(id, REQUEST);
	put_tree(id, 0, "source", TREE({"in.csv", "1,2\n", false}, {"main.py", "given\n", false}));
	put_tree(id, 0, "manifest", TREE({"in.csv", "1,2\n", false}));
	put_tree(id, 1, "source",
	    TREE({"in.csv", "1,2\n", false}, {"main.py", "one\n", false}, {"run", "#!\n", true}));
	put_tree(
	    id, 1, "manifest", TREE({"main.py", "one\n", false}, {"out.txt", "made\n", false}));
	put_iter(id, 1, "verdict", "{}");
	put_tree(id, 2, "source", TREE({"main.py", "half\n", false}));
	return id;
}

static const struct az_json *
forked(const char *user, struct az_str id, const char *body, const char *const *extra,
    struct fcgi_resp *r)
{
	const struct az_json *j = NULL;
	char path[300];

	snprintf(path, sizeof path, "/run_workflow/%.*s/fork", AZ_FMT(id));
	api_call(&fix, user, "POST", path, "", body, extra, r);
	if (r->body_n && r->body[0] == '{')
		assert_int_equal(az_json_parse_in(arena, az_str_n(r->body, r->body_n),
				     &az_json_own_limits, &j, NULL),
		    AZ_OK);
	return j;
}

/* The start input of the run that was started last. */
static const struct az_json *
started(void)
{
	const struct az_json *j = NULL;

	assert_int_equal(az_json_parse_in(arena, fix.engine.run[fix.engine.n - 1].ev[0].payload,
			     &az_json_own_limits, &j, NULL),
	    AZ_OK);
	return az_json_get(j, "request");
}

/* The bytes of a file that a manifest of iteration 0 names, "" when it does not. */
static struct az_str
file_of(struct az_str id, const char *name, const char *path)
{
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	struct az_str out = AZ_S("");
	const struct az_file *f;
	struct az_manifest m;
	struct az_buf key, body;

	az_manifest_init(&m, arena);
	az_buf_init(&key, 500);
	az_buf_init(&body, 1000);
	az_key_iter(&key, id, 0, name);
	if (az_manifest_load(&m, fix.api.store, &b, az_buf_str(&key), NULL) == AZ_OK &&
	    (f = az_manifest_find(&m, az_str_c(path)))) {
		az_buf_reset(&key);
		az_key_blob(&key, id, az_file_blob(f));
		assert_int_equal(
		    az_store_get(fix.api.store, &b, az_buf_str(&key), &body, NULL), AZ_OK);
		out = az_arena_str(arena, az_buf_str(&body));
	}
	az_buf_release(&key);
	az_buf_release(&body);
	return out;
}

static size_t
objects(void)
{
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	struct az_store_list q = {.limit = 1000};
	struct az_store_page p;

	assert_int_equal(az_store_list(fix.api.store, &b, &q, arena, &p, NULL), AZ_OK);
	return p.n;
}

static void
all_that_is_not_said_anew_is_as_it_was(void **state)
{
	struct az_str id = source(), new;
	const struct az_json *j, *req, *limits;
	struct fcgi_resp r;
	char h[300];

	(void)state;
	j = forked("alice", id,
	    "{\"iteration\":1,\"user_prompt\":\"new\",\"mode\":\"async\",\"limits\":{\"tokens\":9},"
	    "\"inputs\":[],\"typo\":1}",
	    NULL, &r);
	assert_int_equal(r.status, 202);
	new = az_json_gets(j, "workflow_id");
	assert_true(az_wid_owned_by(new, AZ_S("alice")) && !az_str_eq(new, id));
	assert_true(az_str_ends(az_str_c(fcgi_peer_header(&r, "Location", h, sizeof h)), new));
	assert_true(az_str_eq(az_json_gets(az_json_get(j, "forked_from"), "workflow_id"), id));
	assert_int_equal(az_json_geti(az_json_get(j, "forked_from"), "iteration", 0), 1);
	assert_int_equal(az_json_len(az_json_get(j, "warnings")), 2);
	fcgi_peer_release(&r);

	req = started();
	limits = az_json_get(req, "limits");
	assert_true(az_str_eqc(az_json_gets(req, "user_prompt"), "new"));
	assert_true(az_str_eqc(az_json_gets(req, "test_conditions"), "t"));
	assert_true(az_str_eqc(az_json_gets(req, "model"), "recording/x"));
	assert_true(az_str_eqc(
	    az_json_str(az_json_at(az_json_get(req, "model_fallbacks"), 0)), "recording/y"));
	assert_true(az_str_eqc(az_json_gets(req, "hitl"), "each"));
	assert_true(az_str_eqc(az_json_gets(req, "on_disconnect"), "cancel"));
	assert_true(az_str_eqc(az_json_gets(az_json_get(req, "network"), "default"), "deny"));
	assert_true(az_str_eqc(az_json_gets(az_json_get(req, "metadata"), "k"), "v"));
	assert_true(
	    az_str_eqc(az_json_gets(az_json_at(az_json_get(req, "checks"), 0), "id"), "c1"));
	assert_int_equal(az_json_geti(limits, "iterations", 0), 4);
	assert_int_equal(az_json_geti(limits, "tokens", 0), 9);
	assert_int_equal(az_json_geti(limits, "sandbox_s", 0), 80);
	/* they are in the files, and the trace is this request's */
	assert_int_equal(az_json_len(az_json_get(req, "inputs")), 0);
	assert_true(az_str_find(az_json_gets(req, "traceparent"), AZ_S("0af7651916cd"), 0) < 0);

	/* a reader sees it too, and there is no first run of the inputs */
	j = GET(new, "", "", &r, );
	assert_true(az_str_eq(az_json_gets(az_json_get(j, "forked_from"), "workflow_id"), id));
	assert_true(az_str_eqc(az_json_gets(j, "phase"), "generate"));
	fcgi_peer_release(&r);
}

static void
the_files_are_copied_and_the_old_run_may_go(void **state)
{
	struct az_str id = source(), new;
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	struct az_buf prefix;
	struct fcgi_resp r;

	(void)state;
	new = az_json_gets(
	    forked("alice", id, "{\"iteration\":1,\"mode\":\"async\"}", NULL, &r), "workflow_id");
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
	az_buf_init(&prefix, 500);
	az_key_run(&prefix, id);
	assert_int_equal(
	    az_store_remove_prefix(fix.api.store, &b, az_buf_str(&prefix), NULL), AZ_OK);
	az_buf_release(&prefix);
	/* as the model wrote it, without what came of it */
	assert_true(az_str_eqc(file_of(new, "manifest", "main.py"), "one\n"));
	assert_true(az_str_eqc(file_of(new, "manifest", "run"), "#!\n"));
	assert_true(az_str_eqc(file_of(new, "manifest", "out.txt"), ""));
	/* the user's own stay that */
	assert_true(az_str_eqc(file_of(new, "source", "main.py"), "given\n"));
	assert_true(az_str_eqc(file_of(new, "source", "in.csv"), "1,2\n"));
	assert_true(az_str_eqc(file_of(new, "source", "run"), ""));

	/* a fork of what the fork began with */
	put_request(new,
	    "{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"recording/x\","
	    "\"inputs\":[],\"forked_from\":{\"workflow_id\":\"w\",\"iteration\":1}}");
	new = az_json_gets(
	    forked("alice", new, "{\"iteration\":0,\"mode\":\"async\"}", NULL, &r), "workflow_id");
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
	assert_true(az_str_eqc(file_of(new, "manifest", "main.py"), "one\n"));
	assert_true(az_str_eqc(file_of(new, "source", "main.py"), "given\n"));
}

static void
iteration_0_is_what_the_run_began_with(void **state)
{
	struct az_str id = source(), bare = begin("alice", ""), new;
	struct fcgi_resp r;

	(void)state;
	new = az_json_gets(
	    forked("alice", id, "{\"iteration\":0,\"mode\":\"async\"}", NULL, &r), "workflow_id");
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
	assert_true(az_str_eqc(file_of(new, "manifest", "main.py"), "given\n"));
	/* without inputs: from nothing, once more */
	put_request(bare,
	    "{\"user_prompt\":\"p\",\"test_conditions\":\"t\",\"model\":\"recording/x\","
	    "\"inputs\":[]}");
	forked("alice", bare, "{\"iteration\":0,\"mode\":\"async\"}", NULL, &r);
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
}

static void
what_cannot_be_forked_is_refused_and_leaves_nothing(void **state)
{
	static const struct {
		const char *user, *body;
		int status;
		const char *code, *says;
	} t[] = {
	    {"alice", "{\"iteration\":2}", 409, "not_finished", "not finished"},
	    {"alice", "{\"iteration\":3}", 409, "not_finished", "not finished"},
	    {"alice", "{}", 422, "unprocessable", "[\"body\",\"iteration\"]"},
	    {"alice", "{\"iteration\":\"1\"}", 422, "unprocessable", "int_type"},
	    {"alice", "{\"iteration\":101}", 422, "unprocessable", "out_of_range"},
	    {"alice", "{\"iteration\":-1}", 422, "unprocessable", "out_of_range"},
	    {"alice", "{\"iteration\":1,\"user_prompt\":7}", 422, "unprocessable", "string_type"},
	    {"alice", "{\"iteration\":1,\"limits\":7}", 422, "unprocessable", "dict_type"},
	    {"alice", "{\"iteration\":1,\"checks\":[{\"run\":\"\"}]}", 422, "unprocessable",
		"checks"},
	    {"alice", "{\"iteration\":1,\"model\":null}", 409, "llm_not_configured", "recording/"},
	    {"alice", "{\"iteration\":1,\"user_id\":\"bob\"}", 403, "forbidden", ""},
	    {"alice", "[]", 400, "malformed", ""},
	    {"alice", "{", 400, "malformed", ""},
	    {"bob", "{\"iteration\":1}", 404, "not_found", ""},
	};
	struct az_str id = source();
	size_t before = objects();
	struct fcgi_resp r;
	char h[20];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		const struct az_json *j = forked(t[i].user, id, t[i].body, NULL, &r);

		if (r.status != t[i].status || !strstr(r.body, t[i].says))
			fail_msg("%s: %d %s", t[i].body, r.status, r.body);
		assert_true(az_str_eqc(az_json_gets(j, "code"), t[i].code));
		if (i == 0)
			assert_non_null(fcgi_peer_header(&r, "Retry-After", h, sizeof h));
		fcgi_peer_release(&r);
	}
	assert_int_equal(fix.engine.starts, 1);
	/* no more changes: what is there can be forked, what is not never will be */
	fix.engine.run[0].state = AZ_RUN_CANCELED;
	forked("alice", id, "{\"iteration\":3}", NULL, &r);
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	assert_int_equal(objects(), before);
	forked("alice", id, "{\"iteration\":2,\"mode\":\"async\"}", NULL, &r);
	assert_int_equal(r.status, 202);
	fcgi_peer_release(&r);
}

static void
a_run_that_has_not_begun_has_nothing_to_fork(void **state)
{
	struct az_str id = begin("alice", "");
	struct fcgi_resp r;

	(void)state;
	forked("alice", id, "{\"iteration\":0}", NULL, &r);
	assert_int_equal(r.status, 409);
	fcgi_peer_release(&r);
	/* inputs that are not in yet */
	put_request(id, REQUEST);
	forked("alice", id, "{\"iteration\":0}", NULL, &r);
	assert_int_equal(r.status, 409);
	fcgi_peer_release(&r);
}

static void
a_blob_that_is_gone_fails_the_fork_whole(void **state)
{
	struct az_str id = source();
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	size_t before;
	struct az_buf key;
	char sha[65];
	struct fcgi_resp r;

	(void)state;
	az_buf_init(&key, 500);
	assert_int_equal(
	    az_blob_put(fix.api.store, &b, id, AZ_S(""), AZ_S("#!\n"), sha, NULL), AZ_OK);
	az_key_blob(&key, id, az_str_c(sha));
	assert_int_equal(az_store_remove(fix.api.store, &b, az_buf_str(&key), NULL), AZ_OK);
	az_buf_release(&key);
	before = objects();
	forked("alice", id, "{\"iteration\":1,\"mode\":\"async\"}", NULL, &r);
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	assert_int_equal(objects(), before);
	assert_int_equal(fix.engine.starts, 1);
}

static void
a_start_without_an_answer_keeps_its_files(void **state)
{
	struct az_str id = source(), new;
	size_t before = objects();
	struct fcgi_resp r;

	(void)state;
	fix.engine.start_fails = AZ_ETIMEOUT;
	forked("alice", id, "{\"iteration\":1,\"mode\":\"async\"}", NULL, &r);
	assert_int_equal(r.status, 503);
	fcgi_peer_release(&r);
	assert_int_equal(objects(), before); /* the engine knows of no run: nothing is left */

	fix.engine.start_taken = true;
	forked("alice", id, "{\"iteration\":1,\"mode\":\"async\"}", NULL, &r);
	assert_int_equal(r.status, 503);
	fcgi_peer_release(&r);
	assert_int_equal(fix.engine.n, 2);
	new = fix.engine.run[1].id;
	assert_true(az_str_eqc(file_of(new, "manifest", "main.py"), "one\n"));
	assert_true(az_str_eqc(file_of(new, "source", "in.csv"), "1,2\n"));
}

static void
a_key_makes_one_fork(void **state)
{
	static const char *const key[] = {"HTTP_IDEMPOTENCY_KEY=k", NULL};
	static const char body[] = "{\"iteration\":1,\"mode\":\"async\"}";
	struct az_str id = source(), other = source(), one, two;
	struct fcgi_resp r;
	char h[20];

	(void)state;
	one = az_json_gets(forked("alice", id, body, key, &r), "workflow_id");
	assert_int_equal(r.status, 202);
	assert_null(fcgi_peer_header(&r, "Idempotency-Replayed", h, sizeof h));
	fcgi_peer_release(&r);
	two = az_json_gets(forked("alice", id, body, key, &r), "workflow_id");
	assert_int_equal(r.status, 202);
	assert_string_equal(fcgi_peer_header(&r, "Idempotency-Replayed", h, sizeof h), "true");
	assert_true(az_str_eq(one, two));
	fcgi_peer_release(&r);
	/* another body, or another run */
	forked("alice", id, "{\"iteration\":0,\"mode\":\"async\"}", key, &r);
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.body, "idempotency_mismatch"));
	fcgi_peer_release(&r);
	forked("alice", other, body, key, &r);
	assert_int_equal(r.status, 422);
	fcgi_peer_release(&r);
	/* it outlives the old run */
	fix.engine.run[0].gone = true;
	two = az_json_gets(forked("alice", id, body, key, &r), "workflow_id");
	assert_int_equal(r.status, 202);
	assert_true(az_str_eq(one, two));
	fcgi_peer_release(&r);
	forked("alice", id, body, NULL, &r);
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	assert_int_equal(fix.engine.starts, 3);
}

static void
a_synchronous_fork_is_handed_over(void **state)
{
	struct az_str id = source();
	struct fcgi_resp r;
	char h[400];

	(void)state;
	forked("alice", id, "{\"iteration\":1}", NULL, &r);
	assert_non_null(fcgi_peer_header(&r, "X-Accel-Redirect", h, sizeof h));
	assert_true(az_str_starts(az_str_c(h), AZ_S("/_wait/user-alice-")));
	fcgi_peer_release(&r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(all_that_is_not_said_anew_is_as_it_was),
	    T(the_files_are_copied_and_the_old_run_may_go),
	    T(iteration_0_is_what_the_run_began_with),
	    T(what_cannot_be_forked_is_refused_and_leaves_nothing),
	    T(a_run_that_has_not_begun_has_nothing_to_fork),
	    T(a_blob_that_is_gone_fails_the_fork_whole),
	    T(a_start_without_an_answer_keeps_its_files),
	    T(a_key_makes_one_fork),
	    T(a_synchronous_fork_is_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
