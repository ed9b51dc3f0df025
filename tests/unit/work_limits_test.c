/*
 * What a run may take and what it leaves: its sandbox time over all commands, the sandbox
 * at its end, files changed unseen.
 */
#include "work_rig.h"

#define REQ(limits, more)                                                                          \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"print hello\","                 \
	"\"test_conditions\":\"\",\"model\":\"recording/x\",\"limits\":{" limits "}" more "}}"
#define CHECK(cmd)                                                                                 \
	",\"checks\":[{\"id\":\"c1\",\"run\":\"" cmd "\",\"expect\":{\"exit\":0}},"                \
	"{\"id\":\"c2\",\"run\":\"true\"}]"
#define DOCKER(run)                                                                                \
	"### FILE: Dockerfile\n~~~~~\nFROM python:3\nWORKDIR /app\nCOPY . .\n" run                 \
	"CMD [\"python3\", \"main.py\"]\n~~~~~\n"
#define PROG(run, body) "1\n### FILE: main.py\n~~~~~\n" body "~~~~~\n" DOCKER(run) "### END\n"

static struct rig R;
static int longest_s;

static enum az_code
timed(struct fake_sandbox *s, const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err)
{
	if (c->timeout_s > longest_s)
		longest_s = c->timeout_s;
	if (fake_argv_has(c, "sleep")) {
		r->end = AZ_END_TIMEOUT;
		return AZ_OK;
	}
	return rig_exec(s, c, r, err);
}

static void
start(const struct fake_answer *a, const char *input)
{
	rig_open(&R, a, 1, input);
	R.box->exec = timed;
	longest_s = 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_close(&R);
	return 0;
}

static bool
ends(const char *status, const char *reason)
{
	const struct az_json *c = rig_run(&R);

	return az_str_eqc(az_json_gets(c, "status"), status) &&
	       az_str_eqc(az_json_gets(c, "reason"), reason);
}

static const char *
check_status(const struct az_json *result, size_t i)
{
	return az_arena_cstr(
	    R.a, az_json_gets(az_json_at(az_json_get(result, "checks"), i), "status"));
}

/* No command of a run may take more than the run has, whichever it is. */
static void
the_sandbox_time_bounds_every_command(void **state)
{
	static const struct {
		struct fake_answer a;
		const char *check, *told;
	} cases[] = {
	    {{.text = PROG("", "hang\n")}, "true", "run"},
	    {{.text = PROG("RUN sleep 999\n", "out x\n")}, "true", "run"},
	    {{.text = PROG("", "out x\n")}, "sleep 999", "verdict"},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char input[2000];

		snprintf(input, sizeof(input), REQ("\"iterations\":5,\"sandbox_s\":7", CHECK("%s")),
		    cases[i].check);
		start(&cases[i].a, input);
		assert_true(ends("failed", "budget_exhausted"));
		assert_in_range(longest_s, 1, 7);
		assert_int_equal(R.llm->calls, 1);
		assert_non_null(strstr(rig_object(&R, 1, cases[i].told), "sandbox time"));
		/* what comes after the cut is not executed, and not called a failure */
		if (i != 1)
			assert_string_equal(
			    check_status(rig_result(&R, AZ_FN_VALIDATE, 1), 2), "unverified");
		if (i < 2)
			rig_close(&R);
	}
}

static void
one_iteration_does_not_hide_the_budget(void **state)
{
	static const struct fake_answer a = {.text = PROG("", "hang\n")};

	(void)state;
	start(&a, REQ("\"iterations\":1,\"sandbox_s\":7", CHECK("true")));
	assert_true(ends("failed", "budget_exhausted"));
}

static void
inputs_are_bounded_as_well(void **state)
{
	(void)state;
	start(NULL,
	    REQ("\"iterations\":5,\"sandbox_s\":7", CHECK("true") ",\"inputs\":[\"default\"]"));
	rig_input(&R, "default", "main.py", "hang\n");
	assert_true(ends("failed", "budget_exhausted"));
	assert_int_equal(R.llm->calls, 0);
}

/* A command that is slow by itself is the code's fault, as it always was. */
static void
a_limit_of_its_own_is_no_budget(void **state)
{
	static const struct fake_answer a = {.text = PROG("", "hang\n")};

	(void)state;
	start(&a, REQ("\"iterations\":1,\"sandbox_s\":1800", CHECK("true")));
	assert_true(ends("failed", "iterations_exhausted"));
	assert_non_null(strstr(rig_object(&R, 1, "run"), "still running after 300 s"));
}

static const struct az_json *
validate(const char *input)
{
	const struct az_json *j = NULL;
	struct az_err err = AZ_ERR_INIT;
	struct az_buf out;

	az_buf_init(&out, AZ_LIM_PAYLOAD_BYTES);
	assert_int_equal(
	    rig_call(&R, AZ_S(AZ_FN_VALIDATE), 99, 1, az_str_c(input), &out, &err), AZ_OK);
	assert_int_equal(
	    az_json_parse_in(R.a, az_buf_str(&out), &az_json_own_limits, &j, NULL), AZ_OK);
	az_buf_release(&out);
	return j;
}

static void
with_nothing_left_no_sandbox_is_used(void **state)
{
	static const struct fake_answer a = {.text = PROG("", "out x\n")};
	struct az_err err = AZ_ERR_INIT;
	const struct az_json *v;
	int runs;

	(void)state;
	start(&a, REQ("\"iterations\":1", CHECK("true")));
	for (int i = 0; i < 2; i++) {
		assert_true(tiny_fold(&R.t, &err) > 0);
		rig_step(&R);
	}
	runs = R.box->runs;
	v = validate("{\"v\":1,\"iteration\":1,\"tokens_left\":99,\"sandbox_s_left\":0}");
	assert_int_equal(R.box->runs, runs);
	assert_true(az_json_getb(v, "sandbox_cut", false));
	assert_false(az_json_getb(v, "passed", true));
	assert_string_equal(check_status(v, 0), "pass");
	assert_string_equal(check_status(v, 1), "unverified");
}

/* Scheduled before inputs said what is left. */
static void
an_old_input_has_no_limit(void **state)
{
	static const struct fake_answer a = {.text = PROG("", "out x\n")};
	struct az_err err = AZ_ERR_INIT;
	const struct az_json *v;

	(void)state;
	start(&a, REQ("\"iterations\":1", CHECK("true")));
	for (int i = 0; i < 2; i++) {
		assert_true(tiny_fold(&R.t, &err) > 0);
		rig_step(&R);
	}
	v = validate("{\"v\":1,\"iteration\":1,\"tokens_left\":99}");
	assert_true(az_json_getb(v, "passed", false));
	assert_null(az_json_get(v, "sandbox_cut"));
}

/* ---- the end ---- */

static void
not_copied_yet(struct fake_sandbox *s)
{
	(void)s;
	assert_null(rig_final(&R, "main.py"));
}

static void
the_sandbox_ends_before_files_are_copied(void **state)
{
	static const struct fake_answer a = {.text = PROG("", "out x\n")};

	(void)state;
	start(&a, REQ("\"iterations\":1", CHECK("true")));
	R.box->on_kill = not_copied_yet;
	rig_run(&R);
	assert_int_equal(R.box->kills, 1);
	assert_string_equal(rig_final(&R, "main.py"), "out x\n");
}

static void
away_at_the_end(struct rig *r, const struct az_event *fn, int attempt)
{
	if (!az_str_eqc(fn->name, AZ_FN_FINALIZE))
		return;
	r->box->down = attempt == 1 ? AZ_EUNAVAIL : AZ_OK;
	if (attempt == 2) /* people have their files all the same */
		assert_string_equal(rig_final(r, "main.py"), "out x\n");
}

static void
a_sandbox_that_cannot_be_ended_is_tried_again(void **state)
{
	static const struct fake_answer a = {.text = PROG("", "out x\n")};

	(void)state;
	start(&a, REQ("\"iterations\":1", CHECK("true")));
	R.before = away_at_the_end;
	rig_run(&R);
	assert_int_equal(R.retries, 1);
	assert_int_equal(R.box->kills, 1);
}

/* ---- changed unseen ---- */

static void
a_change_that_keeps_size_and_time_is_seen(void **state)
{
	static const struct fake_answer a = {
	    .text = "1\n### FILE: data.txt\n~~~~~\nabc\n~~~~~\n### FILE: main.py\n~~~~~\nstealth "
		    "data.txt xyz!\n~~~~~\n" DOCKER("") "### END\n"};

	(void)state;
	start(&a, REQ("\"iterations\":1", CHECK("true")));
	rig_run(&R);
	assert_string_equal(rig_final(&R, "data.txt"), "xyz!");
	/* and nothing else was fetched */
	assert_non_null(strstr(rig_object(&R, 1, "run"), "\"collected\":1,"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_teardown(f, teardown)
	    T_(the_sandbox_time_bounds_every_command),
	    T_(one_iteration_does_not_hide_the_budget),
	    T_(inputs_are_bounded_as_well),
	    T_(a_limit_of_its_own_is_no_budget),
	    T_(with_nothing_left_no_sandbox_is_used),
	    T_(an_old_input_has_no_limit),
	    T_(the_sandbox_ends_before_files_are_copied),
	    T_(a_sandbox_that_cannot_be_ended_is_tried_again),
	    T_(a_change_that_keeps_size_and_time_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
