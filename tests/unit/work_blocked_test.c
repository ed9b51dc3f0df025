/* Refused connections get into the records of an attempt and into the next prompt. */
#include "work_loop_fixture.h"

#define FINE                                                                                       \
	{                                                                                          \
		.text = PROG("Fine.", "out hello\n")                                               \
	}
#define TOLD "Connections that were refused: "

static const char *
prompt(int call)
{
	return fake_llm_seen(R.llm, call);
}

/* The member of a record, as text; "" when it has none. */
static const char *
member(int n, const char *name)
{
	const char *p = strstr(rig_object(&R, n, name), "\"blocked\":");

	return p ? p : "";
}

static void
they_are_recorded_and_told(void **state)
{
	/* checks run the program again: the run's share is only what it did itself */
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch pypi.org 443 network\nfetch pypi.org 443 network\n"
			       "fetch api.example 80 network\nexit 1\n")},
	    {.text = PROG("2", "fetch api.example 80 network\nexit 1\n")},
	    FINE,
	};
	const struct az_json *e;

	(void)state;
	start(a, 3, REQ(CHECK_HELLO));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(member(1, "run"),
	    "[{\"host\":\"api.example\",\"port\":80,\"count\":1,\"why\":\"network\"},"
	    "{\"host\":\"pypi.org\",\"port\":443,\"count\":2,\"why\":\"network\"}]"));
	assert_true(says(member(1, "verdict"),
	    "{\"host\":\"pypi.org\",\"port\":443,\"count\":2,\"why\":\"network\"}]"));
	/* the sandbox is the same one, its counts go on */
	assert_int_equal(R.box->serial, 1);
	assert_true(says(member(2, "run"),
	    "[{\"host\":\"api.example\",\"port\":80,\"count\":1,\"why\":\"network\"}]"));
	assert_string_equal(member(3, "run"), "");
	assert_string_equal(member(3, "verdict"), "");
	assert_false(says(prompt(0), TOLD));
	assert_true(says(prompt(1),
	    TOLD "api.example:80, pypi.org:443\n"
		 "The program has no network; only RUN lines can install packages.\n"));
	assert_true(says(prompt(2), TOLD "api.example:80\n"));
	/* and who follows the run hears of it */
	e = az_json_get(rig_result(&R, AZ_FN_RUN, 1), "events");
	e = az_json_at(e, az_json_len(e) - 1);
	assert_true(az_str_eqc(az_json_gets(e, "type"), "warning"));
	assert_true(az_str_eqc(az_json_gets(e, "code"), "connections_refused"));
	assert_true(az_str_eqc(az_json_gets(e, "message"), TOLD "api.example:80, pypi.org:443"));
	e = az_json_get(rig_result(&R, AZ_FN_RUN, 3), "events");
	assert_int_equal(az_json_len(e), 1);
}

/* The fold replays a history with and without them. */
static void
every_prefix_folds(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch pypi.org 443 network\nexit 1\n")},
	    FINE,
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

static void
a_run_goes_on_without_them(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch pypi.org 443 network\nexit 1\n")},
	    FINE,
	};
	static const enum az_code codes[] = {
	    AZ_EUNAVAIL, AZ_ENOTFOUND, AZ_EUPSTREAM, AZ_ETIMEOUT, AZ_EAUTH};

	(void)state;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		if (i)
			rig_close(&R);
		start(a, 2, REQ(CHECK_HELLO));
		R.box->blocked_fails = codes[i];
		assert_true(status_is(rig_run(&R), "succeeded"));
		assert_int_equal(R.retries, 0);
		assert_int_equal(R.box->serial, 1);
		assert_true(R.box->blocked_asked > 0);
		assert_string_equal(member(1, "run"), "");
		assert_false(says(prompt(1), TOLD));
	}
}

/* Nobody knows what an attempt did when it is not known what there was before. */
static void
fail_at_the_beginning(struct rig *r, const struct az_event *fn, int attempt)
{
	(void)attempt;
	if (az_str_eqc(fn->name, AZ_FN_RUN))
		r->box->blocked_fails = r->box->n_blocked ? AZ_EUNAVAIL : AZ_OK;
}

static void
without_a_beginning_nothing_is_told(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch pypi.org 443 network\nexit 1\n")},
	    {.text = PROG("2", "exit 1\n")},
	    FINE,
	};

	(void)state;
	start(a, 3, REQ(CHECK_HELLO));
	R.before = fail_at_the_beginning;
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(member(1, "run"), "pypi.org"));
	assert_string_equal(member(2, "run"), "");
	assert_string_equal(member(2, "verdict"), "");
	assert_false(says(prompt(2), TOLD));
}

static void
a_new_sandbox_starts_at_none(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch pypi.org 443 network\nexit 1\n")},
	    {.text = PROG("2", "fetch pypi.org 443 network\nexit 1\n")},
	    FINE,
	};

	(void)state;
	start(a, 3, REQ(CHECK_HELLO));
	while (R.llm->calls < 2) {
		assert_true(tiny_fold(&R.t, NULL) >= 0);
		rig_step(&R);
	}
	fake_die(R.box);
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_int_equal(R.box->serial, 2);
	assert_true(says(member(2, "run"), "\"port\":443,\"count\":1,"));
}

static void
a_hidden_check_gives_nothing_away(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "1\n### FILE: main.py\n~~~~~\nout a\n~~~~~\n### FILE: secret.py\n~~~~~\n"
		     "fetch secret.example 443 network\n~~~~~\n" DOCKER "### END\n"},
	    FINE,
	};

	(void)state;
	start(a, 2,
	    REQ(",\"checks\":[{\"id\":\"h1\",\"hidden\":true,\"run\":\"python3 secret.py\","
		"\"expect\":{\"stdout_equals\":\"never\"}}]"));
	rig_run(&R);
	assert_true(says(member(1, "verdict"), "secret.example"));
	assert_string_equal(member(1, "run"), "");
	assert_false(says(prompt(1), TOLD));
}

static void
the_line_is_bounded_and_odd_names_stay_out(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch h9 80 network\nfetch h8 80 network\nfetch h7 80 network\n"
			       "fetch h6 80 network\nfetch h5 80 network\nfetch h4 80 network\n"
			       "fetch h3 80 network\nfetch h2 80 network\nfetch h1 80 network\n"
			       "fetch ::1 80 network\nfetch ~~~~~ 80 network\nexit 1\n")},
	    {.text = PROG("2", "fetch <now> 80 network\nexit 1\n")},
	    FINE,
	};

	(void)state;
	start(a, 3, REQ(CHECK_HELLO));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(prompt(1),
	    TOLD "[::1]:80, h1:80, h2:80, h3:80, h4:80, h5:80, h6:80, h7:80 and 3 more\n"));
	assert_true(says(member(1, "run"), "\"h9\""));
	assert_true(says(prompt(2), TOLD "1 with odd names\n"));
}

static void
what_can_be_reached_is_said(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "fetch a.example 80 domain\nfetch 10.0.0.1 80 address\nexit 1\n")},
	    FINE,
	};
	static const struct fake_answer deny[] = {
	    {.text = PROG("1", "fetch a.example 80 network\nexit 1\n")},
	    FINE,
	};

	(void)state;
	start(a, 2,
	    REQ(CHECK_HELLO ",\"network\":{\"default\":\"install\",\"allow\":[\"b.example\"]}"));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(
	    says(prompt(1), TOLD "10.0.0.1:80, a.example:80\n"
				 "Only hosts that the request allows can be reached.\n"
				 "Only public addresses can be reached, on ports 80 and 443.\n"));
	rig_close(&R);
	start(deny, 2, REQ(CHECK_HELLO ",\"network\":{\"default\":\"deny\"}"));
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(prompt(1), "There is no network, not for RUN lines either.\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_teardown(f, teardown)
	    T_(they_are_recorded_and_told),
	    T_(every_prefix_folds),
	    T_(a_run_goes_on_without_them),
	    T_(without_a_beginning_nothing_is_told),
	    T_(a_new_sandbox_starts_at_none),
	    T_(a_hidden_check_gives_nothing_away),
	    T_(the_line_is_bounded_and_odd_names_stay_out),
	    T_(what_can_be_reached_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
