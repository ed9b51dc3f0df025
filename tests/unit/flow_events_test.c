/*
 * The public log and the view: numbers that never move, one line of JSON each, percent
 * that never falls, nothing of the engine's bookkeeping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <azlon/flow.h>

#include "tiny_engine.h"

#define INPUT                                                                                      \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"p\",\"test_conditions\":\"t\"," \
	"\"model\":\"m\",\"limits\":{\"iterations\":4,\"tokens\":1000,\"wall_s\":100,\"sandbox_"   \
	"s\":60}},"                                                                                \
	"\"warnings\":[\"member x ignored\"]}"
#define GEN                                                                                        \
	"{\"v\":1,\"model\":\"m-1\",\"provenance\":\"recording\",\"calls\":2,\"tokens_in\":10,"    \
	"\"tokens_out\":5,\"events\":[{\"type\":\"llm.done\",\"tokens_out\":5},"                   \
	"{\"type\":\"evil.type\",\"x\":1},{\"type\":\"files.changed\",\"seq\":99,\"t\":\"never\"}" \
	"]}"
#define RAN                                                                                        \
	"{\"v\":1,\"kind\":\"ok\",\"sandbox_ms\":2500,\"events\":[{\"type\":\"sandbox.start\"}]}"
#define MISS                                                                                       \
	"{\"v\":1,\"passed\":false,\"n_passed\":1,\"n_total\":2,\"error_sig\":\"a\",\"tree\":"     \
	"\"b\","                                                                                   \
	"\"checks\":[{\"id\":\"c1\",\"status\":\"fail\",\"message\":\"no\"}],\"events\":"          \
	"[{\"type\":\"check\",\"id\":\"c1\",\"status\":\"fail\"},{\"type\":\"verdict\","           \
	"\"result\":false}]}"
#define PASS                                                                                       \
	"{\"v\":1,\"passed\":true,\"n_passed\":2,\"n_total\":2,\"checks\":[{\"id\":\"c1\","        \
	"\"status\":\"pass\"}],\"events\":[{\"type\":\"verdict\",\"result\":true}]}"

struct log {
	char lines[200][1024];
	char types[200][32];
	size_t n;
	int64_t last_seq;
	bool last;
	size_t stop_at; /* 0 = never */
};

static struct tiny T;

static bool
collect(void *arg, const struct az_flow_event *e)
{
	struct log *l = arg;

	assert_true(l->n < 200 && e->data.n < 1024 && e->type.n < 32);
	assert_true(memchr(e->data.p, '\n', e->data.n) == NULL);
	if (l->n)
		assert_int_equal(e->seq, l->last_seq + 1);
	l->last_seq = e->seq;
	memcpy(l->lines[l->n], e->data.p, e->data.n);
	l->lines[l->n][e->data.n] = '\0';
	memcpy(l->types[l->n], e->type.p, e->type.n);
	l->types[l->n][e->type.n] = '\0';
	l->n++;
	l->last = e->last;
	return l->n != l->stop_at;
}

static void
events(size_t n, int64_t after, struct log *l)
{
	struct az_history h = {T.ev, n};
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	struct az_err err = AZ_ERR_INIT;
	size_t stop_at = l->stop_at;

	memset(l, 0, sizeof(*l));
	l->stop_at = stop_at;
	if (az_flow_events(&h, after, a, collect, l, &err) != AZ_OK)
		fail_msg("events: %s", err.text);
	az_arena_free(a);
}

static struct az_flow_view
view(size_t n)
{
	struct az_history h = {T.ev, n};
	struct az_err err = AZ_ERR_INIT;
	struct az_flow_view v;

	if (az_flow_view(&h, T.a, &v, &err) != AZ_OK)
		fail_msg("view: %s", err.text);
	return v;
}

static void
step(const char *name, const char *result)
{
	struct az_err err = AZ_ERR_INIT;

	assert_true(tiny_fold(&T, &err) >= 0);
	assert_true(az_str_eqc(tiny_pending(&T)->name, name));
	tiny_add(&T, AZ_EV_FN_COMPLETED, tiny_pending(&T)->id, NULL, az_str_c(result));
}

static void
whole_run(void)
{
	struct az_err err = AZ_ERR_INIT;

	tiny_init(&T, &az_flow_coding, INPUT);
	step(AZ_FN_GENERATE, GEN);
	step(AZ_FN_RUN, RAN);
	step(AZ_FN_VALIDATE, MISS);
	step(AZ_FN_GENERATE, GEN);
	step(AZ_FN_RUN, RAN);
	step(AZ_FN_VALIDATE, PASS);
	step(AZ_FN_FINALIZE, "{\"v\":1,\"iteration\":2}");
	assert_int_equal(tiny_fold(&T, &err), 1);
}

static void
log_of_a_run(void **state)
{
	static const char *const want[] = {"run.status", "warning", "run.status", "iteration.start",
	    "llm.done", "files.changed", "sandbox.start", "check", "verdict", "usage",
	    "iteration.start", "llm.done", "files.changed", "sandbox.start", "verdict", "usage",
	    "run.finished"};
	static struct log l;

	(void)state;
	whole_run();
	events(T.n, 0, &l);
	assert_int_equal(l.n, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < l.n; i++)
		assert_string_equal(l.types[i], want[i]);
	assert_true(l.last);
	/* what a function says about seq and time does not count */
	assert_non_null(strstr(l.lines[5], "\"seq\":6,"));
	assert_null(strstr(l.lines[5], "never"));
	/* a verdict belongs to its own iteration, although the next is already decided */
	assert_non_null(strstr(l.lines[8], "\"iteration\":1,"));
	assert_non_null(strstr(l.lines[10], "\"iteration\":2,"));
	assert_non_null(strstr(l.lines[15], "\"tokens_in\":20"));
	assert_non_null(strstr(l.lines[16], "\"status\":\"succeeded\""));
	assert_non_null(strstr(l.lines[0], "\"t\":\"2026-"));
	tiny_release(&T);
}

static void
numbers_stay_when_the_log_grows(void **state)
{
	static struct log all, part;

	(void)state;
	whole_run();
	events(T.n, 0, &all);
	for (size_t n = 1; n <= T.n; n++) {
		events(n, 0, &part);
		assert_true(part.n <= all.n);
		for (size_t i = 0; i < part.n; i++)
			assert_string_equal(part.lines[i], all.lines[i]);
		assert_int_equal(view(n).last_event, (int64_t)part.n);
	}
	tiny_release(&T);
}

static void
resuming_leaves_no_gap_and_no_double(void **state)
{
	static struct log all, rest;

	(void)state;
	whole_run();
	events(T.n, 0, &all);
	for (int64_t after = 0; after <= (int64_t)all.n; after++) {
		events(T.n, after, &rest);
		assert_int_equal(rest.n, all.n - (size_t)after);
		for (size_t i = 0; i < rest.n; i++)
			assert_string_equal(rest.lines[i], all.lines[(size_t)after + i]);
	}
	rest.stop_at = 3; /* a reader that has enough */
	events(T.n, 2, &rest);
	assert_int_equal(rest.n, 3);
	tiny_release(&T);
}

static void
view_moves_forward(void **state)
{
	struct az_flow_view v;
	int percent = 0;

	(void)state;
	whole_run();
	for (size_t n = 1; n <= T.n; n++) {
		v = view(n);
		assert_true(v.percent >= percent && v.percent <= 100);
		percent = v.percent;
		assert_int_equal(v.phase == NULL, n == T.n);
		assert_int_equal(v.result, n == T.n ? 1 : -1);
	}
	assert_string_equal(view(1).status, "queued");
	assert_string_equal(view(3).status, "running");
	assert_string_equal(view(3).phase, "generate");
	v = view(T.n);
	assert_string_equal(v.status, "succeeded");
	assert_null(v.reason);
	assert_int_equal(v.iteration, 2);
	assert_int_equal(v.max_iterations, 4);
	assert_int_equal(v.best_iteration, 2);
	assert_int_equal(v.llm_calls, 4);
	assert_int_equal(v.tokens_in, 20);
	assert_int_equal(v.sandbox_ms, 5000);
	assert_true(az_str_eqc(v.model_name, "m-1"));
	assert_true(az_str_eqc(v.provenance, "recording"));
	assert_true(az_str_eqc(v.checks, "[{\"id\":\"c1\",\"status\":\"pass\"}]"));
	assert_true(az_str_find(v.request, AZ_S("\"user_prompt\":\"p\""), 0) >= 0);
	assert_true(az_str_eqc(
	    v.limits, "{\"iterations\":4,\"tokens\":1000,\"wall_s\":100,\"sandbox_s\":60}"));
	assert_true(
	    v.created_ms > 0 && v.started_ms > v.created_ms && v.finished_ms > v.started_ms);
	assert_int_equal(view(T.n).percent, 100);
	tiny_release(&T);
}

static void
cancel_and_failure_are_told(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	static struct log l;
	struct az_flow_view v;

	(void)state;
	tiny_init(&T, &az_flow_coding, INPUT);
	step(AZ_FN_GENERATE, GEN);
	assert_true(tiny_fold(&T, &err) > 0);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
	v = view(T.n);
	assert_string_equal(v.status, "cancelling");
	assert_int_equal(v.result, -1);
	events(T.n, 0, &l);
	assert_string_equal(l.types[l.n - 1], "run.status"); /* told once */
	assert_non_null(strstr(l.lines[l.n - 1], "cancelling"));
	assert_string_not_equal(l.types[l.n - 2], "run.status");
	tiny_release(&T);

	tiny_init(&T, &az_flow_coding, INPUT);
	assert_true(tiny_fold(&T, &err) > 0);
	tiny_fail(&T, tiny_pending(&T)->id, "no_recording", "no recording for this prompt");
	step(AZ_FN_FINALIZE, "{\"v\":1,\"iteration\":0}");
	assert_int_equal(tiny_fold(&T, &err), 1);
	v = view(T.n);
	assert_string_equal(v.status, "failed");
	assert_string_equal(v.reason, "llm_not_configured");
	assert_int_equal(v.result, 0);
	assert_true(az_str_eqc(v.message, "no recording for this prompt"));
	events(T.n, 0, &l);
	assert_string_equal(l.types[l.n - 2], "warning");
	assert_non_null(strstr(l.lines[l.n - 1], "llm_not_configured"));
	tiny_release(&T);

	/* ended by hand */
	tiny_init(&T, &az_flow_coding, INPUT);
	assert_true(tiny_fold(&T, &err) > 0);
	tiny_add(&T, AZ_EV_TERMINATED, 0, NULL, AZ_S(""));
	assert_string_equal(view(T.n).status, "cancelled");
	events(T.n, 0, &l);
	assert_true(l.last);
	tiny_release(&T);
}

/* An engine gives a run up by itself, in the middle of whatever it does. */
static void
failures_of_the_engine_have_a_reason(void **state)
{
	static const struct {
		enum az_ev_type type;
		const char *status, *reason, *message;
	} cases[] = {
	    {AZ_EV_FAILED, "failed", "engine_unavailable", "event 3 is damaged"},
	    {AZ_EV_TIMED_OUT, "timed_out", "budget_exhausted", ""},
	};
	static struct log l;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (int decided = 0; decided < 2; decided++) {
			struct az_err err = AZ_ERR_INIT;
			struct az_flow_view v;
			struct az_event *e;

			tiny_init(&T, &az_flow_coding, INPUT);
			step(AZ_FN_GENERATE, GEN);
			assert_true(tiny_fold(&T, &err) > 0);
			if (decided)
				tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S(""));
			tiny_add(&T, cases[i].type, 0, NULL, AZ_S(""));
			e = &T.ev[T.n - 1];
			e->reason = AZ_S("journal_damaged");
			e->message = az_str_c(cases[i].message);
			v = view(T.n);
			assert_string_equal(v.status, cases[i].status);
			assert_string_equal(v.reason, cases[i].reason);
			assert_int_equal(v.result, 0);
			if (!decided)
				assert_true(az_str_eqc(v.message, cases[i].message));
			events(T.n, 0, &l);
			assert_true(l.last);
			assert_non_null(strstr(l.lines[l.n - 1], cases[i].reason));
			tiny_release(&T);
		}
}

/* Some engines keep no payload with a failure: what the run asked for is still its own. */
static void
a_failure_without_payload_keeps_its_reason(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	tiny_init(&T, &az_flow_coding, INPUT);
	assert_true(tiny_fold(&T, &err) > 0);
	tiny_fail(&T, tiny_pending(&T)->id, "llm_unavailable", "away");
	step(AZ_FN_FINALIZE, "{\"v\":1,\"iteration\":0}");
	tiny_add(&T, AZ_EV_FAILED, 0, NULL, AZ_S(""));
	assert_string_equal(view(T.n).reason, "llm_unavailable");
	tiny_release(&T);
}

/* Somebody else's service under our workflow's name: its steps are its own, its end counts. */
static void
a_run_that_others_hosted_shows_its_end(void **state)
{
	static const struct {
		enum az_ev_type type;
		const char *payload, *status;
	} t[] = {{AZ_EV_COMPLETED, "{\"status\":\"succeeded\",\"result\":true}", "succeeded"},
	    {AZ_EV_COMPLETED, "{\"status\":\"timed_out\"}", "timed_out"},
	    {AZ_EV_COMPLETED, "true", "succeeded"}, {AZ_EV_COMPLETED, "\"done\"", "failed"},
	    {AZ_EV_CANCELED, "{}", "cancelled"}, {AZ_EV_FAILED, "1", "failed"}};
	static struct log l;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct az_arena *a = az_arena_new(AZ_MIB(16));
		struct az_err err = AZ_ERR_INIT;
		struct az_flow_view v;
		struct az_cmds none;
		struct az_history h;

		tiny_init(&T, &az_flow_coding, INPUT);
		tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, "their_step", AZ_S("1"));
		h = tiny_history(&T);
		/* our fold keeps its hands off */
		assert_int_equal(az_flow_coding.fold(&h, a, &none, &err), AZ_EINTERNAL);
		assert_int_equal(az_flow_view(&h, a, &v, &err), AZ_OK);
		assert_string_equal(v.status, "queued");
		tiny_add(&T, t[i].type, 0, NULL, az_str_c(t[i].payload));
		h = tiny_history(&T);
		assert_int_equal(az_flow_view(&h, a, &v, &err), AZ_OK);
		assert_string_equal(v.status, t[i].status);
		memset(&l, 0, sizeof l);
		events(h.n, 0, &l);
		assert_true(l.last);
		assert_string_equal(l.types[l.n - 1], "run.finished");
		tiny_release(&T);
		az_arena_free(a);
	}
}

static void
an_empty_history_has_no_view(void **state)
{
	struct az_history h = {NULL, 0};
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_flow_view v;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	assert_int_equal(az_flow_view(&h, a, &v, &err), AZ_ENOTFOUND);
	az_arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(log_of_a_run),
	    cmocka_unit_test(numbers_stay_when_the_log_grows),
	    cmocka_unit_test(resuming_leaves_no_gap_and_no_double),
	    cmocka_unit_test(view_moves_forward),
	    cmocka_unit_test(cancel_and_failure_are_told),
	    cmocka_unit_test(failures_of_the_engine_have_a_reason),
	    cmocka_unit_test(a_failure_without_payload_keeps_its_reason),
	    cmocka_unit_test(a_run_that_others_hosted_shows_its_end),
	    cmocka_unit_test(an_empty_history_has_no_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
