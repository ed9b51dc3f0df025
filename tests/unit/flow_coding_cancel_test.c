/* AutonomousCodingWorkflow, cancelled: at once, or with a grace. */
#include "flow_coding_fixture.h"

static void
cancel_at_each_phase(void **state)
{
	static const char *const fn[] = {
	    AZ_FN_PREFLIGHT, AZ_FN_GENERATE, AZ_FN_RUN, AZ_FN_VALIDATE};
	static const char *const result[] = {"{}", GEN, RAN, PASS};

	(void)state;
	for (int how = 0; how < 3; how++) {
		for (size_t at = 0; at < 4; at++) {
			const struct az_event *p;
			struct az_err err = AZ_ERR_INIT;

			begin(INPUT(L3, "\"default\""));
			for (size_t i = 0; i < at; i++)
				done(fn[i], result[i]);
			p = expect_fn(fn[at]);
			tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{\"mode\":\"now\"}"));
			assert_int_equal(tiny_fold(&T, &err), 1);
			assert_true(tiny_cancel_wanted(&T, p->id));
			/* asked once */
			assert_int_equal(tiny_fold(&T, &err), 0);
			if (how == 0)
				tiny_add(&T, AZ_EV_FN_CANCELED, p->id, NULL, AZ_S(""));
			else if (how == 1) /* it was faster than the cancel */
				tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL, az_str_c(result[at]));
			else
				tiny_fail(&T, p->id, "llm_unavailable", "gone");
			done(AZ_FN_FINALIZE, FINAL("1"));
			expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
			check_prefixes();
			tiny_release(&T);
		}
	}
}

static void
cancel_before_anything_still_finalises(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	assert_non_null(az_json_get(json(expect_fn(AZ_FN_FINALIZE)->payload), "request"));
	done(AZ_FN_FINALIZE, FINAL("0"));
	expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
}

/* The command was made before the cancel was seen: the function appears after it. */
static void
cancel_that_overtakes_a_command(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	int64_t id;

	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	id = tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, AZ_FN_RUN, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), 1);
	assert_true(tiny_cancel_wanted(&T, id));
	tiny_add(&T, AZ_EV_FN_CANCELED, id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
}

static void
cancel_while_finalising_is_too_late(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	begin(INPUT(L3, ""));
	round_of(PASS);
	expect_fn(AZ_FN_FINALIZE);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	assert_int_equal(tiny_fold(&T, &err), 0);
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
}

static void
end_grace(void)
{
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
	check_prefixes();
	tiny_release(&T);
}

static void
a_graceful_cancel_lets_the_function_finish(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	begin_grace();
	done(AZ_FN_RUN, RAN);
	expect_fn(AZ_FN_FINALIZE);
	/* the timer that nobody needs any more disturbs nothing */
	tiny_add(&T, AZ_EV_TIMER_FIRED, grace_timer(), NULL, AZ_S(""));
	assert_int_equal(tiny_fold(&T, &err), 0);
	end_grace();

	begin_grace();
	tiny_fail(&T, expect_fn(AZ_FN_RUN)->id, "sandbox_unavailable", "gone");
	end_grace();
}

static void
grace_ends_with_its_timer_a_second_cancel_or_the_wall(void **state)
{
	static const struct az_str payloads[] = {{"{\"mode\":\"now\"}", 14}, {"", 0}};

	(void)state;
	for (int how = 0; how < 4; how++) {
		struct az_err err = AZ_ERR_INIT;
		int64_t id = begin_grace();

		/* asking for the same again changes nothing */
		tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
		assert_int_equal(tiny_fold(&T, &err), 0);
		if (how == 0)
			tiny_add(&T, AZ_EV_TIMER_FIRED, grace_timer(), NULL, AZ_S(""));
		else if (how == 1)
			tiny_add(&T, AZ_EV_TIMER_FIRED, tiny_timer(&T), NULL, AZ_S(""));
		else
			tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, payloads[how - 2]);
		assert_int_equal(tiny_fold(&T, &err), 1);
		assert_true(tiny_cancel_wanted(&T, id));
		assert_int_equal(tiny_fold(&T, &err), 0);
		tiny_add(&T, AZ_EV_FN_CANCELED, id, NULL, AZ_S(""));
		end_grace();
	}
}

/* Histories made before there was a grace: cancelled at once, whatever was asked. */
static void
old_graceful_cancels_still_fold(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	int64_t id;

	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	id = expect_fn(AZ_FN_RUN)->id;
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
	tiny_add(&T, AZ_EV_FN_CANCEL_REQUESTED, id, NULL, AZ_S(""));
	assert_int_equal(tiny_fold(&T, &err), 0);
	tiny_add(&T, AZ_EV_FN_CANCELED, id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
}

/* The function ended between the fold that wanted the timer and the timer. */
static void
a_grace_timer_may_come_too_late(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	expect_fn(AZ_FN_RUN);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
	tiny_add(&T, AZ_EV_FN_COMPLETED, tiny_pending(&T)->id, NULL, AZ_S(RAN));
	tiny_add(&T, AZ_EV_TIMER_STARTED, 0, NULL, AZ_S("30000"));
	expect_fn(AZ_FN_FINALIZE);
	end_grace();
}

static void
a_graceful_cancel_with_nothing_under_way_needs_no_timer(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
	done(AZ_FN_FINALIZE, FINAL("0"));
	assert_int_equal(grace_timer(), 0);
	expect_close(AZ_EV_CANCELED, "cancelled", "user_cancelled");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T_(cancel_at_each_phase),
	    T_(cancel_before_anything_still_finalises),
	    T_(cancel_that_overtakes_a_command),
	    T_(cancel_while_finalising_is_too_late),
	    T_(a_graceful_cancel_lets_the_function_finish),
	    T_(grace_ends_with_its_timer_a_second_cancel_or_the_wall),
	    T_(old_graceful_cancels_still_fold),
	    T_(a_grace_timer_may_come_too_late),
	    T_(a_graceful_cancel_with_nothing_under_way_needs_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
