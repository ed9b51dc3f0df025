/*
 * Out of memory while a run is folded: every prefix of a history gives the commands,
 * the view and the events it always gives, or AZ_ENOMEM. Taking a lost allocation for a
 * history that cannot be would end the run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/flow.h>
#include "tiny_engine.h"
#include "torture.h"

#define INPUT                                                                                      \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"sum a column\","                \
	"\"test_conditions\":\"prints 42\",\"model\":\"m\",\"inputs\":[{\"name\":\"a.csv\"}],"     \
	"\"limits\":{\"iterations\":4,\"tokens\":100000,\"wall_s\":600,\"sandbox_s\":60}},"        \
	"\"warnings\":[\"member x ignored\",{\"message\":\"another\"}]}"
#define LOOKED                                                                                     \
	"{\"v\":1,\"explicit\":2,\"passed\":1,\"unjudged\":0,\"sandbox_ms\":100,\"events\":"       \
	"[{\"type\":\"sandbox.start\"}]}"
#define WROTE                                                                                      \
	"{\"v\":1,\"model\":\"m-1\",\"provenance\":\"recording\",\"calls\":1,\"tokens_in\":10,"    \
	"\"tokens_out\":5,\"events\":[{\"type\":\"llm.done\",\"tokens_out\":5},"                   \
	"{\"type\":\"files.changed\",\"files\":[\"main.py\",\"Dockerfile\"]}]}"
#define RAN                                                                                        \
	"{\"v\":1,\"kind\":\"ok\",\"sandbox_ms\":2000,\"events\":[{\"type\":\"sandbox.start\"}]}"
#define JUDGED(passed, n)                                                                          \
	"{\"v\":1,\"passed\":" passed ",\"n_passed\":" n ",\"n_total\":2,\"checks\":"              \
	"[{\"id\":\"c1\",\"status\":\"pass\"},{\"id\":\"c2\",\"status\":\"fail\"}],"               \
	"\"error_sig\":\"ValueError\",\"tree\":\"t\",\"events\":[{\"type\":\"check\","             \
	"\"id\":\"c1\"},{\"type\":\"verdict\",\"reason\":\"\\u00e9\"}]}"
#define FINAL "{\"v\":1,\"iteration\":3,\"files\":2}"

static struct tiny T;
static struct az_history now; /* the prefix at hand */

/* Fold, then let the function that is under way end so. */
static void
done(const char *result)
{
	struct az_err err = AZ_ERR_INIT;
	const struct az_event *p;

	if (tiny_fold(&T, &err) < 0)
		fail_msg("fold refused: %s", err.text);
	p = tiny_pending(&T);
	assert_non_null(p);
	if (result)
		tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL, az_str_c(result));
	else
		tiny_fail(&T, p->id, "sandbox_unavailable", "the sandboxes do not answer");
}

static void
close_it(void)
{
	struct az_err err = AZ_ERR_INIT;

	assert_int_equal(tiny_fold(&T, &err), 1);
	assert_non_null(tiny_closed(&T));
}

static enum az_code
fold(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_cmds c = {.n = 0};
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = T.wf->fold(&now, a, &c, err);
	torture_pause();
	az_buf_init(&b, AZ_MIB(1));
	for (size_t i = 0; !rc && i < c.n; i++)
		az_buf_addf(&b, "%d %.*s %.*s %.*s %.*s %lld %lld\n", (int)c.v[i].type,
		    AZ_FMT(c.v[i].name), AZ_FMT(c.v[i].payload), AZ_FMT(c.v[i].reason),
		    AZ_FMT(c.v[i].message), (long long)c.v[i].ref, (long long)c.v[i].delay_ms);
	if (!rc)
		torture_made(az_buf_str(&b));
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

static bool
on_event(void *arg, const struct az_flow_event *e)
{
	torture_pause();
	az_buf_addf(arg, "%lld %.*s %.*s %d\n", (long long)e->seq, AZ_FMT(e->type), AZ_FMT(e->data),
	    e->last);
	torture_resume();
	return true;
}

/* A reader keeps what it was told before a failure: that must be right too. */
static enum az_code
events(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	az_buf_init(&b, AZ_MIB(1));
	rc = az_flow_events(&now, 0, a, on_event, &b, err);
	if (!rc)
		torture_made(az_buf_str(&b));
	az_buf_release(&b);
	az_arena_free(a);
	return rc;
}

static enum az_code
view(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_flow_view v;
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = az_flow_view(&now, a, &v, err);
	torture_pause();
	az_buf_init(&b, AZ_MIB(1));
	if (!rc) {
		az_buf_addf(&b, "%s %s %s %d %d/%d %d%% %d %lld\n", v.status,
		    v.phase ? v.phase : "-", v.reason ? v.reason : "-", v.result, v.iteration,
		    v.max_iterations, v.percent, v.best_iteration, (long long)v.last_event);
		az_buf_addf(&b, "%.*s %.*s %.*s %.*s %.*s", AZ_FMT(v.message), AZ_FMT(v.checks),
		    AZ_FMT(v.request), AZ_FMT(v.limits), AZ_FMT(v.model_name));
		torture_made(az_buf_str(&b));
	}
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

static enum az_code
query(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	az_buf_init(&b, AZ_MIB(1));
	rc = az_flow_coding.query(&now, AZ_S("status"), a, &b, err);
	if (!rc)
		torture_made(az_buf_str(&b));
	az_buf_release(&b);
	az_arena_free(a);
	return rc;
}

static void
every_prefix(void)
{
	static const struct {
		const char *name;
		enum az_code (*work)(struct az_err *err);
	} ways[] = {{"fold", fold}, {"events", events}, {"view", view}, {"query", query}};
	char what[40];

	for (size_t n = 1; n <= T.n; n++)
		for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
			now = (struct az_history){T.ev, n};
			snprintf(what, sizeof what, "%s of %zu events", ways[i].name, n);
			torture(what, ways[i].work);
		}
}

static void
a_run_that_succeeds_at_last(void **state)
{
	static const char *const verdicts[] = {
	    JUDGED("false", "1"), JUDGED("false", "1"), JUDGED("true", "2")};

	(void)state;
	tiny_init(&T, &az_flow_coding, INPUT);
	done(LOOKED);
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		done(WROTE);
		done(RAN);
		done(verdicts[i]);
	}
	done(FINAL);
	close_it();
	every_prefix();
	tiny_release(&T);
}

static void
a_run_that_is_cancelled(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	const struct az_event *p;

	(void)state;
	tiny_init(&T, &az_flow_coding, INPUT);
	done(LOOKED);
	assert_true(tiny_fold(&T, &err) > 0);
	p = tiny_pending(&T);
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{\"mode\":\"graceful\"}"));
	assert_int_equal(tiny_fold(&T, &err), 1); /* the grace timer */
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{\"mode\":\"now\"}"));
	assert_int_equal(tiny_fold(&T, &err), 1);
	assert_true(tiny_cancel_wanted(&T, p->id));
	tiny_add(&T, AZ_EV_FN_CANCELED, p->id, NULL, AZ_S(""));
	done(FINAL);
	close_it();
	every_prefix();
	tiny_release(&T);
}

static void
a_run_without_sandboxes(void **state)
{
	(void)state;
	tiny_init(&T, &az_flow_coding, INPUT);
	done(NULL);
	done(FINAL);
	close_it();
	every_prefix();
	tiny_release(&T);
}

/* One that waits for a place first. */
static void
a_run_that_is_queued_and_refused(void **state)
{
	(void)state;
	tiny_init(&T, &az_flow_coding,
	    "{\"v\":1,\"user\":{\"runs\":1,\"tokens\":9},\"request\":{\"user_prompt\":\"p\"}}");
	done("{\"v\":1}");
	tiny_add(&T, AZ_EV_SIGNALED, 0, AZ_SIG_QUEUE, AZ_S("{\"position\":2}"));
	tiny_add(&T, AZ_EV_SIGNALED, 0, AZ_SIG_REFUSED, AZ_S("{\"message\":\"no\"}"));
	done(FINAL);
	close_it();
	every_prefix();
	tiny_release(&T);
}

/* The workflow that serves such runs, with all that it may have in hand. */
static void
runs_of_a_user(void **state)
{
	(void)state;
	tiny_init(&T, &az_flow_user,
	    "{\"v\":1,\"caps\":{\"runs\":1,\"tokens\":90},\"used\":{\"tokens\":5},\"running\":[["
	    "\"a\",1,2,3,4,"
	    "false,0,false]],\"waiting\":[[\"b\",1,2,3,4,true,1,false]],\"refused\":[],\"hooks\":[["
	    "\"h\","
	    "1,5,6]]}");
	tiny_add(&T, AZ_EV_SIGNALED, 0, AZ_SIG_APPLY,
	    AZ_S("{\"wid\":\"c\",\"want\":{\"tokens\":7},\"caps\":{\"runs\":2,\"tokens\":90}}"));
	done("{\"v\":1,\"over\":true}");
	tiny_add(&T, AZ_EV_SIGNALED, 0, AZ_SIG_DONE,
	    AZ_S("{\"wid\":\"a\",\"used\":{\"tokens\":70},\"hook\":true}"));
	done(NULL);
	for (size_t n = 1; n <= T.n; n++) {
		now = (struct az_history){T.ev, n};
		torture("fold of a user's workflow", fold);
	}
	tiny_release(&T);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_run_that_succeeds_at_last),
	    cmocka_unit_test(a_run_that_is_cancelled),
	    cmocka_unit_test(a_run_that_is_queued_and_refused),
	    cmocka_unit_test(runs_of_a_user),
	    cmocka_unit_test(a_run_without_sandboxes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
