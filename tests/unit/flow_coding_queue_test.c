/* flow: a run applies for a place among its user's runs before it begins, and gives it back. */
#include "flow_coding_fixture.h"

#define USER                                                                                       \
	"\"user\":{\"runs\":2,\"iterations\":9,\"tokens\":5000,\"wall_s\":900,\"sandbox_s\":0},"
#define QUEUED                                                                                     \
	"{\"v\":1,\"uid\":\"alice\"," USER                                                         \
	"\"request\":{\"user_prompt\":\"p\",\"test_conditions\":"                                  \
	"\"t\",\"model\":\"m\",\"limits\":{" L3 "}},\"warnings\":[]}"
#define GRANT(what) "{\"wid\":\"x\",\"grant\":{" what "}}"
#define JOINED "{\"v\":1}"

static void
tell(const char *signal, const char *payload)
{
	tiny_add(&T, AZ_EV_SIGNALED, 0, signal, az_str_c(payload));
}

static struct az_flow_view
view(void)
{
	struct az_history h = tiny_history(&T);
	struct az_err err = AZ_ERR_INIT;
	struct az_flow_view v;

	if (az_flow_view(&h, T.a, &v, &err))
		fail_msg("view: %s", err.text);
	return v;
}

/* Nothing is wanted but time. */
static void
expect_waits(void)
{
	struct az_err err = AZ_ERR_INIT;

	assert_true(tiny_fold(&T, &err) >= 0);
	assert_null(tiny_pending(&T));
	assert_null(tiny_closed(&T));
	assert_string_equal(view().status, "queued");
}

static const struct az_event *
timer_of(const char *ms)
{
	for (size_t i = 0; i < T.n; i++)
		if (T.ev[i].type == AZ_EV_TIMER_STARTED && az_str_eqc(T.ev[i].payload, ms))
			return &T.ev[i];
	return NULL;
}

static void
a_run_applies_waits_begins_and_settles(void **state)
{
	const struct az_event *p;
	const struct az_json *j;

	(void)state;
	begin(QUEUED);
	p = expect_fn(AZ_FN_JOIN);
	j = json(p->payload);
	assert_null(az_json_get(j, "request"));
	assert_int_equal(az_json_geti(az_json_get(j, "want"), "tokens", 0), 1000);
	assert_int_equal(az_json_geti(az_json_get(j, "want"), "wall_s", 0), 100);
	assert_int_equal(az_json_geti(az_json_get(j, "caps"), "runs", 0), 2);
	assert_false(az_json_getb(j, "hook", true));
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	assert_int_equal(view().started_ms, 0);
	assert_int_equal(view().percent, 0);
	/* waiting uses up no time of its own */
	T.t_ms += 1000 * 1000;
	tell(AZ_SIG_ADMITTED, GRANT("\"tokens\":1000"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_non_null(az_json_get(json(p->payload), "request"));
	assert_non_null(timer_of("100000"));
	assert_string_equal(view().status, "running");
	round_of(PASS);
	p = expect_fn(AZ_FN_FINALIZE);
	assert_true(az_json_getb(json(p->payload), "sandbox", false));
	j = az_json_get(json(p->payload), "leave");
	assert_int_equal(az_json_geti(az_json_get(j, "used"), "iterations", 0), 1);
	assert_int_equal(az_json_geti(az_json_get(j, "used"), "tokens", 0), 15);
	assert_int_equal(az_json_geti(az_json_get(j, "used"), "sandbox_s", 0), 2);
	assert_true(az_json_geti(az_json_get(j, "used"), "wall_s", 0) <= 2);
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	check_prefixes();
}

static void
a_place_may_come_before_the_answer(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(QUEUED);
	p = expect_fn(AZ_FN_JOIN);
	tell(AZ_SIG_ADMITTED, GRANT(""));
	assert_ptr_equal(expect_fn(AZ_FN_JOIN), p);
	done(AZ_FN_JOIN, JOINED);
	expect_fn(AZ_FN_GENERATE);
	/* told twice, or too late: it counts once */
	tell(AZ_SIG_ADMITTED, GRANT("\"tokens\":1"));
	tell(AZ_SIG_REFUSED, "{\"message\":\"no\"}");
	tell(AZ_SIG_QUEUE, "{\"position\":9}");
	round_of(MISS("1", "a", "t1"));
	expect_fn(AZ_FN_GENERATE);
	check_prefixes();
}

static void
a_grant_lowers_the_limits(void **state)
{
	(void)state;
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	tell(AZ_SIG_ADMITTED,
	    GRANT("\"iterations\":1,\"tokens\":70000,\"wall_s\":50,\"sandbox_s\":60"));
	expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(
	    view().limits, "{\"iterations\":1,\"tokens\":1000,\"wall_s\":50,\"sandbox_s\":60}"));
	assert_non_null(timer_of("50000"));
	round_of(MISS("1", "a", "t1"));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "failed", "iterations_exhausted");
}

static void
who_is_refused_ends_with_the_reason(void **state)
{
	(void)state;
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	tell(AZ_SIG_REFUSED, "{\"message\":\"The user's budget of the day is used up.\"}");
	/* it carries the request: no function did before */
	assert_non_null(az_json_get(json(expect_fn(AZ_FN_FINALIZE)->payload), "request"));
	/* and has no sandbox to end */
	assert_false(az_json_getb(json(expect_fn(AZ_FN_FINALIZE)->payload), "sandbox", true));
	done(AZ_FN_FINALIZE, FINAL("0"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	assert_true(az_str_eqc(view().message, "The user's budget of the day is used up."));
	check_prefixes();
}

static void
a_run_that_waits_is_cancelled_at_once(void **state)
{
	const struct az_json *j;

	(void)state;
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
	j = az_json_get(json(expect_fn(AZ_FN_FINALIZE)->payload), "leave");
	assert_int_equal(az_json_geti(az_json_get(j, "used"), "wall_s", -1), 0);
	/* a place that comes now is too late */
	tell(AZ_SIG_ADMITTED, GRANT(""));
	done(AZ_FN_FINALIZE, FINAL("0"));
	expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
	check_prefixes();
}

/* What the last step tells of what was used. */
static const struct az_json *
used(void)
{
	return az_json_get(az_json_get(json(expect_fn(AZ_FN_FINALIZE)->payload), "leave"), "used");
}

static void
what_was_stopped_is_paid_for(void **state)
{
	const struct az_event *p;

	(void)state;
	/* it says what it used */
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	tell(AZ_SIG_ADMITTED, GRANT(""));
	p = expect_fn(AZ_FN_GENERATE);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{\"mode\":\"now\"}"));
	assert_ptr_equal(expect_fn(AZ_FN_GENERATE), p);
	tiny_add(&T, AZ_EV_FN_CANCELED, p->id, NULL,
	    AZ_S("{\"v\":1,\"calls\":2,\"tokens_in\":300,\"tokens_out\":40,\"sandbox_ms\":0}"));
	assert_int_equal(az_json_geti(used(), "tokens", 0), 340);
	assert_int_equal(az_json_geti(used(), "iterations", 0), 1);
	assert_int_equal(view().llm_calls, 2);
	check_prefixes();
	tiny_release(&T);

	/* one that failed as well */
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	tell(AZ_SIG_ADMITTED, GRANT(""));
	T.ev[tiny_fail(&T, expect_fn(AZ_FN_GENERATE)->id, "bad_model_output", "x") - 1].payload =
	    AZ_S("{\"v\":1,\"calls\":3,\"tokens_in\":30,\"tokens_out\":20,\"sandbox_ms\":0}");
	assert_int_equal(az_json_geti(used(), "tokens", 0), 50);
	tiny_release(&T);

	/* it cannot say: then it is the time it took, of what was left */
	for (int how = 0; how < 4; how++) {
		begin(QUEUED);
		done(AZ_FN_JOIN, JOINED);
		tell(AZ_SIG_ADMITTED, GRANT(""));
		done(AZ_FN_GENERATE, GEN);
		p = expect_fn(AZ_FN_RUN);
		T.t_ms += how == 1 ? 70 * 1000 : 20 * 1000;
		if (how < 2) {
			tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
			tiny_add(
			    &T, AZ_EV_FN_CANCELED, p->id, NULL, az_str_c(how ? "nonsense" : ""));
		} else {
			tiny_fail(&T, p->id, how == 2 ? "timeout" : "sandbox_unavailable", "x");
		}
		assert_in_range(az_json_geti(used(), "sandbox_s", -1),
		    how == 3   ? 0
		    : how == 1 ? 60
			       : 20,
		    how == 3   ? 0
		    : how == 1 ? 60
			       : 21);
		assert_int_equal(az_json_geti(used(), "iterations", 0), 1);
		tiny_release(&T);
	}
}

static void
waiting_for_a_person_is_not_used(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	for (int how = 0; how < 2; how++) {
		begin("{\"v\":1,\"uid\":\"alice\"," USER "\"request\":{\"user_prompt\":\"p\","
		      "\"test_conditions\":\"t\",\"model\":\"m\",\"hitl\":\"plan\",\"limits\":{" L3
		      "}}}");
		done(AZ_FN_JOIN, JOINED);
		tell(AZ_SIG_ADMITTED, GRANT(""));
		done(AZ_FN_GENERATE, GEN);
		assert_true(tiny_fold(&T, &err) >= 0);
		assert_string_equal(view().status, "awaiting_input");
		T.t_ms += INT64_C(2) * 86400 * 1000;
		if (how) {
			tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
		} else {
			tell("approve", "{}");
			done(AZ_FN_RUN, RAN);
			done(AZ_FN_VALIDATE, PASS);
		}
		assert_in_range(az_json_geti(used(), "wall_s", -1), 0, 100);
		tiny_release(&T);
	}
}

static bool
count_position(void *arg, const struct az_flow_event *e)
{
	int64_t *sum = arg;

	*sum = *sum * 10 + az_json_geti(json(e->data), "queue_position", 0);
	return true;
}

static void
the_position_is_shown_and_told(void **state)
{
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;
	int64_t told = 0;

	(void)state;
	begin(QUEUED);
	expect_fn(AZ_FN_JOIN);
	assert_int_equal(view().queue_position, 0);
	tell(AZ_SIG_QUEUE, "{\"position\":3}");
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	assert_int_equal(view().queue_position, 3);
	tell(AZ_SIG_QUEUE, "{\"position\":2}");
	tell(AZ_SIG_QUEUE, "{\"position\":1}");
	expect_waits();
	assert_int_equal(view().queue_position, 1);
	h = tiny_history(&T);
	assert_int_equal(az_flow_events(&h, 1, T.a, count_position, &told, &err), AZ_OK);
	assert_int_equal(told, 321);
	tell(AZ_SIG_ADMITTED, GRANT(""));
	expect_fn(AZ_FN_GENERATE);
	assert_int_equal(view().queue_position, 0);
}

/* Whom it told may have died of it. */
static void
who_hears_nothing_asks_again(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	const struct az_event *t;

	(void)state;
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	t = timer_of("600007");
	assert_non_null(t);
	tiny_add(&T, AZ_EV_TIMER_FIRED, t->id, NULL, AZ_S(""));
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	tell(AZ_SIG_ADMITTED, GRANT(""));
	round_of(PASS);
	assert_true(tiny_fold(&T, &err) >= 0);
	/* the timer that still runs means nothing now */
	for (size_t i = 0; i < T.n; i++)
		if (T.ev[i].type == AZ_EV_TIMER_STARTED && T.ev[i].id != t->id &&
		    az_str_eqc(T.ev[i].payload, "600007"))
			t = &T.ev[i];
	tiny_add(&T, AZ_EV_TIMER_FIRED, t->id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
}

/* A server may write down a command after a signal that its fold had not seen. */
static void
commands_that_crossed_with_a_signal_are_taken(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	const struct az_event *t;
	int64_t id;

	(void)state;
	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	tell(AZ_SIG_ADMITTED, GRANT(""));
	tiny_add(&T, AZ_EV_TIMER_STARTED, 0, NULL, AZ_S("600007"));
	expect_fn(AZ_FN_GENERATE);
	assert_non_null(timer_of("99990")); /* of the 100 s, an event ago */
	tiny_release(&T);

	begin(QUEUED);
	done(AZ_FN_JOIN, JOINED);
	expect_waits();
	t = timer_of("600007");
	tiny_add(&T, AZ_EV_TIMER_FIRED, t->id, NULL, AZ_S(""));
	tell(AZ_SIG_ADMITTED, GRANT(""));
	id = tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, AZ_FN_JOIN, AZ_S("{}"));
	assert_true(tiny_fold(&T, &err) >= 0);
	tiny_add(&T, AZ_EV_FN_COMPLETED, id, NULL, AZ_S(JOINED));
	expect_fn(AZ_FN_GENERATE);
}

static void
an_engine_that_is_away_ends_it_in_the_end(void **state)
{
	(void)state;
	begin(QUEUED);
	tiny_fail(&T, expect_fn(AZ_FN_JOIN)->id, "engine", "away");
	done(AZ_FN_FINALIZE, FINAL("0"));
	expect_close(AZ_EV_FAILED, "failed", "engine_unavailable");
}

#define Q(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    Q(a_run_applies_waits_begins_and_settles),
	    Q(a_place_may_come_before_the_answer),
	    Q(a_grant_lowers_the_limits),
	    Q(who_is_refused_ends_with_the_reason),
	    Q(a_run_that_waits_is_cancelled_at_once),
	    Q(what_was_stopped_is_paid_for),
	    Q(waiting_for_a_person_is_not_used),
	    Q(the_position_is_shown_and_told),
	    Q(who_hears_nothing_asks_again),
	    Q(commands_that_crossed_with_a_signal_are_taken),
	    Q(an_engine_that_is_away_ends_it_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
