/*
 * Runs from start to end: the real fold, the real functions, a store in memory, a fake
 * sandbox, a scripted model.
 */
#include "work_loop_fixture.h"

static void
fails_is_told_and_repairs(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("First try.", "err Traceback: name 'helo'\nexit 1\n")},
	    {.text = PROG("The name was wrong.", "out hello\nwrite made.txt data\n")},
	};
	const struct az_json *c;
	const char *p;

	(void)state;
	start(a, 2, REQ(CHECK_HELLO));
	c = rig_run(&R);
	assert_true(status_is(c, "succeeded"));
	assert_int_equal(az_json_geti(c, "best_iteration", 0), 2);
	assert_int_equal(R.llm->calls, 2);
	/* the first prompt has the task and the check, the second the failure and the code */
	p = fake_llm_seen(R.llm, 0);
	assert_true(says(p, "print hello") && says(p, "stdout_equals"));
	assert_false(says(p, "What attempt"));
	p = fake_llm_seen(R.llm, 1);
	assert_true(says(p, "Traceback: name 'helo'"));
	assert_true(says(p, "exit code 1"));
	assert_true(says(p, "### FILE: main.py"));
	assert_true(says(p, "- 1: First try. -> 0 of 2 checks passed"));
	/* what people can read afterwards */
	assert_true(says(rig_object(&R, 1, "stderr"), "Traceback"));
	assert_string_equal(rig_object(&R, 2, "stdout"), "hello\n");
	assert_true(says(rig_object(&R, 1, "verdict"), "\"passed\":false"));
	assert_string_equal(rig_final(&R, "made.txt"), "data");
	assert_true(says(rig_final(&R, "main.py"), "out hello"));
	assert_null(rig_final(&R, ".azlon"));
	/* one sandbox all along, killed at the end */
	assert_int_equal(R.box->serial, 1);
	assert_int_equal(R.box->kills, 1);
	assert_true(R.beats > 0);
}

static void
hopeless_is_exhausted(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out a\n")},
	    {.text = PROG("2", "out b\n")},
	    {.text = PROG("3", "out c\n")},
	    {.text = PROG("4", "out d\n")},
	    {.text = PROG("5", "out e\n")},
	};
	const struct az_json *c;

	(void)state;
	start(a, 5, REQ(CHECK_HELLO));
	c = rig_run(&R);
	assert_true(status_is(c, "failed") && reason_is(c, "iterations_exhausted"));
	for (int i = 1; i <= 5; i++) {
		assert_true(says(rig_object(&R, i, "verdict"), "expected"));
		assert_true(says(rig_object(&R, i, "manifest"), "main.py"));
		assert_true(says(rig_object(&R, i, "reply"), "### FILE"));
		assert_true(says(rig_object(&R, i, "prompt"), "[system]"));
	}
	assert_int_equal(tiny_count(&R.t, AZ_EV_FN_SCHEDULED, AZ_FN_VALIDATE), 5);
}

static void
build_failures_are_the_codes_fault(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "x\n### FILE: main.py\n~~~~~\nout hello\n~~~~~\n### FILE: Dockerfile\n~~~~~\n"
		     "FROM python:3 AS b\nFROM python:3\nCMD [\"python3\",\"main.py\"]\n~~~~~\n### "
		     "END\n"},
	    {.text = "x\n### FILE: Dockerfile\n~~~~~\nFROM cobol:1\nCMD [\"x\"]\n~~~~~\n### END\n"},
	    {.text = PROG("ok", "out hello\n")},
	};

	(void)state;
	start(a, 3, REQ(CHECK_HELLO));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(fake_llm_seen(R.llm, 1), "The build failed"));
	assert_true(says(fake_llm_seen(R.llm, 2), "The build failed"));
	assert_int_equal(R.retries, 0);
}

static void
endings_are_told_in_words(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out hello\nhang\n")},
	    {.text = PROG("2", "out hello\noom\n")},
	    {.text = PROG("3", "out hello\n")},
	};

	(void)state;
	start(a, 3, REQ(CHECK_HELLO));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(fake_llm_seen(R.llm, 1), "still running after 300 s"));
	assert_true(says(fake_llm_seen(R.llm, 2), "out of memory"));
}

static void
flood_is_cut_and_flagged(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "flood 70\n")},
	    {.text = PROG("2", "out hello\n")},
	};

	(void)state;
	start(a, 2, REQ(CHECK_HELLO));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_int_equal(strlen(rig_object(&R, 1, "stdout")), AZ_LIM_LOG_BYTES);
	assert_true(says(rig_object(&R, 1, "run"), "\"cut\":true"));
	assert_true(strlen(fake_llm_seen(R.llm, 1)) < 64 * 1024);
}

static void
prose_is_judged_with_evidence(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out good   morning\n")},
	    {.text =
		    "{\"result\":true,\"reason\":\"it greets\",\"plan\":null,\"suspectedFiles\":[],"
		    "\"unsuspectedFiles\":[],\"evidence\":\"good evening\"}"},
	    {.text = PROG("2", "out good   morning\nout !\n")},
	    {.text = "```json\n{\"result\":true,\"reason\":\"it greets\",\"evidence\":\"good "
		     "morning\"}\n```"},
	};
	const struct az_json *c;
	static const char in[] =
	    "{\"v\":1,\"request\":{\"user_prompt\":\"greet\",\"test_conditions\":"
	    "\"It greets the reader.\",\"model\":\"m\",\"limits\":{\"iterations\":3}}}";

	(void)state;
	start(a, 4, in);
	c = rig_run(&R);
	assert_true(status_is(c, "succeeded"));
	assert_int_equal(az_json_geti(c, "best_iteration", 0), 2);
	assert_true(says(rig_object(&R, 1, "verdict"), "unverified"));
	assert_true(says(rig_object(&R, 1, "verdict"), "quote does not occur"));
	assert_true(says(fake_llm_seen(R.llm, 1), "It greets the reader."));
	assert_true(R.llm->schema[1] && !R.llm->schema[0]);
	assert_true(R.llm->temperature[1] < 0.01);
	/* judge's tokens count */
	assert_int_equal(az_json_geti(rig_result(&R, AZ_FN_VALIDATE, 1), "tokens_in", 0), 100);
}

static void
judge_is_not_asked_after_a_failed_check(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out bye\n")},
	    {.text = PROG("2", "out hello\n")},
	    {.text = "{\"result\":false,\"reason\":\"not polite\",\"evidence\":null}"},
	    {.text = PROG("3", "out hello\nerr x\n")},
	    {.text = "I think it is fine."},
	    {.text = "Yes, true!"},
	};
	static const char in[] =
	    "{\"v\":1,\"request\":{\"user_prompt\":\"greet\",\"test_conditions\":"
	    "\"polite\",\"model\":\"m\",\"limits\":{\"iterations\":3}" CHECK_HELLO "}}";
	const struct az_json *c;

	(void)state;
	start(a, 6, in);
	c = rig_run(&R);
	/* a verdict is never guessed from prose */
	assert_true(status_is(c, "failed") && reason_is(c, "iterations_exhausted"));
	assert_int_equal(R.llm->calls, 6);
	assert_true(says(fake_llm_seen(R.llm, 3), "not polite"));
	assert_true(says(rig_object(&R, 3, "verdict"), "gave no verdict"));
}

static void
hidden_checks_stay_hidden(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out bye\n")},
	    {.text = PROG("2", "out SECRETWORD\n")},
	};

	(void)state;
	start(a, 2,
	    REQ(",\"checks\":[{\"id\":\"h1\",\"hidden\":true,\"run\":\"python3 main.py\","
		"\"expect\":{\"stdout_contains\":\"SECRETWORD\"}}]"));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_false(says(fake_llm_seen(R.llm, 0), "SECRETWORD"));
	assert_false(says(fake_llm_seen(R.llm, 1), "SECRETWORD"));
	assert_true(says(fake_llm_seen(R.llm, 1), "h1: failed (a hidden check)"));
}

/* As a foreign client's prompt that was marked sensitive, and is a number when opened. */
static void
a_prompt_that_opens_to_no_text_ends_the_run(void **state)
{
	const struct az_json *c;

	(void)state;
	start(NULL, 0, "{\"user_prompt\":{\"__restack_sensitive__\":7}}");
	c = rig_run(&R);
	assert_true(status_is(c, "failed") && reason_is(c, "bad_input"));
	assert_int_equal(R.llm->calls, 0);
}

static void
outages_are_waited_for_and_never_shown(void **state)
{
	static const struct fake_answer a[] = {
	    {.fail = AZ_EUNAVAIL},
	    {.text = PROG("1", "out bye\n")},
	    {.fail = AZ_ETIMEOUT},
	    {.text = PROG("2", "out hello\n")},
	};
	const struct az_json *c;

	(void)state;
	start(a, 4, REQ(CHECK_HELLO));
	c = rig_run(&R);
	assert_true(status_is(c, "succeeded"));
	assert_int_equal(R.retries, 2);
	assert_int_equal(az_json_geti(c, "iterations", 0), 2);
	assert_false(says(fake_llm_seen(R.llm, 3), "the model failed"));
}

static void
down_then_up(struct rig *r, const struct az_event *fn, int attempt)
{
	if (!az_str_eqc(fn->name, AZ_FN_RUN) && !az_str_eqc(fn->name, AZ_FN_VALIDATE))
		return;
	if (attempt == 1)
		fake_die(r->box); /* the sandbox is lost before each step */
	r->box->down = attempt <= 2 ? AZ_EUNAVAIL : AZ_OK;
}

static void
a_lost_sandbox_is_rebuilt_from_the_store(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out hello\nwrite made.txt data\n")},
	};

	(void)state;
	start(a, 1,
	    REQ(",\"checks\":[{\"id\":\"c1\",\"run\":\"cat made.txt\",\"expect\":"
		"{\"stdout_equals\":\"data\"}}]"));
	R.before = down_then_up;
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_int_equal(R.retries, 4);
	assert_int_equal(R.box->serial, 2);
	assert_int_equal(R.llm->calls, 1);
}

static void
terminal_failures_end_with_their_reason(void **state)
{
	static const struct {
		enum az_code code;
		const char *reason, *mapped;
	} cases[] = {
	    {AZ_ECONFLICT, "no_recording", "llm_not_configured"},
	    {AZ_ECONFLICT, "llm_not_configured", "llm_not_configured"},
	    {AZ_EPERM, "llm_unavailable", "llm_unavailable"},
	    {AZ_EUNPROC, "bad_model_output", "bad_model_output"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_answer a = {.fail = cases[i].code, .reason = cases[i].reason};
		const struct az_json *c;

		start(&a, 1, REQ(CHECK_HELLO));
		c = rig_run(&R);
		assert_true(status_is(c, "failed") && reason_is(c, cases[i].mapped));
		assert_int_equal(tiny_closed(&R.t)->type, AZ_EV_FAILED);
		if (i + 1 < sizeof(cases) / sizeof(cases[0]))
			rig_close(&R);
	}
}

static void
cancel_kills_the_sandbox_and_keeps_the_files(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "out bye\n")}};
	const struct az_json *c;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	start(a, 1, REQ(CHECK_HELLO));
	for (int i = 0; i < 2; i++) { /* generate and run are done */
		assert_true(tiny_fold(&R.t, &err) >= 0);
		rig_step(&R);
	}
	assert_true(tiny_fold(&R.t, &err) > 0);
	tiny_add(&R.t, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{\"mode\":\"now\"}"));
	assert_true(tiny_fold(&R.t, &err) > 0);
	R.cancelled = true;
	assert_int_equal(rig_step(&R), AZ_ECANCELLED);
	R.cancelled = false;
	c = rig_run(&R);
	assert_true(status_is(c, "cancelled") && reason_is(c, "user_cancelled"));
	assert_false(R.box->alive);
	assert_string_equal(rig_final(&R, "main.py"), "out bye\n");
}

/* The engine dropped the first function before it ran: nothing is in the store. */
static void
cancel_before_anything_ran(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	start(NULL, 0, REQ(CHECK_HELLO));
	assert_true(tiny_fold(&R.t, &err) > 0);
	tiny_add(&R.t, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	assert_true(tiny_fold(&R.t, &err) > 0);
	tiny_add(&R.t, AZ_EV_FN_CANCELED, tiny_pending(&R.t)->id, NULL, AZ_S(""));
	assert_true(status_is(rig_run(&R), "cancelled"));
	assert_int_equal(R.retries, 0);
}

static void
network_is_off_for_programs(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "out hello\n")}};

	(void)state;
	start(a, 1, REQ(CHECK_HELLO));
	rig_run(&R);
	assert_false(R.box->internet);
	rig_close(&R);
	start(a, 1, REQ(CHECK_HELLO ",\"network\":{\"default\":\"allow\"}"));
	rig_run(&R);
	assert_true(R.box->internet);
}

static void
own_prompt_replaces_the_text(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "out hello\n")}};

	(void)state;
	start(a, 1, REQ(CHECK_HELLO));
	assert_int_equal(
	    az_store_put(R.store, &R.bkt, AZ_S("prompts/generate"), AZ_S("MY OWN RULES"), NULL),
	    AZ_OK);
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(fake_llm_seen(R.llm, 0), "[system]\nMY OWN RULES\n[user]"));
	assert_true(az_work_default_prompt("generate").n > 200);
	assert_true(az_work_default_prompt("validate").n > 200);
	assert_int_equal(az_work_default_prompt("other").n, 0);
}

static void
the_same_run_asks_the_same_questions(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "err x\nexit 1\n")},
	    {.text = PROG("2", "hang\n")},
	    {.text = PROG("3", "out hello\nwrite b.csv 1,2\nwrite a.svg <svg>\n")},
	    {.text = "{\"result\":true,\"reason\":\"r\",\"evidence\":\"hello\"}"},
	};
	static const char in[] =
	    "{\"v\":1,\"request\":{\"user_prompt\":\"greet\",\"test_conditions\":"
	    "\"polite\",\"model\":\"m\",\"inputs\":[\"default\"],\"limits\":{\"iterations\":"
	    "4}" CHECK_HELLO "}}";
	char *first[4];

	(void)state;
	for (int round = 0; round < 2; round++) {
		if (round)
			rig_close(&R);
		start(a, 4, in);
		R.box->clock_ms = round * 777777;
		rig_input(&R, "default", "z.csv", "a,b\n1,2\n");
		rig_input(&R, "default", "notes.md", "hi\n");
		assert_true(status_is(rig_run(&R), "succeeded"));
		assert_int_equal(R.llm->calls, 4);
		for (int i = 0; i < 4; i++) {
			if (round == 0) {
				first[i] = strdup(fake_llm_seen(R.llm, i));
			} else {
				assert_string_equal(first[i], fake_llm_seen(R.llm, i));
				free(first[i]);
			}
		}
	}
}

static enum az_code
serve(struct fake_sandbox *s, const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err)
{
	(void)s;
	(void)err;
	if (strcmp(c->argv[0], "bash") == 0) {
		assert_string_equal(c->argv[4], "8080");
		assert_string_equal(c->argv[5], "/hi?x=1");
		assert_true(fake_argv_has(c, "main.py"));
		fake_print(c, 1, "HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello there");
	} else {
		r->end = AZ_END_TIMEOUT;
	}
	return AZ_OK;
}

static void
a_server_is_asked_over_loopback(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "serve\n")}};

	(void)state;
	start(a, 1,
	    REQ(",\"checks\":[{\"id\":\"c1\",\"http\":{\"port\":8080,\"path\":\"/hi?x=1\","
		"\"status\":200,\"contains\":\"hello\"}}]"));
	R.box->exec = serve;
	assert_true(status_is(rig_run(&R), "succeeded"));
}

static void
every_prefix_of_a_real_run_folds(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out bye\n")},
	    {.text = PROG("2", "out hello\n")},
	};

	(void)state;
	start(a, 2, REQ(CHECK_HELLO));
	rig_run(&R);
	for (size_t n = 1; n <= R.t.n; n++) {
		struct az_arena *s = az_arena_new(AZ_MIB(64));
		struct az_err err = AZ_ERR_INIT;
		struct az_cmds c;

		if (tiny_fold_prefix(&R.t, n, s, &c, &err) != AZ_OK)
			fail_msg("prefix %zu: %s", n, err.text);
		az_arena_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_teardown(f, teardown)
	    T_(fails_is_told_and_repairs),
	    T_(hopeless_is_exhausted),
	    T_(build_failures_are_the_codes_fault),
	    T_(endings_are_told_in_words),
	    T_(flood_is_cut_and_flagged),
	    T_(prose_is_judged_with_evidence),
	    T_(judge_is_not_asked_after_a_failed_check),
	    T_(hidden_checks_stay_hidden),
	    T_(a_prompt_that_opens_to_no_text_ends_the_run),
	    T_(outages_are_waited_for_and_never_shown),
	    T_(a_lost_sandbox_is_rebuilt_from_the_store),
	    T_(terminal_failures_end_with_their_reason),
	    T_(cancel_kills_the_sandbox_and_keeps_the_files),
	    T_(cancel_before_anything_ran),
	    T_(network_is_off_for_programs),
	    T_(own_prompt_replaces_the_text),
	    T_(the_same_run_asks_the_same_questions),
	    T_(a_server_is_asked_over_loopback),
	    T_(every_prefix_of_a_real_run_folds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
