/* flow: the workflow that serves the runs of one user: places and budgets. */
#include "flow_user_fixture.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
