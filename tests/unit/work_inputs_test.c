/* Inputs of a run: placed, shown to the model, run without it; the rig is work_loop_fixture.h. */
#include "work_loop_fixture.h"

static void
inputs_are_placed_and_shown_by_shape(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "out hello\n")}};
	const char *p;

	(void)state;
	start(a, 1, REQ(CHECK_HELLO ",\"inputs\":[\"default\"]"));
	rig_input(&R, "default", "table.csv", "day,mm\n1,2.5\n2,3\n3,4\n4,UNSEEN\n5,6\n");
	assert_true(status_is(rig_run(&R), "succeeded"));
	p = fake_llm_seen(R.llm, 0);
	assert_true(says(p, "table.csv (34 bytes, 5 rows below the header)"));
	assert_true(says(p, "1,2.5") && says(p, "3,4"));
	assert_false(says(p, "UNSEEN"));
	assert_true(says(rig_final(&R, "table.csv"), "UNSEEN"));
	/* no program among the inputs: nothing was run for them */
	assert_string_equal(rig_object(&R, 0, "run"), "");
}

static void
inputs_that_pass_need_no_model(void **state)
{
	const struct az_json *c;

	(void)state;
	start(NULL, 0, REQ(CHECK_HELLO ",\"inputs\":[\"default\"]"));
	rig_input(&R, "default", "main.py", "out hello\n");
	c = rig_run(&R);
	assert_true(status_is(c, "succeeded"));
	assert_int_equal(R.llm->calls, 0);
	assert_string_equal(rig_final(&R, "main.py"), "out hello\n");
}

static enum az_code
too_late(struct az_put *p, struct az_str key, struct az_err *err)
{
	(void)p;
	(void)key;
	return az_fail(err, AZ_EUNSUPPORTED, "test", "it has begun");
}

/* As an S3 names every body of more than one part: before its digest is known. */
static void
bodies_that_were_named_early_are_found_everywhere(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("1", "out hello\nwrite made.txt data\n")}};
	const struct az_store_ops *was;
	struct az_store_ops ops;

	(void)state;
	start(a, 1, REQ(CHECK_HELLO ",\"inputs\":[\"default\"]"));
	was = R.store->ops;
	ops = *was;
	ops.put_name = too_late;
	R.store->ops = &ops;
	rig_input(&R, "default", "table.csv", "day,mm\n1,2.5\n");
	assert_true(status_is(rig_run(&R), "succeeded"));
	R.store->ops = was;
	assert_true(says(fake_llm_seen(R.llm, 0), "1,2.5"));
	assert_string_equal(rig_final(&R, "table.csv"), "day,mm\n1,2.5\n");
	assert_string_equal(rig_final(&R, "made.txt"), "data");
	assert_true(says(rig_object(&R, 1, "manifest"), "\"blob\":\""));
}

static void
inputs_that_fail_are_shown_to_the_model(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "out hello\n")}};

	(void)state;
	start(a, 1, REQ(CHECK_HELLO ",\"inputs\":[\"default\"]"));
	rig_input(&R, "default", "main.py", "err broken thing\nexit 3\n");
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(says(fake_llm_seen(R.llm, 0), "broken thing"));
	assert_true(says(fake_llm_seen(R.llm, 0), "exit code 3"));
}

static void
unknown_inputs_end_the_run(void **state)
{
	const struct az_json *c;

	(void)state;
	start(NULL, 0,
	    REQ(CHECK_HELLO ",\"inputs\":[\"user-bob-1790000000000-"
			    "abcdefghijklmnopqrstuvwxyz/main.py\"]"));
	c = rig_run(&R);
	assert_true(status_is(c, "failed") && reason_is(c, "bad_input"));
}

static void
many_inputs_do_not_burst_the_prompt(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("1", "out hello\n")}};
	char name[200];

	(void)state;
	start(a, 1, REQ(CHECK_HELLO ",\"inputs\":[\"default\"]"));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "d%03d/%0120d.%s", i, i, i % 2 ? "csv" : "txt");
		rig_input(&R, "default", name, "a,b\n1,2\n3,4\n");
	}
	assert_true(status_is(rig_run(&R), "succeeded"));
	assert_true(strlen(fake_llm_seen(R.llm, 0)) < 128 * 1024);
	assert_true(says(fake_llm_seen(R.llm, 0), "more data files"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_teardown(f, teardown)
	    T_(inputs_are_placed_and_shown_by_shape),
	    T_(inputs_that_pass_need_no_model),
	    T_(bodies_that_were_named_early_are_found_everywhere),
	    T_(inputs_that_fail_are_shown_to_the_model),
	    T_(unknown_inputs_end_the_run),
	    T_(many_inputs_do_not_burst_the_prompt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
