/* flow: the workflow that serves the runs of one user: places, budgets, webhooks. */
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

static int
setup(void **state)
{
	(void)state;
	tiny_init(&T, &az_flow_user, "{\"v\":1}");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tiny_release(&T);
	return 0;
}

static void
fold(void)
{
	struct az_err err = AZ_ERR_INIT;

	if (tiny_fold(&T, &err) < 0)
		fail_msg("fold refused: %s", err.text);
}

static void
tell(const char *signal, const char *payload)
{
	tiny_add(&T, AZ_EV_SIGNALED, 0, signal, az_str_c(payload));
}

/* A run that wants so many tokens, where so many may run and use up together so many. */
static void
apply(const char *wid, int places, int cap, int want)
{
	char s[400];

	snprintf(s, sizeof s,
	    "{\"wid\":\"%s\",\"want\":{\"iterations\":20,\"tokens\":%d,\"wall_s\":60,"
	    "\"sandbox_s\":60},\"hook\":false,\"caps\":{\"runs\":%d,\"tokens\":%d}}",
	    wid, want, places, cap);
	tell(AZ_SIG_APPLY, s);
}

static void
done(const char *wid, int tokens, bool hook)
{
	char s[200];

	snprintf(s, sizeof s, "{\"wid\":\"%s\",\"used\":{\"tokens\":%d},\"hook\":%s}", wid, tokens,
	    hook ? "true" : "false");
	tell(AZ_SIG_DONE, s);
}

/* The function of this name under way, or NULL. */
static const struct az_event *
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
static void
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

static void
end(const char *name, const char *result)
{
	const struct az_event *p = under_way(name);

	if (!p)
		fail_msg("%s is not under way", name);
	tiny_add(&T, AZ_EV_FN_COMPLETED, p->id, NULL, az_str_c(result));
}

static void
told(void)
{
	end(AZ_FN_ADMIT, "{\"v\":1,\"gone\":[]}");
}

static void
expect_quiet(void)
{
	fold();
	if (under_way(AZ_FN_ADMIT) || under_way(AZ_FN_CHECK) || under_way(AZ_FN_WEBHOOK))
		fail_msg("something is under way");
}

static bool
over(void)
{
	fold();
	return tiny_closed(&T) != NULL;
}

/* The timer that is next fires; at least so late, at most that. */
static void
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

/* ---- places ---- */

static void
who_comes_alone_gets_a_place_at_once(void **state)
{
	(void)state;
	apply("a", 4, 0, 100);
	expect_admit("+a=100");
	told();
	expect_quiet();
	assert_false(over());
	done("a", 50, false);
	assert_true(over());
	assert_int_equal(tiny_closed(&T)->type, AZ_EV_COMPLETED);
}

static void
the_queue_is_served_in_order_and_told_where_it_stands(void **state)
{
	(void)state;
	apply("a", 1, 0, 1);
	apply("b", 1, 0, 1);
	apply("c", 1, 0, 1);
	expect_admit("+a=1 b@1 c@2");
	told();
	expect_quiet();
	done("a", 1, false);
	expect_admit("+b=1 c@1");
	told();
	/* one that gave up while it waited is no longer in the way */
	apply("d", 1, 0, 1);
	expect_admit("d@2");
	told();
	done("c", 0, false);
	expect_admit("d@1");
	told();
	done("b", 1, false);
	expect_admit("+d=1");
	told();
	done("d", 1, false);
	assert_true(over());
}

static void
what_is_told_twice_counts_once(void **state)
{
	(void)state;
	apply("a", 1, 0, 7);
	expect_admit("+a=7");
	/* its first step was done again: it is told again, and has one place */
	apply("a", 1, 0, 7);
	told();
	expect_admit("+a=7");
	apply("b", 1, 0, 1);
	told();
	expect_admit("b@1");
	told();
	done("a", 1, false);
	done("a", 1, false);
	expect_admit("+b=1");
	told();
	done("b", 0, false);
	assert_true(over());
}

static void
a_run_that_is_gone_keeps_no_place(void **state)
{
	(void)state;
	apply("a", 1, 0, 1);
	apply("b", 1, 0, 1);
	expect_admit("+a=1 b@1");
	end(AZ_FN_ADMIT, "{\"v\":1,\"gone\":[\"a\"]}");
	expect_admit("+b=1");
	told();
	/* it vanishes later, without a word */
	expect_quiet();
	fire(5 * MIN, 5 * MIN);
	fold();
	assert_non_null(under_way(AZ_FN_CHECK));
	end(AZ_FN_CHECK, "{\"v\":1,\"gone\":[]}");
	expect_quiet();
	fire(5 * MIN, 5 * MIN);
	fold();
	end(AZ_FN_CHECK, "{\"v\":1,\"gone\":[\"b\"]}");
	assert_true(over());
}

/* However many have a place, each is looked at in time. */
static void
each_of_many_is_looked_at_in_five_minutes(void **state)
{
	char wid[20];
	bool seen[100] = {false};
	int64_t since;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(wid, sizeof wid, "r%d", i);
		apply(wid, 0, 0, 1);
	}
	for (int i = 0; i < 4; i++) {
		fold();
		told();
	}
	expect_quiet();
	since = T.t_ms;
	for (int n = 0; n < 100;) {
		const struct az_json *in, *l;

		fold();
		if (!under_way(AZ_FN_CHECK)) {
			fire(0, 5 * MIN);
			continue;
		}
		assert_true(T.t_ms - since <= 5 * MIN);
		assert_int_equal(az_json_parse_in(T.a, under_way(AZ_FN_CHECK)->payload,
				     &az_json_own_limits, &in, NULL),
		    AZ_OK);
		l = az_json_get(in, "runs");
		for (size_t i = 0; i < az_json_len(l); i++) {
			int64_t r = 0;

			assert_true(az_str_to_i64(
			    az_str_sub(az_json_str(az_json_at(l, i)), 1, 9), 0, 99, &r));
			n += !seen[r];
			seen[r] = true;
		}
		end(AZ_FN_CHECK, "{\"v\":1,\"gone\":[]}");
	}
}

static void
who_could_not_be_told_is_told_later(void **state)
{
	(void)state;
	apply("a", 1, 0, 3);
	expect_admit("+a=3");
	tiny_fail(&T, under_way(AZ_FN_ADMIT)->id, "poison", "its worker died every time");
	expect_quiet();
	fire(5000, 5000);
	expect_admit("+a=3");
	told();
	done("a", 0, false);
	assert_true(over());
}

static void
the_latest_caps_count(void **state)
{
	(void)state;
	apply("a", 1, 0, 1);
	apply("b", 1, 0, 1);
	expect_admit("+a=1 b@1");
	told();
	apply("c", 3, 0, 1);
	expect_admit("+b=1 +c=1");
	told();
}

static void
who_asks_again_brings_no_old_caps_back(void **state)
{
	(void)state;
	apply("a", 2, 0, 1);
	expect_admit("+a=1");
	told();
	apply("c", 2, 0, 1);
	expect_admit("+c=1");
	told();
	apply("b", 2, 0, 1);
	apply("d", 1, 0, 1);
	expect_admit("b@1 d@2");
	told();
	apply("b", 2, 0, 1);
	expect_admit("b@1");
	told();
	/* one may run, and one does */
	done("a", 0, false);
	expect_quiet();
	done("c", 0, false);
	expect_admit("+b=1 d@1");
}

/* ---- budgets ---- */

static void
budgets_are_reserved_and_settled(void **state)
{
	(void)state;
	apply("a", 0, 1000, 600);
	apply("b", 0, 1000, 600);
	apply("c", 0, 1000, 600);
	/* the second gets what is left, the third what comes back */
	expect_admit("+a=600 +b=400 c@1");
	told();
	expect_quiet();
	done("a", 100, false);
	expect_admit("+c=500");
	told();
	done("b", 400, false);
	done("c", 500, false);
	/* all is used up, and nobody gives any back */
	apply("d", 0, 1000, 600);
	expect_admit("-d");
	told();
	/* what was used up is remembered to the end of the day, and no longer */
	assert_false(over());
	fire(5 * MIN, 5 * MIN); /* who has a place is looked after: nobody has */
	expect_quiet();
	fire(DAY - T.t_ms % DAY, DAY - T.t_ms % DAY);
	assert_true(over());
}

/* Who ends without a word has used what was reserved for it, unless it never began. */
static void
who_vanishes_has_used_what_it_got(void **state)
{
	(void)state;
	apply("a", 0, 1000, 1000);
	expect_admit("+a=1000");
	end(AZ_FN_ADMIT, "{\"v\":1,\"gone\":[\"a\"]}");
	apply("b", 0, 1000, 600);
	expect_admit("+b=600");
	/* the call failed when some had heard it already, as this one */
	tiny_fail(&T, under_way(AZ_FN_ADMIT)->id, "poison", "its worker died every time");
	expect_quiet();
	fire(5000, 5000);
	expect_admit("+b=600");
	end(AZ_FN_ADMIT, "{\"v\":1,\"gone\":[\"b\"]}");
	apply("c", 0, 1000, 1000);
	expect_admit("+c=400");
	told();
	expect_quiet();
	fire(4 * MIN, 5 * MIN); /* begun for the first */
	expect_quiet();
	fire(0, MIN);
	fold();
	end(AZ_FN_CHECK, "{\"v\":1,\"gone\":[\"c\"]}");
	apply("d", 0, 1000, 1);
	expect_admit("-d");
}

static void
a_new_day_has_a_new_budget(void **state)
{
	(void)state;
	apply("a", 0, 1000, 1000);
	expect_admit("+a=1000");
	told();
	done("a", 1000, false);
	expect_quiet();
	T.t_ms += DAY;
	apply("b", 0, 1000, 700);
	expect_admit("+b=700");
	told();
}

/* ---- webhooks ---- */

static void
expect_try(int n, bool last)
{
	const struct az_json *in;

	fold();
	assert_non_null(under_way(AZ_FN_WEBHOOK));
	assert_int_equal(az_json_parse_in(T.a, under_way(AZ_FN_WEBHOOK)->payload,
			     &az_json_own_limits, &in, NULL),
	    AZ_OK);
	assert_true(az_str_eqc(az_json_gets(in, "wid"), "a"));
	assert_int_equal(az_json_geti(in, "try", 0), n);
	assert_int_equal(az_json_getb(in, "last", !last), last);
}

static void
a_webhook_is_tried_with_growing_pauses(void **state)
{
	static const int64_t pause_s[] = {5, 15, 45, 135, 405, 1215, 3600, 3600};

	(void)state;
	done("a", 0, true);
	for (int i = 0; i < 8; i++) {
		expect_try(i + 1, false);
		if (i % 2)
			end(AZ_FN_WEBHOOK, "{\"v\":1,\"over\":false}");
		else
			tiny_fail(&T, under_way(AZ_FN_WEBHOOK)->id, "timeout", "start_to_close");
		expect_quiet();
		fire(1000 * pause_s[i], 1000 * pause_s[i]);
	}
	/* meanwhile others are served */
	apply("b", 1, 0, 1);
	expect_admit("+b=1");
	told();
	done("b", 0, false);
	expect_try(9, false);
	end(AZ_FN_WEBHOOK, "{\"v\":1,\"over\":true}");
	assert_true(over());
}

static void
a_webhook_is_given_up_after_a_day(void **state)
{
	int64_t begun = T.t_ms;
	int tries = 0;

	(void)state;
	done("a", 0, true);
	do {
		expect_try(++tries, T.t_ms - begun >= 25 * 60 * MIN);
		end(AZ_FN_WEBHOOK, "{\"v\":1,\"over\":false}");
		if (over())
			break;
		fire(0, 60 * MIN);
	} while (tries < 100);
	assert_true(T.t_ms - begun >= DAY);
	assert_true(tries > 20 && tries < 60);
	assert_non_null(tiny_closed(&T));
}

/* What the try of this webhook says of its being the last; serves those that come before it. */
static bool
tried_as_last(const char *wid)
{
	const struct az_json *in;

	for (int i = 0; i < 1000; i++) {
		fold();
		if (T.n == 1)
			continue; /* begun anew */
		if (!under_way(AZ_FN_WEBHOOK)) {
			fire(0, 60 * MIN);
			continue;
		}
		assert_int_equal(az_json_parse_in(T.a, under_way(AZ_FN_WEBHOOK)->payload,
				     &az_json_own_limits, &in, NULL),
		    AZ_OK);
		end(AZ_FN_WEBHOOK, "{\"v\":1,\"over\":false}");
		if (az_str_eqc(az_json_gets(in, "wid"), wid))
			return az_json_getb(in, "last", false);
	}
	fail_msg("%s is not tried", wid);
	return false;
}

/* A try that began in time may end too late: the run has to hear that it was given up. */
static void
the_last_try_of_a_webhook_says_so(void **state)
{
	(void)state;
	done("a", 0, true);
	expect_try(1, false);
	T.t_ms += 26 * 60 * MIN;
	end(AZ_FN_WEBHOOK, "{\"v\":1,\"over\":false}");
	fold();
	assert_null(tiny_closed(&T));
	fire(5000, 5000);
	expect_try(2, true);
	/* it cannot be told even that: no other follows */
	tiny_fail(&T, under_way(AZ_FN_WEBHOOK)->id, "timeout", "start_to_close");
	assert_true(over());
}

static void
of_too_many_webhooks_the_oldest_is_given_up_aloud(void **state)
{
	char wid[20];

	(void)state;
	for (int i = 0; i < 202; i++) {
		snprintf(wid, sizeof wid, "h%d", i);
		done(wid, 0, true);
	}
	assert_true(tried_as_last("h0"));
	assert_true(tried_as_last("h1"));
	assert_false(tried_as_last("h2"));
	assert_false(tried_as_last("h201"));
	/* in the next history as well */
	for (int i = 0; i < 1000; i++)
		done("nobody", 0, false);
	fold();
	if (under_way(AZ_FN_ADMIT))
		told();
	fold();
	assert_true(T.anew > 0);
	done("h202", 0, true);
	assert_false(tried_as_last("h3"));
	for (int i = 203; i < 206; i++) {
		snprintf(wid, sizeof wid, "h%d", i);
		done(wid, 0, true);
	}
	assert_true(tried_as_last("h4"));
	assert_false(tried_as_last("h100"));
}

/* ---- long lives ---- */

static void
a_long_history_begins_anew_with_all_in_hand(void **state)
{
	char wid[20];

	(void)state;
	apply("a", 2, 5000, 600);
	apply("b", 2, 5000, 600);
	apply("c", 2, 5000, 600);
	done("h", 0, true);
	expect_admit("+a=600 +b=600 c@1");
	told();
	for (int i = 0; !T.anew && i < 1000; i++) {
		snprintf(wid, sizeof wid, "w%d", i);
		apply(wid, 2, 5000, 600);
		done(wid, 0, false);
		fold();
	}
	assert_int_equal(T.anew, 1);
	assert_int_equal(T.n, 1);
	/* the delivery under way was dropped, and is done again */
	fold();
	assert_non_null(under_way(AZ_FN_WEBHOOK));
	end(AZ_FN_WEBHOOK, "{\"v\":1,\"over\":true}");
	expect_quiet();
	done("a", 100, false);
	expect_admit("+c=600");
	told();
	done("b", 200, false);
	done("c", 300, false);
	apply("d", 2, 1000, 600);
	expect_admit("+d=400");
}

/* The nth of a flood, with the longest id and the largest wishes. */
static void
apply_large(int n)
{
	char s[400];

	snprintf(s, sizeof s,
	    "{\"wid\":\"run-%074d\",\"want\":{\"iterations\":100,\"tokens\":1099511627776,"
	    "\"wall_s\":2592000,\"sandbox_s\":2592000},\"hook\":false,\"caps\":{\"runs\":0}}",
	    n);
	tell(AZ_SIG_APPLY, s);
}

/* All that may be in hand fits into one payload, whoever applies how often. */
static void
a_flood_of_applications_begins_anew_all_the_same(void **state)
{
	const struct az_json *in;
	char wid[100];
	int n = 0, anew;

	(void)state;
	while (n < 500) {
		apply_large(n++);
		if (n % 25)
			continue;
		fold();
		if (!under_way(AZ_FN_ADMIT)) /* it began anew */
			fold();
		told();
	}
	for (int i = 0; i < 450; i++) {
		snprintf(wid, sizeof wid, "hook-%073d", i);
		done(wid, 0, true);
	}
	apply_large(n++);
	fold();
	fold();
	assert_non_null(under_way(AZ_FN_ADMIT));
	while (n < 3500)
		apply_large(n++);
	fold();
	anew = T.anew;
	told();
	fold();
	assert_int_equal(T.anew, anew + 1);
	in = NULL;
	assert_int_equal(
	    az_json_parse_in(T.a, T.ev[0].payload, &az_json_own_limits, &in, NULL), AZ_OK);
	assert_int_equal(az_json_len(az_json_get(in, "running")), 500);
	assert_int_equal(az_json_len(az_json_get(in, "waiting")), 500);
	assert_int_equal(az_json_len(az_json_get(in, "refused")), 300);
	assert_int_equal(az_json_len(az_json_get(in, "hooks")), 400);
	/* and goes on: they are told, and places go to those who wait */
	fold();
	told();
	snprintf(wid, sizeof wid, "run-%074d", 7);
	done(wid, 0, false);
	fold();
	assert_non_null(under_way(AZ_FN_ADMIT));
}

/* Any order of what may happen: nobody waits without a reason, nobody is served out of turn, no
   more run than may, and each prefix is one that a fold takes. */
static void
nothing_is_lost_whatever_happens(void **state)
{
	enum { RUNS = 60, CAP = 3 };
	int next = 0, n_running = 0, next_admitted = 0, finished = 0;
	bool running[RUNS] = {false};
	uint32_t dice = 12345;
	char wid[20];

	(void)state;
	while (finished < RUNS) {
		const struct az_event *p;

		dice = dice * 1664525 + 1013904223;
		if ((dice >> 16) % 3 == 0 && next < RUNS) {
			snprintf(wid, sizeof wid, "r%d", next++);
			apply(wid, CAP, 0, 1);
		} else if ((dice >> 16) % 3 == 1 && n_running) {
			int r = (int)((dice >> 20) % RUNS);

			while (!running[r])
				r = (r + 1) % RUNS;
			snprintf(wid, sizeof wid, "r%d", r);
			done(wid, 0, false);
			running[r] = false;
			n_running--;
			finished++;
		}
		fold();
		if (tiny_closed(&T)) {
			assert_int_equal(finished, next);
			teardown(state);
			setup(state);
			continue;
		}
		if (!(p = under_way(AZ_FN_ADMIT)) || (dice >> 24) % 2)
			continue;
		{
			const struct az_json *in, *l;

			assert_int_equal(
			    az_json_parse_in(T.a, p->payload, &az_json_own_limits, &in, NULL),
			    AZ_OK);
			l = az_json_get(in, "admit");
			for (size_t i = 0; i < az_json_len(l); i++) {
				snprintf(wid, sizeof wid, "r%d", next_admitted);
				assert_true(az_str_eqc(az_json_gets(az_json_at(l, i), "wid"), wid));
				running[next_admitted++] = true;
				n_running++;
			}
		}
		assert_true(n_running <= CAP);
		told();
	}
	assert_int_equal(next_admitted, RUNS);
	for (size_t n = 1; n <= T.n; n++) {
		struct az_arena *a = az_arena_new(AZ_MIB(16));
		struct az_err err = AZ_ERR_INIT;
		struct az_cmds cmds;

		if (tiny_fold_prefix(&T, n, a, &cmds, &err))
			fail_msg("the first %zu events: %s", n, err.text);
		az_arena_free(a);
	}
}

/* What strangers may send, and a history that was not made here. */
static void
noise_changes_nothing_and_strange_histories_are_refused(void **state)
{
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	apply("a", 1, 0, 1);
	tell("hint", "{}");
	tell(AZ_SIG_APPLY, "no json");
	tell(AZ_SIG_APPLY, "[]");
	tell(AZ_SIG_DONE, "{\"wid\":\"stranger\"}");
	tell(AZ_SIG_DONE, "");
	tiny_add(&T, AZ_EV_CANCEL_REQUESTED, 0, NULL, AZ_S("{}"));
	expect_admit("+a=1");
	told();
	tiny_add(&T, AZ_EV_FN_SCHEDULED, 0, "generate_code", AZ_S("{}"));
	assert_int_equal(tiny_fold(&T, &err), -1);
	assert_int_equal(err.code, AZ_EINTERNAL);
}

#define U(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    U(who_comes_alone_gets_a_place_at_once),
	    U(the_queue_is_served_in_order_and_told_where_it_stands),
	    U(what_is_told_twice_counts_once),
	    U(a_run_that_is_gone_keeps_no_place),
	    U(each_of_many_is_looked_at_in_five_minutes),
	    U(who_could_not_be_told_is_told_later),
	    U(the_latest_caps_count),
	    U(who_asks_again_brings_no_old_caps_back),
	    U(budgets_are_reserved_and_settled),
	    U(who_vanishes_has_used_what_it_got),
	    U(a_new_day_has_a_new_budget),
	    U(a_webhook_is_tried_with_growing_pauses),
	    U(a_webhook_is_given_up_after_a_day),
	    U(the_last_try_of_a_webhook_says_so),
	    U(of_too_many_webhooks_the_oldest_is_given_up_aloud),
	    U(a_long_history_begins_anew_with_all_in_hand),
	    U(a_flood_of_applications_begins_anew_all_the_same),
	    U(nothing_is_lost_whatever_happens),
	    U(noise_changes_nothing_and_strange_histories_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
