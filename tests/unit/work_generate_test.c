/*
 * generate_code: dialogue with the model within bounds, never paying twice, nothing
 * unsafe into the tree.
 */
#include "work/model.h"
#include "work_rig.h"

#define IN                                                                                         \
	"{\"v\":1,\"iteration\":1,\"previous\":0,\"base\":0,\"best\":0,\"strategy\":\"normal\","   \
	"\"tokens_left\":1000,\"request\":{\"user_prompt\":\"p\",\"model\":\"m\"}}"
#define FILE_(name, body) "### FILE: " name "\n~~~~~\n" body "~~~~~\n"

static struct rig R;
static struct az_buf out;
static struct az_err err;

static int
teardown(void **state)
{
	(void)state;
	az_buf_release(&out);
	rig_close(&R);
	return 0;
}

static void
start(const struct fake_answer *a, size_t n)
{
	rig_open(&R, a, n, "{}");
	az_buf_init(&out, AZ_LIM_PAYLOAD_BYTES);
	err = (struct az_err)AZ_ERR_INIT;
}

static enum az_code
generate(const char *in)
{
	az_buf_reset(&out);
	return rig_call(&R, AZ_S(AZ_FN_GENERATE), 3, 1, az_str_c(in), &out, &err);
}

static const struct az_json *
result(void)
{
	const struct az_json *j = NULL;

	assert_int_equal(
	    az_json_parse_in(R.a, az_buf_str(&out), &az_json_own_limits, &j, NULL), AZ_OK);
	return j;
}

static bool
has_file(int n, const char *path)
{
	struct az_manifest m;
	struct az_buf key;
	bool has;

	az_buf_init(&key, 1024);
	az_key_iter(&key, AZ_S(RIG_WID), n, "source");
	az_manifest_init(&m, R.a);
	has = az_manifest_load(&m, R.store, &R.bkt, az_buf_str(&key), NULL) == AZ_OK &&
	      az_manifest_find(&m, az_str_c(path));
	az_buf_release(&key);
	return has;
}

static void
a_repeated_attempt_does_not_ask_again(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "Plan.\n" FILE_("main.py", "x\n")
		    FILE_("Dockerfile", "FROM python\n") "### END\n"},
	};
	char *first;

	(void)state;
	start(a, 1);
	assert_int_equal(generate(IN), AZ_OK);
	first = strdup(az_buf_str(&out).p);
	/* the worker died after the call: the engine tries again */
	assert_int_equal(generate(IN), AZ_OK);
	assert_int_equal(R.llm->calls, 1);
	assert_string_equal(first, az_buf_str(&out).p);
	assert_int_equal(az_json_geti(result(), "tokens_in", 0), 100);
	assert_true(az_str_eqc(az_json_gets(result(), "diagnosis"), "Plan."));
	free(first);
}

/* Who stops it pays for what it cost: of the call that was cut short, a guess. */
static void
a_stopped_one_says_what_it_cost(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "Plan.\n" FILE_("a.py", "x\n"), .finish = "length"},
	    {.text = "four and twenty bytes...", .fail = AZ_ECANCELLED, .reason = "cancelled"},
	};

	(void)state;
	start(a, 2);
	assert_int_equal(generate(IN), AZ_ECANCELLED);
	assert_int_equal(az_json_geti(result(), "calls", 0), 2);
	assert_true(az_json_geti(result(), "tokens_in", 0) > 110);
	assert_int_equal(az_json_geti(result(), "tokens_out", 0), 50 + 24 / 4);
	assert_null(az_json_get(result(), "tree"));
}

static void
cut_replies_are_continued_twice(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "Plan.\n" FILE_("a.py", "x\n") "### FILE: b.py\n~~~~~\nhalf",
		.finish = "length"},
	    {.text = FILE_("b.py", "whole\n") "### FILE: c.py\n~~~~~\nha", .finish = "length"},
	    {.text = FILE_("c.py", "y\n") FILE_("Dockerfile", "FROM python\n") "### END\n"},
	};
	const char *p;

	(void)state;
	start(a, 3);
	assert_int_equal(generate(IN), AZ_OK);
	assert_int_equal(R.llm->calls, 3);
	assert_true(has_file(1, "a.py") && has_file(1, "b.py") && has_file(1, "c.py"));
	p = fake_llm_seen(R.llm, 1);
	assert_non_null(strstr(p, "remaining files"));
	assert_non_null(strstr(p, "repeat none of these: a.py\n"));
	assert_int_equal(az_json_geti(result(), "tokens_out", 0), 150);
}

static void
endless_cutting_is_bad_output(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = FILE_("a.py", "x\n") "### FILE: b.py\n~~~~~\n1", .finish = "length"},
	    {.text = "### FILE: b.py\n~~~~~\n2", .finish = "length"},
	    {.text = "### FILE: b.py\n~~~~~\n3", .finish = "length"},
	    {.text = FILE_("b.py", "x\n") "### END\n"},
	};

	(void)state;
	start(a, 4);
	assert_int_equal(generate(IN), AZ_EUNPROC);
	assert_string_equal(err.reason, "bad_model_output");
	assert_int_equal(R.llm->calls, 3);
	assert_false(has_file(1, "a.py")); /* nothing half-made */
	/* it cost something all the same */
	assert_int_equal(az_json_geti(result(), "calls", 0), 3);
	assert_int_equal(az_json_geti(result(), "tokens_in", 0), 300);
}

static void
one_repair_then_bad_output(void **state)
{
	static const struct fake_answer bad[] = {
	    {.text = "Sorry, I cannot do that."},
	    {.text = "Still prose."},
	    {.text = FILE_("main.py", "x\n")},
	};
	static const struct fake_answer mended[] = {
	    {.text = "Just prose about the task."},
	    {.text = "Plan.\n" FILE_("main.py", "x\n")
		    FILE_("Dockerfile", "FROM python\n") "### END\n"},
	};

	(void)state;
	start(bad, 3);
	assert_int_equal(generate(IN), AZ_EUNPROC);
	assert_string_equal(err.reason, "bad_model_output");
	assert_false(az_code_retryable(err.code));
	assert_int_equal(R.llm->calls, 2);
	assert_non_null(strstr(fake_llm_seen(R.llm, 1), "cannot be used"));
	az_buf_release(&out);
	rig_close(&R);

	start(mended, 2);
	assert_int_equal(generate(IN), AZ_OK);
	assert_int_equal(R.llm->calls, 2);
}

static void
unsafe_names_reach_nothing(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = FILE_("../../x", "evil\n") "### END\n"},
	    {.text = FILE_("/etc/passwd", "evil\n") "### END\n"},
	};
	struct az_store_list q = {.limit = 1000};
	struct az_store_page page;

	(void)state;
	start(a, 2);
	assert_int_equal(generate(IN), AZ_EUNPROC);
	assert_string_equal(err.reason, "bad_model_output");
	assert_int_equal(az_store_list(R.store, &R.bkt, &q, R.a, &page, NULL), AZ_OK);
	for (size_t i = 0; i < page.n; i++) {
		assert_true(az_str_starts(page.objs[i].key, AZ_S(RIG_WID "/.azlon/")));
		assert_true(az_str_find(page.objs[i].key, AZ_S("passwd"), 0) < 0);
	}
}

static void
json_form_and_deletions(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "{\"dockerfile\":\"FROM python\\n\",\"files\":[{\"filename\":\"main.py\","
		     "\"content\":\"x\\n\"},{\"filename\":\"old.py\",\"content\":\"y\\n\"}]}"},
	    {.text = "Less.\n### DELETE: old.py\n" FILE_(
		 "src/new.py", "#!/usr/bin/python3\n") "### END\n"},
	};

	(void)state;
	start(a, 2);
	assert_int_equal(generate(IN), AZ_OK);
	assert_true(has_file(1, "old.py") && has_file(1, "Dockerfile"));
	assert_int_equal(generate("{\"v\":1,\"iteration\":2,\"previous\":1,\"base\":1,\"best\":1,"
				  "\"strategy\":\"change\",\"tokens_left\":99}"),
	    AZ_OK);
	assert_false(has_file(2, "old.py"));
	assert_true(has_file(2, "main.py") && has_file(2, "src/new.py"));
	assert_true(R.llm->temperature[0] < 0.3 && R.llm->temperature[1] > 0.6);
}

static void
fresh_start_forgets_the_tree(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = "1\n" FILE_("wrong.py", "w\n")
		    FILE_("Dockerfile", "FROM python\n") "### END\n"},
	    {.text =
		    "2\n" FILE_("main.py", "x\n") FILE_("Dockerfile", "FROM python\n") "### END\n"},
	};

	(void)state;
	start(a, 2);
	assert_int_equal(generate(IN), AZ_OK);
	assert_int_equal(generate("{\"v\":1,\"iteration\":2,\"previous\":1,\"base\":0,\"best\":1,"
				  "\"strategy\":\"fresh\",\"tokens_left\":99}"),
	    AZ_OK);
	assert_false(has_file(2, "wrong.py"));
	assert_null(strstr(fake_llm_seen(R.llm, 1), "wrong.py"));
	assert_non_null(strstr(fake_llm_seen(R.llm, 1), "Start afresh"));
}

static void
a_fork_without_its_tree_does_not_begin_with_nothing(void **state)
{
	static const char in[] =
	    "{\"v\":1,\"iteration\":1,\"previous\":0,\"base\":0,\"best\":0,\"strategy\":\"normal\","
	    "\"tokens_left\":1000,\"request\":{\"user_prompt\":\"p\",\"model\":\"m\","
	    "\"forked_from\":{\"workflow_id\":\"w\",\"iteration\":1}}}";
	static const struct fake_answer a[] = {{.text = "1\n" FILE_("main.py", "x\n") FILE_(
						    "Dockerfile", "FROM python\n") "### END\n"}};
	struct az_manifest none;
	struct az_buf key;

	(void)state;
	start(a, 1);
	assert_int_equal(generate(in), AZ_EUNAVAIL);
	assert_string_equal(err.reason, "store_unavailable");
	assert_int_equal(R.llm->calls, 0);
	/* what was forked may have had no files */
	az_buf_init(&key, 1024);
	az_key_iter(&key, AZ_S(RIG_WID), 0, "manifest");
	az_manifest_init(&none, R.a);
	assert_int_equal(az_manifest_save(&none, R.store, &R.bkt, az_buf_str(&key), NULL), AZ_OK);
	az_buf_release(&key);
	assert_int_equal(generate(in), AZ_OK);
	assert_true(has_file(1, "main.py"));
}

static void
without_a_model_it_says_so(void **state)
{
	(void)state;
	start(NULL, 0);
	assert_int_equal(generate("{\"v\":1,\"iteration\":1,\"request\":{\"user_prompt\":\"p\"}}"),
	    AZ_ECONFLICT);
	assert_string_equal(err.reason, "llm_not_configured");
	R.app.default_model = "m";
	assert_int_equal(generate("{\"v\":1,\"iteration\":1}"), AZ_ECONFLICT);
	assert_string_equal(err.reason, "no_recording");
}

#define WITH_OTHERS                                                                                \
	"{\"v\":1,\"iteration\":1,\"previous\":0,\"base\":0,\"best\":0,\"strategy\":\"normal\","   \
	"\"tokens_left\":1000,\"request\":{\"user_prompt\":\"p\",\"model\":\"a\","                 \
	"\"model_fallbacks\":[\"b\",\"c\"]}}"

static void
models_that_hang_leave_time_for_the_last(void **state)
{
	static const struct fake_answer answers[] = {
	    {.fail = AZ_ETIMEOUT},
	    {.fail = AZ_ETIMEOUT},
	    {.text = FILE_("a.py", "x\n") "### FILE: b.py\n~~~~~\nhalf", .finish = "length"},
	    {.fail = AZ_ETIMEOUT}, /* the next turn: c, then a and b */
	    {.fail = AZ_ETIMEOUT},
	    {.fail = AZ_EUNAVAIL},
	    {.text = FILE_("b.py", "x\n") FILE_("Dockerfile", "FROM python\n") "### END\n"},
	};
	static const char *const asked[] = {"a", "b", "c", "c", "a", "b", "c"};
	/* who has answered before may try again, and so may the last */
	static const int tries[] = {1, 1, 0, 0, 1, 0, 0};

	(void)state;
	start(answers, 7);
	assert_int_equal(generate(WITH_OTHERS), AZ_ETIMEOUT);
	assert_string_equal(err.reason, "llm_unavailable");
	/* the engine's next attempt begins with the one that answered */
	assert_int_equal(generate(WITH_OTHERS), AZ_OK);
	assert_int_equal(R.llm->calls, 7);
	for (int i = 0; i < 7; i++) {
		assert_string_equal(R.llm->model[i], asked[i]);
		assert_int_equal(R.llm->tries[i], tries[i]);
		assert_in_range(R.llm->total_ms[i], 1, 900 * 1000);
	}
	/* the other two keep theirs */
	assert_in_range(R.llm->total_ms[0], 1, 600 * 1000);
	assert_in_range(R.llm->total_ms[1], 1, 750 * 1000);
	assert_int_equal(az_json_geti(result(), "calls", 0), 2);
}

/* An attempt of generate_code has 1000 s. */
static void
one_attempt_is_enough_for_all(void **state)
{
	(void)state;
	for (size_t others = 0; others < 12; others++) {
		int64_t left = 900 * 1000, mine = 0;

		for (size_t i = others + 1; i-- > 0; left -= mine) {
			mine = model_share(left, i);
			assert_true(mine >= (others < 6 ? 150 : 75) * 1000);
		}
		assert_true(left >= 0);
	}
	assert_int_equal(model_share(900 * 1000, 2), 600 * 1000);
	assert_int_equal(model_share(-5, 2), 1);
}

static void
a_refused_key_is_not_the_end_while_another_is_only_away(void **state)
{
	static const struct fake_answer away[] = {
	    {.fail = AZ_EPERM}, {.fail = AZ_EUNAVAIL}, {.fail = AZ_EPERM}};
	static const struct fake_answer refused[] = {
	    {.fail = AZ_EPERM}, {.fail = AZ_EPERM}, {.fail = AZ_EPERM}};
	static const struct fake_answer useless[] = {
	    {.fail = AZ_EUNPROC, .reason = "bad_model_output"}};

	(void)state;
	start(away, 3);
	assert_int_equal(generate(WITH_OTHERS), AZ_EUNAVAIL);
	teardown(NULL);
	start(refused, 3);
	assert_int_equal(generate(WITH_OTHERS), AZ_EPERM);
	assert_int_equal(R.llm->calls, 3);
	teardown(NULL);
	/* it did answer: nobody else is asked */
	start(useless, 1);
	assert_int_equal(generate(WITH_OTHERS), AZ_EUNPROC);
	assert_int_equal(R.llm->calls, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T_(f) cmocka_unit_test_teardown(f, teardown)
	    T_(a_repeated_attempt_does_not_ask_again),
	    T_(a_stopped_one_says_what_it_cost),
	    T_(cut_replies_are_continued_twice),
	    T_(endless_cutting_is_bad_output),
	    T_(one_repair_then_bad_output),
	    T_(unsafe_names_reach_nothing),
	    T_(json_form_and_deletions),
	    T_(fresh_start_forgets_the_tree),
	    T_(a_fork_without_its_tree_does_not_begin_with_nothing),
	    T_(without_a_model_it_says_so),
	    T_(models_that_hang_leave_time_for_the_last),
	    cmocka_unit_test(one_attempt_is_enough_for_all),
	    T_(a_refused_key_is_not_the_end_while_another_is_only_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
