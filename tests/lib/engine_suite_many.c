/* Contract of engines: many runs, several workers, those who wait. */
#include <stdio.h>
#include <azlon/clock.h>
#include "engine_suite.h"

/* All rows of a query, page by page, of the owner only; how many are in this state. */
static size_t
rows(struct engine_fx *f, struct az_list_query q,
    bool (*test)(const struct az_run_info *r, int64_t arg), int64_t arg)
{
	struct az_list_page p;
	struct az_err err = AZ_ERR_INIT;
	struct az_str last = {0};
	int64_t last_ms = INT64_MAX;
	unsigned seen = 0, bit;
	size_t n = 0;

	do {
		if (az_engine_list(f->e, &q, f->a, &p, &err))
			fail_msg("list: %s", err.text);
		assert_true(p.n <= (size_t)q.limit);
		for (size_t i = 0; i < p.n; i++) {
			struct az_run_info *r = &p.runs[i];

			assert_str(r->uid, "alice");
			assert_str(r->memo, "{\"m\":1}");
			assert_str(r->type, "Toy");
			assert_int_equal(r->workflow_id.n, 2);
			bit = 1u << (r->workflow_id.p[1] - '0');
			assert_false(seen & bit); /* once each */
			seen |= bit;
			if (engine_adapter->exact_lists)
				assert_true(r->start_ms < last_ms ||
					    (r->start_ms == last_ms &&
						az_str_cmp(r->workflow_id, last) < 0));
			last = r->workflow_id;
			last_ms = r->start_ms;
			n += test(r, arg);
		}
		q.cursor = p.next;
	} while (p.next.n);
	return n;
}

/* The same, as soon as it is so. */
static void
lists(struct engine_fx *f, const struct az_list_query *q,
    bool (*test)(const struct az_run_info *r, int64_t arg), int64_t arg, size_t want)
{
	int64_t end = az_boot_ms() + engine_adapter->patience_ms;
	size_t n;

	while ((n = rows(f, *q, test, arg)) != want && !engine_adapter->exact_lists &&
	       az_boot_ms() < end)
		engine_moment();
	assert_int_equal(n, want);
}

static bool
any(const struct az_run_info *r, int64_t unused)
{
	(void)r;
	(void)unused;
	return true;
}

void
engine_test_lists_page_newest_first_and_by_owner(void **state)
{
	struct engine_fx *f = *state;
	struct az_start other = {
	    .workflow_id = AZ_S("other"), .type = "Toy", .uid = AZ_S("bob"), .input = AZ_S("\"\"")};
	struct az_list_query q = {.uid = AZ_S("alice"), .limit = 3};
	struct az_engine_load load;
	struct az_list_page p;
	struct az_err err = AZ_ERR_INIT;
	int64_t open;
	char id[16];
	bool ex;

	assert_int_equal(az_engine_start(f->e, &other, &ex, &err), AZ_OK);
	for (int i = 0; i < 10; i++) {
		snprintf(id, sizeof id, "r%d", i);
		engine_begin(f, id, "signal");
	}
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r4"), "t", &err), 0);
	lists(f, &q, engine_in_state, AZ_RUN_OPEN,
	    9); /* an index that trails has them all by now … */
	lists(f, &q, any, 0, 10);
	q.limit = 200;
	q.state = AZ_RUN_TERMINATED;
	lists(f, &q, engine_in_state, AZ_RUN_TERMINATED, 1);
	assert_int_equal(az_engine_list(f->e, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 1);
	assert_str(p.runs[0].workflow_id, "r4");
	q.state = AZ_RUN_OPEN;
	lists(f, &q, any, 0, 9);
	q.prefix = AZ_S("r");
	q.type = AZ_S("Toy");
	lists(f, &q, any, 0, 9);
	assert_int_equal(az_engine_count(f->e, &q, &open, &err), AZ_OK);
	assert_int_equal(open, 9);
	assert_int_equal(az_engine_load(f->e, "Toy", &load, &err), AZ_OK);
	assert_true(load.runs[AZ_RUN_OPEN] >= 9 && load.runs[AZ_RUN_TERMINATED] >= 1);
	assert_true(load.fn_waiting >= -1 && load.timers >= -1);
	q.type = AZ_S("Other");
	lists(f, &q, any, 0, 0);
	assert_int_equal(az_engine_count(f->e, &q, &open, &err), AZ_OK);
	assert_int_equal(open, 0);
	q.cursor = AZ_S("x");
	assert_int_equal(az_engine_list(f->e, &q, f->a, &p, &err), AZ_EINVAL);
}

void
engine_test_wait_returns_in_time_or_when_told(void **state)
{
	struct engine_fx *f = *state;
	struct az_run_info r;
	struct az_err err;
	bool stop = true;
	int64_t t = az_boot_ms(), now;

	engine_begin(f, "r1", "signal");
	r = engine_info(f, "r1");
	assert_int_equal(az_engine_wait(f->e, AZ_S("r1"), r.version, 50, NULL, &now, &err), AZ_OK);
	assert_int_equal(now, r.version);
	assert_true(az_boot_ms() - t >= 50);
	assert_int_equal(
	    az_engine_wait(f->e, AZ_S("r1"), r.version, 60000, &stop, &now, &err), AZ_OK);
	assert_int_equal(
	    az_engine_wait(f->e, AZ_S("r1"), r.version - 1, 60000, NULL, &now, &err), AZ_OK);
	assert_int_equal(now, r.version);
	assert_true(az_boot_ms() - t < 20000);
}

void
engine_test_a_stopped_worker_hands_its_function_over(void **state)
{
	struct engine_fx *f = *state;
	struct az_run_info r;
	struct az_history h;

	engine_hire(f, 0);
	engine_begin(f, "r1", engine_adapter->stop_is_free ? "fn:beat,tries=1" : "fn:beat,tries=2");
	engine_until(f, "r1", engine_beats, 2);
	engine_dismiss(f, 0); /* told at half of its 400 ms */
	r = engine_info(f, "r1");
	assert_int_equal(r.has_worker, !engine_adapter->knows_no_worker);
	assert_false(r.pending[0].running);
	assert_int_equal(r.pending[0].attempt, 2);
	assert_true(engine_beats(&r, 2)); /* kept for the next one */
	atomic_store(&f->app.go, true);
	engine_hire(f, 1);
	/* where a stop is free, the only try allowed was not used up */
	engine_done(f, "r1", AZ_RUN_COMPLETED);
	h = engine_history(f, "r1");
	assert_int_equal(engine_event(&h, AZ_EV_FN_COMPLETED)->attempt, 2);
}

void
engine_test_two_workers_share_without_doing_anything_twice(void **state)
{
	enum { RUNS = 40 };
	struct engine_fx *f = *state;
	struct az_history h;
	char id[16];

	engine_hire(f, 0);
	engine_hire(f, 1);
	for (int i = 0; i < RUNS; i++) {
		snprintf(id, sizeof id, "r%d", i);
		engine_begin(f, id, "fn:echo timer:1 fn:echo");
	}
	for (int i = 0; i < RUNS; i++) {
		snprintf(id, sizeof id, "r%d", i);
		engine_done(f, id, AZ_RUN_COMPLETED);
		h = engine_history(f, id);
		assert_told(&h, "started fn_scheduled:echo fn_completed@2 timer_started "
				"timer_fired@4 fn_scheduled:echo fn_completed@6 completed");
	}
	assert_int_equal(atomic_load(&f->app.calls), 2 * RUNS);
}
