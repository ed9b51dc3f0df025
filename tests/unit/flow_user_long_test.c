/* flow: the workflow that serves the runs of one user: webhooks, long lives, what strangers send.
 */
#include "flow_user_fixture.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
