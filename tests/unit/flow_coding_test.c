/*
 * AutonomousCodingWorkflow driven by hand: each scenario feeds what functions and
 * people did and looks at what the run wanted next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <azlon/flow.h>

#include "tiny_engine.h"

#define INPUT(limits, inputs)                                                                      \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"p\","                           \
	"\"test_conditions\":\"t\",\"model\":\"m\",\"inputs\":[" inputs "],\"limits\":{" limits    \
	"}},"                                                                                      \
	"\"warnings\":[\"member x ignored\"]}"
#define L3 "\"iterations\":3,\"tokens\":1000,\"wall_s\":100,\"sandbox_s\":60"

#define GEN                                                                                        \
	"{\"v\":1,\"model\":\"m-1\",\"provenance\":\"recording\",\"calls\":1,\"tokens_in\":10,"    \
	"\"tokens_out\":5,\"events\":[{\"type\":\"llm.done\",\"tokens_out\":5}]}"
#define RAN                                                                                        \
	"{\"v\":1,\"kind\":\"ok\",\"sandbox_ms\":2000,\"events\":[{\"type\":\"sandbox.start\"}]}"
#define PASS                                                                                       \
	"{\"v\":1,\"passed\":true,\"n_passed\":2,\"n_total\":2,\"checks\":[{\"id\":\"c1\","        \
	"\"status\":\"pass\"}],\"events\":[{\"type\":\"check\",\"id\":\"c1\"},{\"type\":"          \
	"\"verdict\"}]}"
#define MISS(n, sig, tree)                                                                         \
	"{\"v\":1,\"passed\":false,\"n_passed\":" n ",\"n_total\":2,\"checks\":"                   \
	"[{\"id\":\"c1\",\"status\":\"fail\"}],\"error_sig\":\"" sig "\",\"tree\":\"" tree "\","   \
	"\"events\":[{\"type\":\"check\",\"id\":\"c1\"},{\"type\":\"verdict\"}]}"
#define FINAL(n) "{\"v\":1,\"iteration\":" n ",\"files\":2}"

static struct tiny T;

static void
begin(const char *input)
{
	tiny_init(&T, &az_flow_coding, input);
}

static int
setup(void **state)
{
	(void)state;
	memset(&T, 0, sizeof(T));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tiny_release(&T);
	return 0;
}

/* Fold; the one function now under way must be name. */
static const struct az_event *
expect_fn(const char *name)
{
	const struct az_event *p;
	struct az_err err = AZ_ERR_INIT;

	if (tiny_fold(&T, &err) < 0)
		fail_msg("fold refused: %s", err.text);
	p = tiny_pending(&T);
	if (!p)
		fail_msg("nothing is under way, wanted %s", name);
	if (!az_str_eqc(p->name, name))
		fail_msg("%.*s is under way, wanted %s", AZ_FMT(p->name), name);
	return p;
}

static void
done(const char *name, const char *result)
{
	const struct az_event *p = expect_fn(name);

	tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL, az_str_c(result));
}

static const struct az_json *
json(struct az_str s)
{
	const struct az_json *j = NULL;

	assert_int_equal(az_json_parse_in(T.a, s, &az_json_own_limits, &j, NULL), AZ_OK);
	return j;
}

static int64_t
input_of(const struct az_event *p, const char *key)
{
	return az_json_geti(json(p->payload), key, -1);
}

static const struct az_event *
expect_close(enum az_ev_type type, const char *status, const char *reason)
{
	const struct az_event *c;
	struct az_err err = AZ_ERR_INIT;
	const struct az_json *j;

	assert_true(tiny_fold(&T, &err) == 1);
	c = tiny_closed(&T);
	assert_non_null(c);
	assert_int_equal(c->type, type);
	j = json(c->payload);
	assert_true(az_str_eqc(az_json_gets(j, "status"), status));
	if (reason)
		assert_true(az_str_eqc(az_json_gets(j, "reason"), reason));
	else
		assert_int_equal(az_json_type(az_json_get(j, "reason")), AZ_JNULL);
	assert_int_equal(az_json_getb(j, "result", true), strcmp(status, "succeeded") == 0);
	/* nothing is wanted after the end */
	assert_int_equal(tiny_fold(&T, &err), 0);
	return c;
}

static void
round_of(const char *verdict)
{
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	done(AZ_FN_VALIDATE, verdict);
}

/*
 * Folding every prefix: never a refusal, commands become events later on, never twice.
 */
static void
check_prefixes(void)
{
	for (size_t n = 1; n <= T.n; n++) {
		struct az_arena *a = az_arena_new(AZ_MIB(64));
		struct az_err err = AZ_ERR_INIT;
		struct az_cmds c;

		if (tiny_fold_prefix(&T, n, a, &c, &err) != AZ_OK)
			fail_msg("prefix %zu refused: %s", n, err.text);
		for (size_t i = 0; i < c.n; i++) {
			bool found = false;

			for (size_t k = n; k < T.n && !found; k++) {
				const struct az_event *e = &T.ev[k];

				found = (c.v[i].type == AZ_CMD_SCHEDULE_FN &&
					    e->type == AZ_EV_FN_SCHEDULED &&
					    az_str_eq(e->name, c.v[i].name)) ||
					(c.v[i].type == AZ_CMD_START_TIMER &&
					    e->type == AZ_EV_TIMER_STARTED) ||
					(c.v[i].type == AZ_CMD_CANCEL_FN &&
					    e->type == AZ_EV_FN_CANCEL_REQUESTED &&
					    e->ref == c.v[i].ref) ||
					(c.v[i].type >= AZ_CMD_COMPLETE && k == T.n - 1);
			}
			if (!found)
				fail_msg("prefix %zu: command %d never came true", n, c.v[i].type);
		}
		az_arena_free(a);
	}
	assert_true(tiny_count(&T, AZ_EV_TIMER_STARTED, NULL) <= 2);
}

static void
happy_path_in_order(void **state)
{
	const struct az_event *p, *c;

	(void)state;
	begin(INPUT(L3, ""));
	p = expect_fn(AZ_FN_GENERATE);
	assert_int_equal(input_of(p, "iteration"), 1);
	assert_int_equal(input_of(p, "base"), 0);
	/* the request travels once, in the first input */
	assert_true(
	    az_str_eqc(az_json_gets(az_json_get(json(p->payload), "request"), "user_prompt"), "p"));
	assert_int_equal(tiny_count(&T, AZ_EV_TIMER_STARTED, NULL), 1);
	done(AZ_FN_GENERATE, GEN);
	p = expect_fn(AZ_FN_RUN);
	assert_null(az_json_get(json(p->payload), "request"));
	done(AZ_FN_RUN, RAN);
	p = expect_fn(AZ_FN_VALIDATE);
	assert_int_equal(az_json_getb(json(p->payload), "last", true), false);
	done(AZ_FN_VALIDATE, PASS);
	p = expect_fn(AZ_FN_FINALIZE);
	assert_int_equal(input_of(p, "best"), 1);
	done(AZ_FN_FINALIZE, FINAL("1"));
	c = expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	assert_int_equal(input_of(c, "best_iteration"), 1);
	check_prefixes();
}

static void
repair_builds_on_the_last_attempt(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(INPUT(L3, ""));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_int_equal(input_of(p, "iteration"), 2);
	assert_int_equal(input_of(p, "base"), 1);
	assert_int_equal(input_of(p, "previous"), 1);
	assert_int_equal(input_of(p, "tokens_left"), 985);
	round_of(PASS);
	done(AZ_FN_FINALIZE, FINAL("2"));
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
	check_prefixes();
}

static void
last_attempt_is_judged_then_exhausted(void **state)
{
	const struct az_event *p, *c;

	(void)state;
	begin(INPUT(L3, ""));
	round_of(MISS("1", "aa", "t1"));
	round_of(MISS("2", "bb", "t2"));
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	p = expect_fn(AZ_FN_VALIDATE);
	assert_int_equal(az_json_getb(json(p->payload), "last", false), true);
	done(AZ_FN_VALIDATE, MISS("0", "cc", "t3"));
	p = expect_fn(AZ_FN_FINALIZE);
	/* the best attempt counts, not the last */
	assert_int_equal(input_of(p, "best"), 2);
	done(AZ_FN_FINALIZE, FINAL("2"));
	c = expect_close(AZ_EV_COMPLETED, "failed", "iterations_exhausted");
	assert_int_equal(input_of(c, "best_iteration"), 2);
	assert_int_equal(input_of(c, "iterations"), 3);
	check_prefixes();
}

static void
preflight_ends_a_run_only_with_proof(void **state)
{
	static const struct {
		const char *result;
		bool ends;
	} cases[] = {
	    {"{\"v\":1,\"explicit\":1,\"passed\":1,\"unjudged\":0}", true},
	    {"{\"v\":1,\"explicit\":2,\"passed\":1,\"unjudged\":0}", false},
	    {"{\"v\":1,\"explicit\":0,\"passed\":0,\"unjudged\":0}", false},
	    {"{\"v\":1,\"explicit\":1,\"passed\":1,\"unjudged\":1}", false},
	    {"{\"v\":1,\"explicit\":1,\"passed\":1}", false},
	    {"{}", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(INPUT(L3, "\"default\""));
		done(AZ_FN_PREFLIGHT, cases[i].result);
		if (cases[i].ends) {
			done(AZ_FN_FINALIZE, "{\"v\":1,\"iteration\":0}");
			expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
		} else {
			const struct az_event *p = expect_fn(AZ_FN_GENERATE);

			assert_null(az_json_get(json(p->payload), "request"));
			assert_int_equal(input_of(p, "iteration"), 1);
		}
		tiny_release(&T);
	}
}

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

#define GRACEFUL AZ_S("{\"mode\":\"graceful\"}")

/* The last timer started, which is the one that ends the grace. */
static int64_t
grace_timer(void)
{
	int64_t id = 0;

	for (size_t i = 0; i < T.n; i++)
		if (T.ev[i].type == AZ_EV_TIMER_STARTED)
			id = T.ev[i].id;
	return id == tiny_timer(&T) ? 0 : id;
}

/* In the middle of run_with_e2b, asked to end gracefully. */
static int64_t
begin_grace(void)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_cmds c;
	int64_t id;

	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	id = expect_fn(AZ_FN_RUN)->id;
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, GRACEFUL);
	assert_int_equal(tiny_fold_prefix(&T, T.n, T.a, &c, &err), AZ_OK);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.v[0].type, AZ_CMD_START_TIMER);
	assert_int_equal(c.v[0].delay_ms, 30000);
	assert_int_equal(tiny_fold(&T, &err), 1);
	assert_int_equal(tiny_fold(&T, &err), 0);
	assert_false(tiny_cancel_wanted(&T, id));
	assert_true(grace_timer() != 0);
	return id;
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

static void
wall_timer_ends_the_run(void **state)
{
	const struct az_event *p;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	begin(INPUT(L3, ""));
	done(AZ_FN_GENERATE, GEN);
	p = expect_fn(AZ_FN_RUN);
	tiny_add(&T, AZ_EV_TIMER_FIRED, tiny_timer(&T), NULL, AZ_S(""));
	assert_int_equal(tiny_fold(&T, &err), 1);
	assert_true(tiny_cancel_wanted(&T, p->id));
	/* a cancel after it changes nothing */
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	tiny_add(&T, AZ_EV_FN_CANCELED, p->id, NULL, AZ_S(""));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "timed_out", "budget_exhausted");
	check_prefixes();
}

static void
time_left_shrinks(void **state)
{
	struct az_cmds c;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	begin(INPUT(L3, ""));
	expect_fn(AZ_FN_GENERATE);
	T.t_ms += 40000;
	done(AZ_FN_GENERATE, GEN);
	assert_int_equal(tiny_fold_prefix(&T, T.n, T.a, &c, &err), AZ_OK);
	assert_int_equal(c.n, 1);
	assert_in_range(c.v[0].opts.schedule_to_close_ms, 50000, 60000);
	assert_int_equal(c.v[0].opts.heartbeat_ms, 30000);
	assert_int_equal(c.v[0].opts.retry_attempts, 0);
	assert_int_equal(c.v[0].opts.retry_initial_ms, 500);
	assert_int_equal(c.v[0].opts.retry_max_ms, 10000);
}

static void
budgets_stop_before_a_new_attempt(void **state)
{
	(void)state;
	begin(INPUT("\"iterations\":9,\"tokens\":20,\"wall_s\":100,\"sandbox_s\":60", ""));
	round_of(MISS("0", "aa", "t1"));
	round_of(MISS("0", "bb", "t2")); /* 30 tokens: judged, then over */
	done(AZ_FN_FINALIZE, FINAL("2"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	tiny_release(&T);

	begin(INPUT("\"iterations\":9,\"tokens\":2000,\"wall_s\":100,\"sandbox_s\":2", ""));
	round_of(MISS("0", "aa", "t1"));
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
}

/* What was cut short by the budget ends the run for that reason, whatever else is true. */
static void
a_cut_sandbox_ends_with_the_budget(void **state)
{
	static const char cut[] = "{\"v\":1,\"passed\":false,\"n_passed\":0,\"n_total\":2,"
				  "\"sandbox_cut\":true}";
	const struct az_event *p;

	(void)state;
	begin(INPUT("\"iterations\":1,\"sandbox_s\":5", ""));
	done(AZ_FN_GENERATE, GEN);
	assert_int_equal(input_of(expect_fn(AZ_FN_RUN), "sandbox_s_left"), 5);
	done(AZ_FN_RUN, RAN);
	p = expect_fn(AZ_FN_VALIDATE);
	assert_int_equal(input_of(p, "sandbox_s_left"), 3);
	done(AZ_FN_VALIDATE, cut);
	done(AZ_FN_FINALIZE, FINAL("1"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	check_prefixes();
	tiny_release(&T);

	begin(INPUT("\"iterations\":2,\"sandbox_s\":1", "\"default\""));
	done(AZ_FN_PREFLIGHT, "{\"v\":1,\"explicit\":1,\"passed\":0,\"sandbox_cut\":true}");
	done(AZ_FN_FINALIZE, FINAL("0"));
	expect_close(AZ_EV_COMPLETED, "failed", "budget_exhausted");
	tiny_release(&T);

	/* nothing left is said as nothing */
	begin(INPUT("\"iterations\":1,\"sandbox_s\":2", ""));
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	assert_int_equal(input_of(expect_fn(AZ_FN_VALIDATE), "sandbox_s_left"), 0);
}

static void
failures_map_to_reasons(void **state)
{
	static const struct {
		size_t at;
		const char *reason, *status, *mapped;
	} cases[] = {
	    {0, "llm_unavailable", "failed", "llm_unavailable"},
	    {0, "no_recording", "failed", "llm_not_configured"},
	    {0, "llm_not_configured", "failed", "llm_not_configured"},
	    {0, "bad_model_output", "failed", "bad_model_output"},
	    {1, "sandbox_unavailable", "failed", "sandbox_unavailable"},
	    {1, "sandbox_gone", "failed", "sandbox_unavailable"},
	    {2, "store_unavailable", "failed", "store_unavailable"},
	    {1, "weird", "failed", "sandbox_unavailable"},
	    {0, "poison", "failed", "engine_unavailable"},
	    {1, "poison", "failed", "engine_unavailable"},
	    {2, "payload_too_large", "failed", "engine_unavailable"},
	    {1, "timeout", "timed_out", "budget_exhausted"},
	};
	static const char *const fn[] = {AZ_FN_GENERATE, AZ_FN_RUN, AZ_FN_VALIDATE};
	static const char *const result[] = {GEN, RAN};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool timed = strcmp(cases[i].status, "timed_out") == 0;
		const struct az_event *c;

		begin(INPUT(L3, ""));
		for (size_t k = 0; k < cases[i].at; k++)
			done(fn[k], result[k]);
		tiny_fail(&T, expect_fn(fn[cases[i].at])->id, cases[i].reason, "why it failed");
		done(AZ_FN_FINALIZE, FINAL("1"));
		c = expect_close(
		    timed ? AZ_EV_COMPLETED : AZ_EV_FAILED, cases[i].status, cases[i].mapped);
		assert_true(az_str_eqc(az_json_gets(json(c->payload), "message"), "why it failed"));
		if (!timed)
			assert_true(az_str_eqc(c->reason, cases[i].mapped));
		check_prefixes();
		tiny_release(&T);
	}
}

static void
a_failed_finalisation_keeps_the_outcome(void **state)
{
	(void)state;
	begin(INPUT(L3, ""));
	round_of(PASS);
	tiny_fail(&T, expect_fn(AZ_FN_FINALIZE)->id, "store_unavailable", "no store");
	expect_close(AZ_EV_COMPLETED, "succeeded", NULL);
}

static void
repetition_changes_then_restarts_then_stops(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(INPUT("\"iterations\":20,\"tokens\":100000,\"wall_s\":100,\"sandbox_s\":600", ""));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "normal"));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "change"));
	round_of(MISS("1", "aa", "t1"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "fresh"));
	assert_int_equal(input_of(p, "iteration"), 4);
	for (int i = 0; i < 3; i++)
		round_of(MISS("1", "aa", "t1"));
	done(AZ_FN_FINALIZE, FINAL("6"));
	expect_close(AZ_EV_COMPLETED, "failed", "stuck");
	check_prefixes();
}

static void
fresh_start_returns_to_the_best(void **state)
{
	const struct az_event *p;

	(void)state;
	begin(INPUT("\"iterations\":20,\"tokens\":100000,\"wall_s\":100,\"sandbox_s\":600", ""));
	round_of(MISS("2", "aa", "t1"));
	round_of(MISS("1", "bb", "t2"));
	round_of(MISS("1", "cc", "t3"));
	round_of(MISS("0", "dd", "t4"));
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(az_json_gets(json(p->payload), "strategy"), "fresh"));
	assert_int_equal(input_of(p, "base"), 1);
	assert_int_equal(input_of(p, "previous"), 4);
}

static void
foreign_start_inputs(void **state)
{
	const struct az_event *p;

	(void)state;
	/* what another SDK's start looks like: the request itself, no limits */
	begin("{\"user_prompt\":\"p\",\"test_conditions\":\"t\"}");
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(
	    az_str_eqc(az_json_gets(az_json_get(json(p->payload), "request"), "user_prompt"), "p"));
	tiny_release(&T);
	/* one that its sender encrypted: it goes on as it came */
	begin("{\"user_prompt\":{\"__restack_encrypted__\":\"v1\",\"iv\":\"a\",\"ct\":\"b\"}}");
	p = expect_fn(AZ_FN_GENERATE);
	assert_true(az_str_eqc(
	    az_json_gets(
		az_json_get(az_json_get(json(p->payload), "request"), "user_prompt"), "ct"),
	    "b"));
	tiny_release(&T);
	begin("{\"user_prompt\":{\"text\":\"p\"}}");
	expect_close(AZ_EV_FAILED, "failed", "bad_input");
	tiny_release(&T);
	begin("not json");
	expect_close(AZ_EV_FAILED, "failed", "bad_input");
	tiny_release(&T);
	begin("[1,2]");
	expect_close(AZ_EV_FAILED, "failed", "bad_input");
}

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
	    T_(happy_path_in_order),
	    T_(repair_builds_on_the_last_attempt),
	    T_(last_attempt_is_judged_then_exhausted),
	    T_(preflight_ends_a_run_only_with_proof),
	    T_(cancel_at_each_phase),
	    T_(cancel_before_anything_still_finalises),
	    T_(cancel_that_overtakes_a_command),
	    T_(cancel_while_finalising_is_too_late),
	    T_(a_graceful_cancel_lets_the_function_finish),
	    T_(grace_ends_with_its_timer_a_second_cancel_or_the_wall),
	    T_(old_graceful_cancels_still_fold),
	    T_(a_grace_timer_may_come_too_late),
	    T_(a_graceful_cancel_with_nothing_under_way_needs_no_timer),
	    T_(wall_timer_ends_the_run),
	    T_(time_left_shrinks),
	    T_(budgets_stop_before_a_new_attempt),
	    T_(a_cut_sandbox_ends_with_the_budget),
	    T_(failures_map_to_reasons),
	    T_(a_failed_finalisation_keeps_the_outcome),
	    T_(repetition_changes_then_restarts_then_stops),
	    T_(fresh_start_returns_to_the_best),
	    T_(foreign_start_inputs),
	    T_(impossible_histories_are_refused),
	    T_(random_walks_end_without_contradiction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
