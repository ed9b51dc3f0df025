/* AutonomousCodingWorkflow: histories that cannot be, and any that can. */
#include "flow_coding_fixture.h"

static void
impossible_histories_are_refused(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	int64_t id;

	(void)state;
	/* another function than the one wanted */
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, AZ_FN_RUN, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	assert_int_equal(err.code, AZ_EINTERNAL);
	tiny_release(&T);
	/* a result for nothing */
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_FN_COMPLETED, 77, NULL, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	/* two functions at once */
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, AZ_FN_GENERATE, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	/* an end in the middle, an event after the end, a second start */
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_COMPLETED, 0, NULL, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_TERMINATED, 0, NULL, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), 0);
	tiny_add(&T, AZ_EV_SIGNALED, 0, "x", AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	begin(INPUT(L3, ""));
	tiny_add(&T, AZ_EV_STARTED, 0, NULL, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	/* a cancel nobody wanted, a second timer */
	begin(INPUT(L3, ""));
	id = expect_fn(AZ_FN_GENERATE)->id;
	tiny_add(&T, AZ_EV_FN_CANCEL_REQUESTED, id, NULL, AZ_S(""));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	tiny_add(&T, AZ_EV_TIMER_STARTED, 0, NULL, AZ_S("1"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	/* a second timer of a cancel that lets nothing finish, a third of one that does */
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{\"mode\":\"now\"}"));
	tiny_add(&T, AZ_EV_TIMER_STARTED, 0, NULL, AZ_S("1"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	begin_grace();
	tiny_add(&T, AZ_EV_TIMER_STARTED, 0, NULL, AZ_S("1"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	tiny_release(&T);
	/* a success that is followed by another attempt */
	begin(INPUT(L3, ""));
	round_of(PASS);
	tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, AZ_FN_GENERATE, AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
}

/* Anything that functions, people and time may do, in any order: the fold never refuses
   a history that it made itself, and every run ends. */
static void
random_walks_end_without_contradiction(void **state)
{
	static const char *const results[] = {
	    GEN, RAN, PASS, MISS("1", "aa", "t1"), MISS("0", "bb", "t2"), "{}", FINAL("1")};
	static const char *const why[] = {
	    "timeout", "no_recording", "sandbox_unavailable", "", "bad_model_output"};
	uint32_t seed = 1;

	(void)state;
	for (int run = 0; run < 400; run++) {
		begin(run % 2 ? INPUT(L3, "") : INPUT(L3, "\"default\""));
		for (int step = 0; step < 200 && !tiny_closed(&T); step++) {
			const struct az_event *p = tiny_pending(&T);
			struct az_err err = AZ_ERR_INIT;

			seed = seed * 1664525 + 1013904223;
			switch ((seed >> 24) % 16) {
			case 0:
				tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL,
				    run % 3 ? GRACEFUL : AZ_S(""));
				break;
			case 1:
				if (grace_timer() && (seed >> 8) % 2)
					tiny_add(
					    &T, AZ_EV_TIMER_FIRED, grace_timer(), NULL, AZ_S(""));
				if (tiny_timer(&T) && tiny_count(&T, AZ_EV_TIMER_FIRED, NULL) == 0)
					tiny_add(
					    &T, AZ_EV_TIMER_FIRED, tiny_timer(&T), NULL, AZ_S(""));
				break;
			case 2:
				if (p)
					tiny_fail(&T, p->id, why[(seed >> 8) % 5], "m");
				break;
			case 3:
				tiny_add(&T, AZ_EV_SIGNALED, 0, "message", AZ_S("{}"));
				break;
			case 4:
				if (p && tiny_cancel_wanted(&T, p->id))
					tiny_add(&T, AZ_EV_FN_CANCELED, p->id, NULL, AZ_S(""));
				break;
			case 5:
			case 6:
			case 7:
			case 8:
				if (p)
					tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL,
					    az_str_c(results[(seed >> 8) % 7]));
				break;
			default:
				if (tiny_fold(&T, &err) < 0)
					fail_msg("run %d, event %zu: %s", run, T.n, err.text);
				break;
			}
		}
		assert_non_null(tiny_closed(&T));
		assert_true(tiny_count(&T, AZ_EV_FN_SCHEDULED, AZ_FN_FINALIZE) == 1);
		assert_true(tiny_count(&T, AZ_EV_FN_SCHEDULED, AZ_FN_GENERATE) <= 3);
		tiny_release(&T);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T_(impossible_histories_are_refused),
	    T_(random_walks_end_without_contradiction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
