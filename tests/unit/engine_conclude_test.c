/* A result that the journal will not take: the function must not stay held for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "engine/local.h"
#include "toy_flow.h"

struct fx {
	char dir[64];
	struct az_engine *e;
	struct az_arena *a;
	sqlite3 *db;
	pthread_t worker;
};

static _Atomic int calls;

static enum az_code
fn_count(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)ctx;
	(void)app;
	(void)err;
	atomic_fetch_add(&calls, 1);
	az_buf_adds(result, in);
	return AZ_OK;
}

static const struct az_function functions[] = {{"count", fn_count}, {NULL, NULL}};

static void *
work(void *arg)
{
	const struct az_worker w = {.workflows = toy_flows, .functions = functions, .slots = 2};
	struct az_err err;

	return az_engine_work(arg, &w, &err) ? arg : NULL;
}

static void
sql(struct fx *f, const char *text)
{
	if (sqlite3_exec(f->db, text, NULL, NULL, NULL))
		fail_msg("%s", sqlite3_errmsg(f->db));
}

static int
setup(void **state)
{
	struct fx *f = calloc(1, sizeof *f);
	struct az_engine_local_opts o = {.dir = f->dir};
	struct az_err err = AZ_ERR_INIT;
	char path[100];

	snprintf(f->dir, sizeof f->dir, "/tmp/az-conclude-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	if (az_engine_local_open(&o, &f->e, &err))
		fail_msg("%s", err.text);
	f->a = az_arena_new(AZ_MIB(8));
	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	assert_int_equal(sqlite3_open(path, &f->db), SQLITE_OK);
	sqlite3_busy_timeout(f->db, 10000);
	atomic_store(&calls, 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *f = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);
	void *bad = NULL;

	az_engine_stop(f->e);
	pthread_join(f->worker, &bad);
	assert_null(bad);
	sqlite3_close(f->db);
	az_engine_close(f->e);
	az_arena_free(f->a);
	az_remove_tree(tmp, f->dir + 5);
	close(tmp);
	free(f);
	return 0;
}

static void
begin(struct fx *f)
{
	struct az_start s = {.workflow_id = AZ_S("r1"),
	    .type = "Toy",
	    .uid = AZ_S("u"),
	    .input = AZ_S("\"fn:count\"")};
	struct az_err err;

	assert_int_equal(az_engine_start(f->e, &s, NULL, &err), AZ_OK);
	assert_int_equal(pthread_create(&f->worker, NULL, work, f->e), 0);
}

static struct az_event
ending(struct fx *f)
{
	int64_t end = az_boot_ms() + 30000, now;
	struct az_run_info r;
	struct az_history h;
	struct az_err err;

	for (;;) {
		assert_int_equal(az_engine_describe(f->e, AZ_S("r1"), f->a, &r, &err), AZ_OK);
		if (r.state != AZ_RUN_OPEN)
			break;
		if (az_boot_ms() > end)
			fail_msg("the run never ended");
		assert_int_equal(
		    az_engine_wait(f->e, AZ_S("r1"), r.version, 1000, NULL, &now, &err), AZ_OK);
	}
	assert_int_equal(az_engine_history(f->e, AZ_S("r1"), 0, 99, f->a, &h, &err), AZ_OK);
	return h.ev[h.n - 1];
}

static void
a_result_that_cannot_be_written_fails_the_function(void **state)
{
	struct fx *f = *state;
	struct az_event last;

	sql(f, "CREATE TRIGGER no BEFORE INSERT ON events WHEN new.type = 'fn_completed' "
	       "BEGIN SELECT RAISE(ABORT, 'not this'); END");
	begin(f);
	last = ending(f);
	assert_int_equal(last.type, AZ_EV_FAILED);
	assert_true(az_str_eqc(last.reason, "internal"));
	assert_int_equal(atomic_load(&calls), 1);
}

/* Refused both ways: held until it can be written, and not done again. */
static void
a_result_is_kept_while_nothing_can_be_written(void **state)
{
	struct fx *f = *state;
	struct local *e = (struct local *)f->e;
	int64_t end = az_boot_ms() + 30000, tried, now;
	enum az_ev_type last;
	struct az_err err;

	sql(f, "CREATE TRIGGER no BEFORE INSERT ON events WHEN new.ref > 0 "
	       "BEGIN SELECT RAISE(ABORT, 'not these'); END");
	begin(f);
	/* two more operations: completed and failed were both refused */
	for (tried = LOCAL_NEVER;
	     tried == LOCAL_NEVER || atomic_load(&e->writer.ops) < tried + 2;) {
		if (tried == LOCAL_NEVER && atomic_load(&calls))
			tried = atomic_load(&e->writer.ops);
		assert_true(az_boot_ms() < end);
		assert_int_equal(
		    az_engine_wait(f->e, AZ_S("r1"), LOCAL_NEVER, 0, NULL, &now, &err), AZ_OK);
	}
	assert_int_equal(atomic_load(&calls), 1);
	sql(f, "DROP TRIGGER no");
	/* the worker may be at either */
	last = ending(f).type;
	assert_true(last == AZ_EV_COMPLETED || last == AZ_EV_FAILED);
	assert_int_equal(atomic_load(&calls), 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_result_that_cannot_be_written_fails_the_function),
	    T(a_result_is_kept_while_nothing_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
