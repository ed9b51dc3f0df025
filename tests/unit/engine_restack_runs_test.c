/* engine: an equal run has equal events, whichever engine plays it. */
#include "engine_restack_fixture.h"
#include <azlon/flow.h>
#include "tiny_engine.h"
#include "toy_flow.h"

/* ---- a run in both engines ---- */

enum what { DONE, FAIL, LATE, STOPPED, FIRE, SIGNAL, CANCEL };

struct act {
	enum what what;
	const char *a, *b;
};

/* The event that act is about, in either engine. */
static int64_t
target(const struct tiny *t, const struct act *x)
{
	if (x->what == FIRE)
		return tiny_timer(t);
	return x->what < FIRE ? tiny_pending(t)->id : 0;
}

static void
act_here(struct tiny *t, const struct act *x)
{
	static const enum az_ev_type as[] = {[DONE] = AZ_EV_FN_COMPLETED,
	    [STOPPED] = AZ_EV_FN_CANCELED,
	    [FIRE] = AZ_EV_TIMER_FIRED,
	    [SIGNAL] = AZ_EV_SIGNALED,
	    [CANCEL] = AZ_EV_CANCEL_REQUESTED};
	int64_t ref = target(t, x);

	if (x->what == FAIL)
		tiny_fail(t, ref, x->a, x->b);
	else if (x->what == LATE)
		tiny_fail(t, ref, "timeout", "heartbeat");
	else
		tiny_add(t, as[x->what], ref, x->what == SIGNAL ? x->a : "",
		    az_str_c(x->what == SIGNAL ? x->b : x->a));
}

static void
act_there(const struct tiny *seen, const struct act *x)
{
	int64_t ref = target(seen, x);

	switch (x->what) {
	case DONE:
		sim_done(&S, ref, 1, x->a);
		break;
	case FAIL:
		sim_failed(&S, ref, 1, sim_failure(&S, x->a, x->b),
		    AZT__RETRY_STATE__E__NON_RETRYABLE_FAILURE);
		break;
	case LATE:
		sim_timed_out(&S, ref, 1, sim_timeout(&S, AZT__TIMEOUT_TYPE__E__HEARTBEAT),
		    AZT__RETRY_STATE__E__MAXIMUM_ATTEMPTS_REACHED);
		break;
	case STOPPED:
		sim_canceled(&S, ref, 1, x->a);
		break;
	case FIRE:
		sim_fired(&S, ref);
		break;
	case SIGNAL:
		sim_signal(&S, x->a, JSON(&S, x->b));
		break;
	case CANCEL:
		sim_cancel(&S, x->a);
		break;
	}
}

/* Fold the simulated history once; seen becomes what the fold was shown. */
static void
fold_there(const struct az_workflow *wf, struct tiny *seen)
{
	struct az_cmds cmds = {.n = 0};
	struct az_history h;
	Azt__Command **v;
	size_t n;

	sim_task(&S);
	assert_int_equal(read_all(), AZ_OK);
	h = (struct az_history){E.v, E.n};
	assert_int_equal(wf->fold(&h, A, &cmds, &err), AZ_OK);
	assert_int_equal(commands_put(&R, A, &E, &cmds, &v, &n, &err), AZ_OK);
	sim_commands(&S, v, n);
	assert_int_equal(read_all(), AZ_OK);
	assert_true(E.n <= TINY_MAX);
	seen->n = E.n;
	memcpy(seen->ev, E.v, E.n * sizeof *E.v);
}

static size_t
place(const struct az_event *v, size_t n, int64_t id)
{
	for (size_t i = 0; id && i < n; i++)
		if (v[i].id == id)
			return i + 1;
	return 0;
}

static void
assert_same(const struct tiny *t)
{
	assert_int_equal(E.n, t->n);
	for (size_t i = 0; i < E.n; i++) {
		const struct az_event *x = &E.v[i], *y = &t->ev[i];

		assert_int_equal(x->type, y->type);
		assert_int_equal(place(E.v, E.n, x->ref), place(t->ev, t->n, y->ref));
		assert_true(az_str_eq(x->name, y->name) || y->type == AZ_EV_STARTED);
		assert_true(az_str_eq(x->reason, y->reason));
		assert_true(az_str_eq(x->message, y->message));
		if (y->type != AZ_EV_TIMER_STARTED)
			assert_true(az_str_eq(x->payload, y->payload));
		if (y->type == AZ_EV_FN_COMPLETED || y->type == AZ_EV_FN_FAILED)
			assert_int_equal(x->attempt, y->attempt);
		assert_true(i == 0 || x->t_ms >= E.v[i - 1].t_ms);
	}
}

#define CODING                                                                                     \
	"{\"request\":{\"user_prompt\":\"p\",\"limits\":{\"iterations\":30,\"tokens\":100000}}}"
#define GENERATED "{\"v\":1,\"tokens_in\":1,\"tokens_out\":1}"
#define MISSED "{\"v\":1,\"passed\":false,\"n_passed\":0,\"error_sig\":\"s\",\"tree\":\"t\"}"
#define PASSED "{\"v\":1,\"passed\":true,\"n_passed\":1}"

static const struct run {
	const char *name, *input;
	struct act act[12];
	size_t n;
	enum az_ev_type end;
} runs[] = {
    {"a function and a timer", "\"fn:a timer:50 fn:b\"",
	{{DONE, "{\"a\":1}", 0}, {FIRE, 0, 0}, {DONE, "2", 0}}, 3, AZ_EV_COMPLETED},
    {"a failure", "\"fn:a\"", {{FAIL, "llm_unavailable", "no answer"}}, 1, AZ_EV_FAILED},
    {"a timeout", "\"fn:a\"", {{LATE, 0, 0}}, 1, AZ_EV_FAILED},
    {"a signal", "\"fn:a signal\"", {{DONE, "1", 0}, {SIGNAL, "go", "[1]"}}, 2, AZ_EV_COMPLETED},
    {"a cancel", "\"fn:a\"", {{CANCEL, "{\"mode\":\"now\"}", 0}, {STOPPED, "{\"at\":1}", 0}}, 2,
	AZ_EV_CANCELED},
    {"a coding run that passes", CODING,
	{{DONE, GENERATED, 0}, {DONE, "{}", 0}, {DONE, MISSED, 0}, {DONE, GENERATED, 0},
	    {DONE, "{}", 0}, {DONE, PASSED, 0}, {DONE, "{\"iteration\":2}", 0}},
	7, AZ_EV_COMPLETED},
    {"a coding run that fails", CODING,
	{{FAIL, "llm_unavailable", "away"}, {DONE, "{\"iteration\":0}", 0}}, 2, AZ_EV_FAILED},
    {"a coding run out of time", CODING,
	{{DONE, GENERATED, 0}, {FIRE, 0, 0}, {STOPPED, "", 0}, {DONE, "{\"iteration\":1}", 0}}, 4,
	AZ_EV_COMPLETED},
};

static void
an_equal_run_has_equal_events(void **state)
{
	static struct tiny here, there;

	for (size_t i = 0; i < N(runs); i++) {
		const struct run *r = &runs[i];
		const struct az_workflow *wf = r->input[0] == '"' ? &toy_flows[0] : &az_flow_coding;

		print_message("# %s\n", r->name);
		fresh(state);
		tiny_init(&here, wf, r->input);
		there = (struct tiny){.wf = wf};
		sim_start(&S, wf->name, "\"alice\"", JSON(&S, r->input));
		for (size_t k = 0; k <= r->n; k++) {
			assert_true(tiny_fold(&here, &err) >= 0);
			fold_there(wf, &there);
			if (k == r->n)
				break;
			act_here(&here, &r->act[k]);
			act_there(&there, &r->act[k]);
		}
		assert_same(&here);
		assert_int_equal(E.v[E.n - 1].type, r->end);
		assert_text(E.uid, "alice");
		assert_text(E.type, wf->name);
		tiny_release(&here);
	}
	fresh(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {T(an_equal_run_has_equal_events)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
