/*
 * AutonomousCodingWorkflow driven by hand: each scenario feeds what functions and
 * people did and looks at what the run wanted next.
 */
#ifndef FLOW_CODING_FIXTURE_H
#define FLOW_CODING_FIXTURE_H

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

static inline void
begin(const char *input)
{
	tiny_init(&T, &az_flow_coding, input);
}

static inline int
setup(void **state)
{
	(void)state;
	memset(&T, 0, sizeof(T));
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	tiny_release(&T);
	return 0;
}

/* Fold; the one function now under way must be name. */
static inline const struct az_event *
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

static inline void
done(const char *name, const char *result)
{
	const struct az_event *p = expect_fn(name);

	tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL, az_str_c(result));
}

static inline const struct az_json *
json(struct az_str s)
{
	const struct az_json *j = NULL;

	assert_int_equal(az_json_parse_in(T.a, s, &az_json_own_limits, &j, NULL), AZ_OK);
	return j;
}

static inline int64_t
input_of(const struct az_event *p, const char *key)
{
	return az_json_geti(json(p->payload), key, -1);
}

static inline const struct az_event *
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
	if (reason) {
		size_t i = 0;

		assert_true(az_str_eqc(az_json_gets(j, "reason"), reason));
		while (az_flow_reasons[i] && strcmp(az_flow_reasons[i], reason) != 0)
			i++;
		assert_non_null(az_flow_reasons[i]);
	} else {
		assert_int_equal(az_json_type(az_json_get(j, "reason")), AZ_JNULL);
	}
	assert_int_equal(az_json_getb(j, "result", true), strcmp(status, "succeeded") == 0);
	/* nothing is wanted after the end */
	assert_int_equal(tiny_fold(&T, &err), 0);
	return c;
}

static inline void
round_of(const char *verdict)
{
	done(AZ_FN_GENERATE, GEN);
	done(AZ_FN_RUN, RAN);
	done(AZ_FN_VALIDATE, verdict);
}

/*
 * Folding every prefix: never a refusal, commands become events later on, never twice.
 */
static inline void
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

#define GRACEFUL AZ_S("{\"mode\":\"graceful\"}")

/* The last timer started, which is the one that ends the grace. */
static inline int64_t
grace_timer(void)
{
	int64_t id = 0;

	for (size_t i = 0; i < T.n; i++)
		if (T.ev[i].type == AZ_EV_TIMER_STARTED)
			id = T.ev[i].id;
	return id == tiny_timer(&T) ? 0 : id;
}

/* In the middle of run_with_e2b, asked to end gracefully. */
static inline int64_t
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

#endif
