/* The workflow that serves the runs of one user, driven by hand. */
#ifndef FLOW_USER_FIXTURE_H
#define FLOW_USER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/flow.h>
#include "tiny_engine.h"

#define DAY (INT64_C(86400) * 1000)
#define MIN (INT64_C(60) * 1000)

static struct tiny T;

static inline int
setup(void **state)
{
	(void)state;
	tiny_init(&T, &az_flow_user, "{\"v\":1}");
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	tiny_release(&T);
	return 0;
}

static inline void
fold(void)
{
	struct az_err err = AZ_ERR_INIT;

	if (tiny_fold(&T, &err) < 0)
		fail_msg("fold refused: %s", err.text);
}

static inline void
tell(const char *signal, const char *payload)
{
	tiny_add(&T, AZ_EV_SIGNALED, 0, signal, az_str_c(payload));
}

/* A run that wants so many tokens, where so many may run and use up together so many. */
static inline void
apply(const char *wid, int places, int cap, int want)
{
	char s[400];

	snprintf(s, sizeof s,
	    "{\"wid\":\"%s\",\"want\":{\"iterations\":20,\"tokens\":%d,\"wall_s\":60,"
	    "\"sandbox_s\":60},\"hook\":false,\"caps\":{\"runs\":%d,\"tokens\":%d}}",
	    wid, want, places, cap);
	tell(AZ_SIG_APPLY, s);
}

static inline void
done(const char *wid, int tokens, bool hook)
{
	char s[200];

	snprintf(s, sizeof s, "{\"wid\":\"%s\",\"used\":{\"tokens\":%d},\"hook\":%s}", wid, tokens,
	    hook ? "true" : "false");
	tell(AZ_SIG_DONE, s);
}

/* The function of this name under way, or NULL. */
static inline const struct az_event *
under_way(const char *name)
{
	const struct az_event *p = NULL;

	for (size_t i = 0; i < T.n; i++) {
		const struct az_event *e = &T.ev[i];

		if (e->type == AZ_EV_FN_SCHEDULED && az_str_eqc(e->name, name))
			p = e;
		else if (p && e->ref == p->id)
			p = NULL;
	}
	return p;
}

/* Fold; the function's input in short: "+wid=tokens" for each that is admitted, "-wid" for each
   refused, "wid@position" for each that waits. */
static inline void
expect_admit(const char *want)
{
	const struct az_event *p;
	const struct az_json *in, *l;
	struct az_buf b;

	fold();
	if (!(p = under_way(AZ_FN_ADMIT)))
		fail_msg("nobody is told anything, wanted %s", want);
	assert_int_equal(az_json_parse_in(T.a, p->payload, &az_json_own_limits, &in, NULL), AZ_OK);
	az_buf_init(&b, 4096);
	l = az_json_get(in, "admit");
	for (size_t i = 0; i < az_json_len(l); i++)
		az_buf_addf(&b, " +%.*s=%lld", AZ_FMT(az_json_gets(az_json_at(l, i), "wid")),
		    (long long)az_json_geti(az_json_get(az_json_at(l, i), "grant"), "tokens", -1));
	l = az_json_get(in, "refuse");
	for (size_t i = 0; i < az_json_len(l); i++)
		az_buf_addf(&b, " -%.*s", AZ_FMT(az_json_gets(az_json_at(l, i), "wid")));
	l = az_json_get(in, "queue");
	for (size_t i = 0; i < az_json_len(l); i++)
		az_buf_addf(&b, " %.*s@%lld", AZ_FMT(az_json_gets(az_json_at(l, i), "wid")),
		    (long long)az_json_geti(az_json_at(l, i), "position", -1));
	if (!az_str_eqc(az_str_trim(az_buf_str(&b)), want))
		fail_msg("\"%.*s\", wanted \"%s\"", AZ_FMT(az_buf_str(&b)), want);
	az_buf_release(&b);
}

static inline void
end(const char *name, const char *result)
{
	const struct az_event *p = under_way(name);

	if (!p)
		fail_msg("%s is not under way", name);
	tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL, az_str_c(result));
}

static inline void
told(void)
{
	end(AZ_FN_ADMIT, "{\"v\":1,\"gone\":[]}");
}

static inline void
expect_quiet(void)
{
	fold();
	if (under_way(AZ_FN_ADMIT) || under_way(AZ_FN_CHECK) || under_way(AZ_FN_WEBHOOK))
		fail_msg("something is under way");
}

static inline bool
over(void)
{
	fold();
	return tiny_closed(&T) != NULL;
}

/* The timer that is next fires; at least so late, at most that. */
static inline void
fire(int64_t least, int64_t most)
{
	int64_t id = 0, due = INT64_MAX, ms;

	for (size_t i = 0; i < T.n; i++) {
		bool fired = false;

		if (T.ev[i].type != AZ_EV_TIMER_STARTED)
			continue;
		for (size_t k = i; k < T.n; k++)
			fired |= T.ev[k].type == AZ_EV_TIMER_FIRED && T.ev[k].ref == T.ev[i].id;
		assert_true(az_str_to_i64(T.ev[i].payload, 0, INT64_MAX, &ms));
		if (!fired && T.ev[i].t_ms + ms < due) {
			due = T.ev[i].t_ms + ms;
			id = T.ev[i].id;
		}
	}
	if (!id)
		fail_msg("no timer");
	if (due - T.t_ms < least - 1000 || due - T.t_ms > most + 1000)
		fail_msg("in %lld ms", (long long)(due - T.t_ms));
	if (due > T.t_ms)
		T.t_ms = due;
	tiny_add(&T, AZ_EV_TIMER_FIRED, id, NULL, AZ_S(""));
}

#define U(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
