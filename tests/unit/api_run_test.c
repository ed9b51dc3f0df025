/* Status, list, cancel, removal, prompts, health. */
#include "api_tree_fixture.h"

static void
the_run_object_follows_the_run(void **state)
{
	struct az_str id = begin("alice", "");
	const struct az_json *j, *p;
	struct fcgi_resp r;

	(void)state;
	j = GET(id, "", "", &r, );
	assert_int_equal(r.status, 200);
	assert_true(az_str_eq(az_json_gets(j, "workflow_id"), id));
	assert_true(az_str_eqc(az_json_gets(j, "user_id"), "alice"));
	assert_true(az_str_eqc(az_json_gets(j, "phase"), "generate"));
	assert_int_equal(az_json_type(az_json_get(j, "result")), AZ_JNULL);
	assert_int_equal(az_json_type(az_json_get(j, "finished_at")), AZ_JNULL);
	assert_true(az_json_gets(j, "created_at").n > 0);
	assert_true(az_json_gets(az_json_get(j, "links"), "events").n > 0);
	fcgi_peer_release(&r);

	fake_complete(&fix.engine, id, FAKE_GENERATED);
	fake_beat(&fix.engine, id, "{\"phase\":\"execute\",\"iteration\":1,\"tail\":\"li\\nne\"}");
	j = GET(id, "", "", &r, );
	p = az_json_get(j, "progress");
	assert_true(az_str_eqc(az_json_gets(j, "phase"), "execute"));
	assert_true(az_str_eqc(az_json_gets(p, "tail"), "li\nne"));
	assert_int_equal(az_json_geti(p, "iteration", 0), 1);
	assert_int_equal(az_json_type(az_json_get(p, "waiting")), AZ_JNULL);
	assert_int_equal(az_json_geti(az_json_get(j, "usage"), "tokens_in", 0), 11);
	assert_true(az_str_eqc(az_json_gets(az_json_get(j, "model"), "name"), "m-1"));
	fcgi_peer_release(&r);

	/* which part is missing */
	fix.engine.run[0].last_reason = AZ_S("sandbox_unavailable");
	fix.engine.run[0].version++;
	j = GET(id, "", "", &r, );
	p = az_json_get(az_json_get(j, "progress"), "waiting");
	assert_true(az_str_eqc(az_json_gets(p, "reason"), "sandbox_unavailable"));
	fcgi_peer_release(&r);
	fix.engine.no_worker = true;
	j = GET(id, "", "", &r, );
	p = az_json_get(az_json_get(j, "progress"), "waiting");
	assert_true(az_str_eqc(az_json_gets(p, "reason"), "no_worker"));
	fcgi_peer_release(&r);
	fix.engine.no_worker = false;
	fix.engine.run[0].last_reason = AZ_S("");

	fake_complete(&fix.engine, id, FAKE_RAN);
	fake_complete(&fix.engine, id, FAKE_PASSED);
	fake_complete(&fix.engine, id, FAKE_FINAL);
	j = GET(id, "", "", &r, );
	assert_true(az_str_eqc(az_json_gets(j, "status"), "succeeded"));
	assert_int_equal(az_json_type(az_json_get(j, "phase")), AZ_JNULL);
	assert_true(az_json_getb(j, "result", false));
	assert_true(az_json_gets(j, "finished_at").n > 0);
	assert_int_equal(az_json_geti(az_json_get(j, "progress"), "percent", 0), 100);
	assert_true(
	    az_str_eqc(az_json_gets(az_json_at(az_json_get(j, "checks"), 0), "status"), "pass"));
	assert_int_equal(az_json_geti(az_json_get(j, "usage"), "sandbox_s", 0), 2);
	fcgi_peer_release(&r);
}

static void
an_unchanged_run_is_not_folded_again(void **state)
{
	struct az_str id = begin("alice", "");
	struct fcgi_resp r;
	char etag[100], inm[200];
	int folds;

	(void)state;
	GET(id, "", "", &r, );
	assert_non_null(fcgi_peer_header(&r, "ETag", etag, sizeof etag));
	fcgi_peer_release(&r);
	folds = fix.engine.histories;
	fix.engine.describes = 0;
	for (int i = 0; i < 10; i++) {
		GET(id, "", "", &r, );
		assert_int_equal(r.status, 200);
		fcgi_peer_release(&r);
	}
	assert_int_equal(fix.engine.histories, folds);
	assert_int_equal(fix.engine.describes, 10);

	snprintf(inm, sizeof inm, "HTTP_IF_NONE_MATCH=\"x\", W/%s", etag);
	GET(id, "", "", &r, inm, );
	assert_int_equal(r.status, 304);
	assert_int_equal(r.body_n, 0);
	fcgi_peer_release(&r);
	fake_beat(&fix.engine, id, "{\"phase\":\"generate\"}");
	GET(id, "", "", &r, inm, );
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
}

/* Start alice's run of the key k1, to its end; its id. */
static struct az_str
keyed_to_the_end(const char *body)
{
	static const char *const key[] = {"HTTP_IDEMPOTENCY_KEY=k1", NULL};
	struct az_str id = begin_with("alice", body, key);

	fake_succeed(&fix.engine, id);
	return id;
}

static void
an_id_that_is_used_anew_is_another_run(void **state)
{
#define BODY(prompt)                                                                               \
	"{\"user_prompt\":\"" prompt "\",\"test_conditions\":\"t\","                               \
	"\"model\":\"recording/x\",\"mode\":\"async\"}"
	struct az_str id = keyed_to_the_end(BODY("one")), first, second;
	const struct az_json *j;
	char etag[100], inm[200];
	struct fcgi_resp r;

	(void)state;
	j = GET(id, "", "", &r, );
	first = az_json_gets(j, "created_at");
	assert_non_null(fcgi_peer_header(&r, "ETag", etag, sizeof etag));
	snprintf(inm, sizeof inm, "HTTP_IF_NONE_MATCH=%s", etag);
	fcgi_peer_release(&r);
	call_x("alice", "DELETE", id, "", "", NULL, &r);
	assert_int_equal(r.status, 204);
	fcgi_peer_release(&r);

	assert_true(az_str_eq(keyed_to_the_end(BODY("two")), id));
	j = GET(id, "", "", &r, inm, );
	assert_int_equal(r.status, 200);
	second = az_json_gets(j, "created_at");
	assert_true(first.n && second.n && !az_str_eq(first, second));
	fcgi_peer_release(&r);
#undef BODY
}

static void
nobody_else_learns_of_a_run(void **state)
{
	static const struct {
		const char *method, *rest;
	} t[] = {{"GET", ""}, {"GET", "/result"}, {"GET", "/events"}, {"DELETE", ""},
	    {"POST", "/cancel"}, {"GET", "/iterations"}, {"GET", "/iterations/1"},
	    {"GET", "/iterations/1/logs/stdout"}};
	struct az_str id = begin("alice", "");
	struct fcgi_resp r, none;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		call_x("bob", t[i].method, id, t[i].rest, "", NULL, &r);
		assert_int_equal(r.status, 404);
		call_x("bob", t[i].method,
		    AZ_S("user-bob-1790000000000-abcdefghijklmnopqrstuvwxyz"), t[i].rest, "", NULL,
		    &none);
		assert_int_equal(none.status, 404);
		fcgi_peer_release(&r);
		fcgi_peer_release(&none);
	}
	/* the user of a legacy path is compared, never believed */
	call_x("alice", "GET", id, "", "legacy_user=bob", NULL, &r);
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	call_x("alice", "GET", id, "", "legacy_user=alice", NULL, &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	assert_int_equal(fix.engine.run[0].state, AZ_RUN_OPEN);
}

static void
a_forged_hand_over_is_not_found(void **state)
{
	struct az_str id = begin("alice", "");
	struct fcgi_resp r;
	char path[300];
	static const char *const bad[] = {
	    "", "owner=alice", "owner=alice&token=00", "owner=bob&token=00", "token=00"};

	(void)state;
	snprintf(path, sizeof path, "/_wait/%.*s", AZ_FMT(id));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		api_call(&fix, "alice", "GET", path, bad[i], NULL, NULL, &r);
		assert_int_equal(r.status, 404);
		fcgi_peer_release(&r);
	}
}

static void
lists_are_own_runs_newest_first(void **state)
{
	struct az_str one = begin("alice", ""), two = begin("alice", ""), three;
	const struct az_json *j = NULL, *runs;
	struct fcgi_resp r;
	char q[100];

	(void)state;
	begin("bob", "");
	three = begin("alice", "");
	fake_succeed(&fix.engine, two);
	api_call(&fix, "alice", "GET", "/run_workflow", "limit=2", NULL, NULL, &r);
	assert_int_equal(
	    az_json_parse_in(arena, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL),
	    AZ_OK);
	runs = az_json_get(j, "runs");
	assert_int_equal(az_json_len(runs), 2);
	assert_true(az_str_eq(az_json_gets(az_json_at(runs, 0), "workflow_id"), three));
	assert_true(az_str_eq(az_json_gets(az_json_at(runs, 1), "workflow_id"), two));
	assert_true(az_str_eqc(az_json_gets(az_json_at(runs, 1), "status"), "succeeded"));
	assert_true(az_json_getb(az_json_at(runs, 1), "result", false));
	snprintf(q, sizeof q, "limit=2&cursor=%.*s", AZ_FMT(az_json_gets(j, "next_cursor")));
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "GET", "/run_workflow", q, NULL, NULL, &r);
	assert_int_equal(
	    az_json_parse_in(arena, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL),
	    AZ_OK);
	runs = az_json_get(j, "runs");
	assert_int_equal(az_json_len(runs), 1);
	assert_true(az_str_eq(az_json_gets(az_json_at(runs, 0), "workflow_id"), one));
	fcgi_peer_release(&r);

	api_call(&fix, "alice", "GET", "/run_workflow", "status=succeeded", NULL, NULL, &r);
	assert_int_equal(
	    az_json_parse_in(arena, az_str_n(r.body, r.body_n), &az_json_own_limits, &j, NULL),
	    AZ_OK);
	assert_int_equal(az_json_len(az_json_get(j, "runs")), 1);
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "GET", "/run_workflow", "status=sleepy", NULL, NULL, &r);
	assert_int_equal(r.status, 400);
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "GET", "/run_workflow", "cursor=zz", NULL, NULL, &r);
	assert_int_equal(r.status, 400);
	fcgi_peer_release(&r);

	/* the original's shape */
	api_call(&fix, "alice", "GET", "/run_workflow", "view=legacy_dirs", NULL, NULL, &r);
	snprintf(q, sizeof q, "[\"%.*s\",", AZ_FMT(three));
	assert_true(az_str_starts(az_str_c(r.body), az_str_c(q)));
	fcgi_peer_release(&r);
}

static void
cancel_is_asked_once_and_removal_is_for_finished_runs(void **state)
{
	struct az_bucket b = az_bucket_of(AZ_S("alice"));
	struct az_str id = begin("alice", "");
	const struct az_json *j;
	struct fcgi_resp r;
	struct az_buf key;
	char path[300];
	struct az_obj o;

	(void)state;
	snprintf(path, sizeof path, "/run_workflow/%.*s/cancel", AZ_FMT(id));
	api_call(&fix, "alice", "POST", path, "", "{\"mode\":\"later\"}", NULL, &r);
	assert_int_equal(r.status, 422);
	fcgi_peer_release(&r);
	j = call_x("alice", "DELETE", id, "", "", NULL, &r);
	assert_int_equal(r.status, 409);
	assert_true(az_str_eqc(az_json_gets(j, "code"), "not_finished"));
	fcgi_peer_release(&r);
	for (int i = 0; i < 2; i++) {
		api_call(
		    &fix, "alice", "POST", path, "", i ? NULL : "{\"mode\":\"now\"}", NULL, &r);
		assert_int_equal(r.status, 202);
		assert_non_null(strstr(r.body, "\"status\":\"cancelling\""));
		fcgi_peer_release(&r);
	}
	fake_append(&fix.engine, &fix.engine.run[0],
	    (struct az_event){
		.type = AZ_EV_FN_CANCELED, .ref = fake_pending(&fix.engine.run[0])->id});
	fake_fold(&fix.engine, &fix.engine.run[0]);
	fake_complete(&fix.engine, id, FAKE_FINAL);
	j = GET(id, "", "", &r, );
	assert_true(az_str_eqc(az_json_gets(j, "status"), "cancelled"));
	assert_true(az_str_eqc(az_json_gets(j, "reason"), "user_cancelled"));
	assert_int_equal(az_json_getb(j, "result", true), false);
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "POST", path, "", NULL, NULL, &r);
	assert_int_equal(r.status, 409);
	fcgi_peer_release(&r);

	az_buf_init(&key, 500);
	az_key_final(&key, id, AZ_S("a.txt"));
	assert_int_equal(az_store_put(fix.api.store, &b, az_buf_str(&key), AZ_S("x"), NULL), AZ_OK);
	call_x("alice", "DELETE", id, "", "", NULL, &r);
	assert_int_equal(r.status, 204);
	fcgi_peer_release(&r);
	assert_int_equal(
	    az_store_stat(fix.api.store, &b, az_buf_str(&key), &o, NULL), AZ_ENOTFOUND);
	GET(id, "", "", &r, );
	assert_int_equal(r.status, 404);
	fcgi_peer_release(&r);
	az_buf_release(&key);
}

static void
prompts_are_per_user(void **state)
{
	struct fcgi_resp r;

	(void)state;
	api_call(&fix, "alice", "GET", "/run_workflow/prompts", "", NULL, NULL, &r);
	assert_string_equal(r.body, "{\"generate_code_prompt\":\"write code\","
				    "\"validate_output_prompt\":\"judge it\"}");
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "POST", "/run_workflow/prompts", "",
	    "{\"generate_code_prompt\":\"mine\"}", NULL, &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "{\"status\":\"updated\"}");
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "GET", "/run_workflow/prompts", "", NULL, NULL, &r);
	assert_string_equal(r.body, "{\"generate_code_prompt\":\"mine\","
				    "\"validate_output_prompt\":\"judge it\"}");
	fcgi_peer_release(&r);
	api_call(&fix, "bob", "GET", "/run_workflow/prompts", "", NULL, NULL, &r);
	assert_non_null(strstr(r.body, "write code"));
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "POST", "/run_workflow/prompts", "",
	    "{\"generate_code_prompt\":\"\"}", NULL, &r);
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "GET", "/run_workflow/prompts", "", NULL, NULL, &r);
	assert_non_null(strstr(r.body, "write code"));
	fcgi_peer_release(&r);
	api_call(&fix, "alice", "POST", "/run_workflow/prompts", "",
	    "{\"validate_output_prompt\":7}", NULL, &r);
	assert_int_equal(r.status, 422);
	fcgi_peer_release(&r);
}

static void
readiness_names_what_is_missing(void **state)
{
	struct fcgi_resp r;

	(void)state;
	api_call(&fix, NULL, "GET", "/run_workflow/health/live", "", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	api_call(&fix, NULL, "GET", "/run_workflow/health/ready", "", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	fix.engine.no_worker = true;
	api_call(&fix, NULL, "GET", "/run_workflow/health/ready", "", NULL, NULL, &r);
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body, "\"down\":[\"worker\"]"));
	fcgi_peer_release(&r);
	fix.engine.down = true;
	api_call(&fix, NULL, "GET", "/run_workflow/health/ready", "", NULL, NULL, &r);
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body, "\"engine\""));
	fcgi_peer_release(&r);
}

static void
readiness_is_asked_for_once_by_all(void **state)
{
	struct fcgi_resp r;

	(void)state;
	assert_non_null(fix.api.health = az_api_health_new());
	for (int i = 0; i < 5; i++) {
		api_call(&fix, NULL, "GET", "/run_workflow/health/ready", "", NULL, NULL, &r);
		assert_int_equal(r.status, 200);
		fcgi_peer_release(&r);
	}
	/* five requests may take longer than an answer serves, but not each */
	assert_in_range(fix.engine.pings, 1, 3);
	fix.engine.no_worker = true;
	do {
		fcgi_peer_release(&r);
		api_call(&fix, NULL, "GET", "/run_workflow/health/ready", "", NULL, NULL, &r);
	} while (r.status == 200);
	assert_int_equal(r.status, 503);
	assert_non_null(strstr(r.body, "\"down\":[\"worker\"]"));
	fcgi_peer_release(&r);
	az_api_health_free(fix.api.health);
	fix.api.health = NULL;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(the_run_object_follows_the_run),
	    T(an_unchanged_run_is_not_folded_again),
	    T(an_id_that_is_used_anew_is_another_run),
	    T(nobody_else_learns_of_a_run),
	    T(a_forged_hand_over_is_not_found),
	    T(lists_are_own_runs_newest_first),
	    T(cancel_is_asked_once_and_removal_is_for_finished_runs),
	    T(prompts_are_per_user),
	    T(readiness_names_what_is_missing),
	    T(readiness_is_asked_for_once_by_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
