/* AutonomousCodingWorkflow and people: gates, replies by hand, pauses, raised limits. */
#include <stdio.h>
#include "flow_coding_fixture.h"

#define ASKING(how)                                                                                \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"p\",\"test_conditions\":\"t\"," \
	"\"model\":\"m\",\"hitl\":\"" how "\",\"limits\":{" L3 "}}}"
#define BY_HAND "{\"v\":1,\"awaiting\":\"reply\",\"sandbox_ms\":0}"
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WEEK_MS (INT64_C(7) * 24 * 3600 * 1000)

static struct az_flow_view
view(void)
{
	struct az_history h = tiny_history(&T);
	struct az_err err = AZ_ERR_INIT;
	struct az_flow_view v;

	if (az_flow_view(&h, T.a, &v, &err) != AZ_OK)
		fail_msg("view: %s", err.text);
	return v;
}

/* Fold; the commands are only what is said here. */
static void
expect_commands(int n)
{
	struct az_err err = AZ_ERR_INIT;
	int got = tiny_fold(&T, &err);

	if (got != n)
		fail_msg("%d commands, wanted %d: %s", got, n, err.text);
}

static void
expect_waiting(const char *status, const char *needs)
{
	struct az_flow_view v;

	expect_commands(0);
	v = view();
	assert_string_equal(v.status, status);
	if (needs)
		assert_string_equal(v.needs, needs);
	else
		assert_null(v.needs);
}

static void
tell(const char *name, const char *payload)
{
	tiny_add(&T, AZ_EV_SIGNALED, 0, name, az_str_c(payload));
}

/* The last public event of a type, as JSON; the number of all of that type. */
struct found {
	const char *type;
	const struct az_json *last;
	int n;
};

static bool
look(void *arg, const struct az_flow_event *e)
{
	struct found *f = arg;

	if (az_str_eqc(e->type, f->type)) {
		f->n++;
		f->last = json(az_arena_str(T.a, e->data));
	}
	return true;
}

static struct found
events(const char *type)
{
	struct found f = {.type = type};
	struct az_history h = tiny_history(&T);
	struct az_err err = AZ_ERR_INIT;

	if (az_flow_events(&h, 0, T.a, look, &f, &err) != AZ_OK)
		fail_msg("events: %s", err.text);
	return f;
}

static void
each_attempt_waits_for_an_approval(void **state)
{
	struct found f;

	(void)state;
	begin(ASKING("each"));
	for (int n = 1; n <= 2; n++) {
		done(AZ_FN_GENERATE, GEN);
		expect_waiting("awaiting_input", "approve");
		assert_string_equal(view().needs_step, AZ_FN_RUN);
		f = events("input.needed");
		assert_int_equal(f.n, n);
		assert_true(az_str_eqc(az_json_gets(f.last, "kind"), "approve"));
		assert_int_equal(az_json_geti(f.last, "iteration", 0), n);
		tell("approve", n == 1 ? "{\"signal_id\":\"s1\"}" : "{\"signal_id\":\"s2\"}");
		f = events("run.status");
		assert_true(az_str_eqc(az_json_gets(f.last, "status"), "running"));
		assert_true(
		    az_str_eqc(az_json_gets(az_json_get(f.last, "signal"), "type"), "approve"));
		done(AZ_FN_RUN, RAN);
		done(AZ_FN_VALIDATE, n == 1 ? MISS("1", "a", "t1") : PASS);
	}
	done(AZ_FN_FINALIZE, FINAL("2"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	check_prefixes();
}

static void
a_plan_is_approved_once(void **state)
{
	(void)state;
	begin(ASKING("plan"));
	done(AZ_FN_GENERATE, GEN);
	expect_waiting("awaiting_input", "approve");
	tell("approve", "{\"text\":\"mind the header\"}");
	done(AZ_FN_RUN, RAN);
	done(AZ_FN_VALIDATE, MISS("1", "a", "t1"));
	/* what was said with it reaches the model */
	assert_int_equal(
	    az_json_len(az_json_get(json(expect_fn(AZ_FN_GENERATE)->payload), "messages")), 1);
	done(AZ_FN_GENERATE, GEN);
	expect_fn(AZ_FN_RUN);
}

static void
a_refused_attempt_is_not_run_and_the_next_begins_with_it(void **state)
{
	const struct az_json *in, *m;

	(void)state;
	begin(ASKING("plan"));
	done(AZ_FN_GENERATE, GEN);
	expect_waiting("awaiting_input", "approve");
	tell("reject", "{\"text\":\"use argparse\"}");
	in = json(expect_fn(AZ_FN_GENERATE)->payload);
	assert_int_equal(az_json_geti(in, "iteration", 0), 2);
	assert_int_equal(az_json_geti(in, "base", 0), 1);
	assert_int_equal(az_json_geti(in, "previous", -1), 0);
	m = az_json_at(az_json_get(in, "messages"), 0);
	assert_true(az_str_eqc(az_json_gets(m, "kind"), "reject"));
	assert_true(az_str_eqc(az_json_gets(m, "text"), "use argparse"));
	assert_int_equal(az_json_geti(m, "iteration", 0), 1);
	/* refusals use up attempts */
	done(AZ_FN_GENERATE, GEN);
	expect_waiting("awaiting_input", "approve");
	tell("reject", "");
	done(AZ_FN_GENERATE, GEN);
	tell("reject", "{}");
	done(AZ_FN_FINALIZE, FINAL("3"));
	expect_close(AZ_EV_COMPLETED, "failed", "iterations_exhausted");
	check_prefixes();
}

static void
replies_by_hand_take_the_place_of_a_model(void **state)
{
	const struct az_json *in;

	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, BY_HAND);
	expect_waiting("awaiting_input", "reply");
	assert_string_equal(view().needs_step, AZ_FN_GENERATE);
	assert_int_equal(events("input.needed").n, 1);
	tell("reply", "{\"reply\":\"" SHA "\"}");
	in = json(expect_fn(AZ_FN_GENERATE)->payload);
	assert_int_equal(az_json_geti(in, "iteration", 0), 1);
	assert_int_equal(az_json_len(az_json_get(in, "replies")), 1);
	/* it could not be read: another one, beside the first */
	done(AZ_FN_GENERATE, BY_HAND);
	tell("reply", "{\"reply\":\"" SHA "\"}");
	in = json(expect_fn(AZ_FN_GENERATE)->payload);
	assert_int_equal(az_json_len(az_json_get(in, "replies")), 2);
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	/* those were for that function alone; the judge asks anew */
	assert_null(az_json_get(json(expect_fn(AZ_FN_VALIDATE)->payload), "replies"));
	done(AZ_FN_VALIDATE, BY_HAND);
	assert_string_equal(view().needs_step, AZ_FN_VALIDATE);
	tell("reply", "{\"reply\":\"" SHA "\"}");
	done(AZ_FN_VALIDATE, PASS);
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	assert_int_equal(events("iteration.start").n, 1);
	check_prefixes();
}

static void
what_nobody_waits_for_changes_nothing(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	for (int i = 0; i < 3; i++) {
		static const char *const odd[] = {"", "not json", "[1]"};

		tell("approve", odd[i]);
		tell("reject", odd[i]);
		tell("reply", odd[i]);
		tell("message", odd[i]);
		tell("resume", odd[i]);
		tell("set_limits", odd[i]);
		tell("azlon.other", odd[i]);
	}
	expect_commands(0);
	assert_string_equal(view().status, "running");
	assert_int_equal(events("run.status").n, 2); /* queued, running */
	done(AZ_FN_GENERATE, BY_HAND);
	tell("reply", "{\"reply\":\"../../x\"}");
	tell("reply", "{\"reply\":7}");
	expect_waiting("awaiting_input", "reply");
}

static void
a_pause_lets_the_function_end_and_holds_the_next(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	tell("pause", "{\"signal_id\":\"p1\"}");
	expect_waiting("paused", NULL);
	done(AZ_FN_GENERATE, GEN);
	expect_waiting("paused", NULL);
	/* the same act again, and one that is the state already, tell nothing */
	tell("pause", "{\"signal_id\":\"p1\"}");
	tell("pause", "{\"signal_id\":\"p2\"}");
	assert_int_equal(events("run.status").n, 3);
	tell("resume", "{\"signal_id\":\"r1\"}");
	expect_fn(AZ_FN_RUN);
	tell("pause", "{\"signal_id\":\"p1\"}"); /* done before: a late repetition */
	done(AZ_FN_RUN, RAN);
	expect_fn(AZ_FN_VALIDATE);
}

static void
cancel_ends_a_run_that_waits(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(i ? ASKING("off") : ASKING("each"));
		expect_fn(AZ_FN_GENERATE);
		if (i)
			tell("pause", "{}");
		done(AZ_FN_GENERATE, GEN);
		tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
		done(AZ_FN_FINALIZE, FINAL("1"));
		tell("resume", "{}"); /* too late */
		expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
		check_prefixes();
		tiny_release(&T);
	}
}

/* The timer that was started last. */
static const struct az_event *
last_timer(void)
{
	const struct az_event *e = NULL;

	for (size_t i = 0; i < T.n; i++)
		if (T.ev[i].type == AZ_EV_TIMER_STARTED)
			e = &T.ev[i];
	return e;
}

static int64_t
delay_of(const struct az_event *timer)
{
	int64_t ms = -1;

	assert_true(az_str_to_i64(timer->payload, 0, INT64_MAX, &ms));
	return ms;
}

static void
waiting_for_people_is_not_the_runs_time(void **state)
{
	int64_t wall;

	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	wall = last_timer()->id;
	tell("pause", "{}");
	expect_waiting("paused", NULL);
	/* the run's own time would be up, but it was paused for most of it */
	T.t_ms += 100 * 1000;
	tiny_add(&T, AZ_EV_TIMER_FIRED, wall, NULL, AZ_S(""));
	expect_commands(1);
	assert_true(last_timer()->id != wall);
	assert_true(delay_of(last_timer()) > WEEK_MS - 200 * 1000);
	T.t_ms += 3600 * 1000;
	tell("resume", "{}");
	/* the rest of the 100 s, and the function */
	expect_commands(2);
	assert_in_range(delay_of(last_timer()), 99 * 1000, 100 * 1000);
	T.t_ms += 100 * 1000;
	tiny_add(&T, AZ_EV_TIMER_FIRED, last_timer()->id, NULL, AZ_S(""));
	expect_commands(1);
	tiny_add(&T, AZ_EV_FN_CANCELED, tiny_pending(&T)->id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "timed_out", "budget_exhausted");
}

static void
nobody_is_waited_for_longer_than_a_week(void **state)
{
	(void)state;
	begin(ASKING("each"));
	done(AZ_FN_GENERATE, GEN);
	expect_waiting("awaiting_input", "approve");
	T.t_ms += 100 * 1000;
	tiny_add(&T, AZ_EV_TIMER_FIRED, last_timer()->id, NULL, AZ_S(""));
	expect_commands(1);
	T.t_ms += WEEK_MS;
	tiny_add(&T, AZ_EV_TIMER_FIRED, last_timer()->id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "timed_out", "budget_exhausted");
	assert_non_null(strstr(az_arena_cstr(T.a, view().message), "seven days"));
}

static void
limits_can_be_raised_under_way(void **state)
{
	int64_t wall;

	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	wall = last_timer()->id;
	tell("set_limits", "{\"limits\":{\"iterations\":5,\"wall_s\":300,\"tokens\":10}}");
	assert_true(az_str_eqc(
	    view().limits, "{\"iterations\":5,\"tokens\":1000,\"wall_s\":300,\"sandbox_s\":60}"));
	assert_int_equal(view().max_iterations, 5);
	/* the old timer means only that another is wanted */
	T.t_ms += 100 * 1000;
	tiny_add(&T, AZ_EV_TIMER_FIRED, wall, NULL, AZ_S(""));
	expect_commands(1);
	assert_in_range(delay_of(last_timer()), 199 * 1000, 200 * 1000);
	for (int i = 0; i < 4; i++)
		round_of(i < 2 ? MISS("1", "a", "t1") : MISS("2", "b", "t2"));
	expect_fn(AZ_FN_GENERATE);
	tell("set_limits", "{\"limits\":{\"iterations\":1000000}}");
	assert_int_equal(view().max_iterations, 100);
}

static void
messages_reach_every_later_attempt(void **state)
{
	const struct az_json *m;

	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	for (int i = 0; i < 25; i++) {
		char text[64];

		snprintf(text, sizeof text, "{\"text\":\"note %d\"}", i);
		tell("message", text);
	}
	round_of(MISS("1", "a", "t1"));
	m = az_json_get(json(expect_fn(AZ_FN_GENERATE)->payload), "messages");
	/* the latest ones, oldest first */
	assert_int_equal(az_json_len(m), 20);
	assert_true(az_str_eqc(az_json_gets(az_json_at(m, 0), "text"), "note 5"));
	assert_true(az_str_eqc(az_json_gets(az_json_at(m, 19), "text"), "note 24"));
	round_of(MISS("1", "b", "t2"));
	m = az_json_get(json(expect_fn(AZ_FN_GENERATE)->payload), "messages");
	assert_int_equal(az_json_len(m), 20);
	check_prefixes();
}

/* A function's input is one payload, however long what people say is when it is escaped. */
static void
what_people_say_leaves_room_for_the_rest(void **state)
{
	static char big[260 * 1024], text[2450 * 6 + 100];
	static const int prompt_kib[] = {0, 200, 255};
	static const size_t most[] = {17, 3, 0};

	(void)state;
	for (int k = 0; k < 3; k++) {
		const struct az_event *p;
		const struct az_json *m;
		size_t n = (size_t)snprintf(big, sizeof big,
		    "{\"v\":1,\"uid\":\"alice\",\"request\":{\"test_conditions\":\"t\","
		    "\"model\":\"m\",\"user_prompt\":\"");

		memset(big + n, 'p', (size_t)prompt_kib[k] * 1024);
		snprintf(big + n + (size_t)prompt_kib[k] * 1024, 10, "\"}}");
		begin(big);
		if (k == 0)
			expect_fn(AZ_FN_GENERATE);
		for (int i = 0; i < 20; i++) {
			n = (size_t)snprintf(text, sizeof text, "{\"text\":\"%02d", i);
			for (int c = 0; c < 2450; c++, n += 6)
				memcpy(text + n, "\\u0001", 6);
			snprintf(text + n, sizeof text - n, "\"}");
			tell("message", text);
		}
		if (k == 0)
			round_of(MISS("1", "a", "t1"));
		p = expect_fn(AZ_FN_GENERATE);
		assert_true(p->payload.n <= AZ_LIM_PAYLOAD_BYTES);
		m = az_json_get(json(p->payload), "messages");
		assert_int_equal(az_json_len(m), most[k]);
		for (size_t i = 0; i < most[k]; i++) {
			char start[3];

			snprintf(start, sizeof start, "%02d", (int)(20 - most[k] + i));
			assert_true(
			    az_str_starts(az_json_gets(az_json_at(m, i), "text"), az_str_c(start)));
		}
		tiny_release(&T);
	}
}

static void
a_flood_of_signals_costs_a_bounded_amount(void **state)
{
	char id[64];

	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	for (int i = 0; i < 1500; i++) {
		/* who asks before he sends is told so well before nobody hears */
		if (i == 899 || i == 900)
			assert_int_equal(view().deaf, i == 900);
		snprintf(id, sizeof id, "{\"signal_id\":\"s%d\"}", i);
		tell(i % 2 ? "resume" : "pause", id);
	}
	/* those after the thousandth are not heard: 1000 told, beside queued and running */
	assert_int_equal(events("run.status").n, 1002);
	done(AZ_FN_GENERATE, GEN);
	expect_fn(AZ_FN_RUN);
}

static void
a_signal_repeated_without_end_counts_too(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	for (int i = 0; i < 900; i++)
		tell("message", "{\"signal_id\":\"s\",\"text\":\"t\"}");
	assert_int_equal(events("run.status").n, 3); /* queued, running, told once */
	assert_true(view().deaf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(each_attempt_waits_for_an_approval, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_plan_is_approved_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_refused_attempt_is_not_run_and_the_next_begins_with_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		replies_by_hand_take_the_place_of_a_model, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_nobody_waits_for_changes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_pause_lets_the_function_end_and_holds_the_next, setup, teardown),
	    cmocka_unit_test_setup_teardown(cancel_ends_a_run_that_waits, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		waiting_for_people_is_not_the_runs_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		nobody_is_waited_for_longer_than_a_week, setup, teardown),
	    cmocka_unit_test_setup_teardown(limits_can_be_raised_under_way, setup, teardown),
	    cmocka_unit_test_setup_teardown(messages_reach_every_later_attempt, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_people_say_leaves_room_for_the_rest, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_flood_of_signals_costs_a_bounded_amount, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_signal_repeated_without_end_counts_too, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
