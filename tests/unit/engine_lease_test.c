/* Leases of the local engine: fencing, the dead, the poisonous, reboots. */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/path.h>
#include "engine/local.h"
#include "toy_flow.h"

struct fx {
	char dir[64];
	struct az_engine *e;
	struct local *l;
	struct az_arena *a;
};

static int
setup(void **state)
{
	struct fx *f = calloc(1, sizeof *f);
	struct az_engine_local_opts o = {.dir = f->dir};
	struct az_err err = AZ_ERR_INIT;

	snprintf(f->dir, sizeof f->dir, "/tmp/az-lease-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	if (az_engine_local_open(&o, &f->e, &err))
		fail_msg("%s", err.text);
	f->l = (struct local *)f->e;
	f->a = az_arena_new(AZ_MIB(4));
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *f = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_engine_close(f->e);
	az_arena_free(f->a);
	az_remove_tree(tmp, f->dir + 5);
	close(tmp);
	free(f);
	return 0;
}

static enum az_code
never_run(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)ctx;
	(void)app;
	(void)in;
	(void)result;
	return az_fail(err, AZ_EINTERNAL, "test", "not run here");
}

static const struct az_function functions[] = {{"echo", never_run}, {NULL, NULL}};

/* A run whose function waits to be claimed. */
static void
begin(struct fx *f, const char *script)
{
	struct az_start s = {.workflow_id = AZ_S("r1"),
	    .type = "Toy",
	    .uid = AZ_S("alice"),
	    .input = az_str_c(script)};
	struct trigger fold = {.any = false};
	struct az_err err;

	assert_int_equal(az_engine_start(f->e, &s, NULL, &err), AZ_OK);
	assert_int_equal(decide(f->l, toy_flows, AZ_S("r1"), &fold, &err), AZ_OK);
}

static struct attempt *
claim(struct fx *f, uint64_t owner)
{
	struct attempt *got[1] = {NULL};
	struct claim_op o = {.owner = owner, .functions = functions, .max = 1, .got = got};
	struct az_err err;

	op_init(&o.op, AZ_S(""), claim_apply);
	assert_int_equal(op_run(f->l, &o.op, &err), AZ_OK);
	return o.n ? got[0] : NULL;
}

static void
reclaim(struct fx *f, uint64_t owner)
{
	struct reclaim_op o = {.owner = owner};
	struct az_err err;

	op_init(&o.op, AZ_S(""), reclaim_apply);
	assert_int_equal(op_run(f->l, &o.op, &err), AZ_OK);
}

static uint64_t
enter(struct fx *f, uint64_t id)
{
	struct enter_op o = {.owner = id};
	struct az_err err;

	op_init(&o.op, AZ_S(""), enter_apply);
	assert_int_equal(op_run(f->l, &o.op, &err), AZ_OK);
	assert_true(o.index >= 0);
	return id;
}

static enum az_code
complete(struct fx *f, const struct attempt *a, const char *result)
{
	struct trigger t = {.any = true,
	    .fence = FENCE_HELD,
	    .token = a->token,
	    .attempt = a->ctx.attempt,
	    .ev = {.type = AZ_EV_FN_COMPLETED,
		.ref = a->ctx.ref,
		.attempt = a->ctx.attempt,
		.payload = az_str_c(result)}};
	struct az_err err;

	return decide(f->l, toy_flows, AZ_S("r1"), &t, &err);
}

static struct az_run_info
info(struct fx *f)
{
	struct az_run_info r;
	struct az_err err;

	assert_int_equal(az_engine_describe(f->e, AZ_S("r1"), f->a, &r, &err), AZ_OK);
	return r;
}

static void
a_task_has_one_holder(void **state)
{
	struct fx *f = *state;
	struct attempt *a;

	enter(f, 1);
	begin(f, "\"fn:echo\"");
	a = claim(f, 1);
	assert_non_null(a);
	assert_int_equal(a->ctx.attempt, 1);
	assert_null(claim(f, 2));
	assert_true(info(f).pending[0].running);
	assert_int_equal(complete(f, a, "1"), AZ_OK);
	assert_int_equal(info(f).state, AZ_RUN_COMPLETED);
	attempt_free(a);
}

static void
the_result_of_a_zombie_is_dropped(void **state)
{
	struct fx *f = *state;
	struct attempt *old, *new;
	struct az_history h;
	struct az_err err;
	struct retry_op late = {0};

	enter(f, 1);
	begin(f, "\"fn:echo\"");
	old = claim(f, 1);
	reclaim(f, 1);
	assert_false(info(f).pending[0].running);
	new = claim(f, 2);
	assert_non_null(new);
	assert_int_equal(new->ctx.attempt, 2);
	assert_int_equal(new->ctx.ref, old->ctx.ref);

	assert_int_equal(complete(f, old, "\"zombie\""), AZ_EPRECOND);
	late.ref = old->ctx.ref;
	late.token = old->token;
	op_init(&late.op, AZ_S("r1"), retry_apply);
	assert_int_equal(op_run(f->l, &late.op, &err), AZ_EPRECOND);
	assert_int_equal(info(f).last_event, 2);
	assert_true(info(f).pending[0].running);

	assert_int_equal(complete(f, new, "\"real\""), AZ_OK);
	assert_int_equal(complete(f, new, "\"again\""), AZ_EPRECOND);
	assert_int_equal(az_engine_history(f->e, AZ_S("r1"), 0, 99, f->a, &h, &err), AZ_OK);
	assert_int_equal(h.n, 4);
	assert_true(az_str_eqc(h.ev[2].payload, "\"real\""));
	attempt_free(old);
	attempt_free(new);
}

/* Same id, another life: nothing of the old one may reach it. */
static void
a_removed_run_leaves_no_way_back(void **state)
{
	struct fx *f = *state;
	struct attempt *a, *b;
	struct az_err err;

	enter(f, 1);
	begin(f, "\"fn:echo\"");
	a = claim(f, 1);
	assert_int_equal(az_engine_terminate(f->e, AZ_S("r1"), "x", &err), AZ_OK);
	assert_int_equal(az_engine_remove(f->e, AZ_S("r1"), &err), AZ_OK);
	assert_int_equal(complete(f, a, "1"), AZ_EPRECOND);
	begin(f, "\"fn:echo\"");
	assert_int_equal(complete(f, a, "1"), AZ_EPRECOND);
	/* same ref, same attempt: only the token tells the two lives apart */
	b = claim(f, 2);
	assert_non_null(b);
	assert_int_equal(b->ctx.ref, a->ctx.ref);
	assert_int_equal(complete(f, a, "1"), AZ_EPRECOND);
	assert_int_equal(info(f).last_event, 2);
	assert_int_equal(complete(f, b, "2"), AZ_OK);
	attempt_free(a);
	attempt_free(b);
}

static void
a_heartbeat_outlives_its_worker(void **state)
{
	struct fx *f = *state;
	struct attempt *a, *b;

	enter(f, 1);
	begin(f, "\"fn:echo\"");
	a = claim(f, 1);
	assert_true(slot_put(&f->l->live, a->slot, a->token, 1, AZ_S("{\"phase\":\"generate\"}")));
	assert_true(az_str_eqc(info(f).pending[0].heartbeat, "{\"phase\":\"generate\"}"));
	reclaim(f, 1);
	b = claim(f, 2);
	assert_true(az_str_eqc(b->ctx.last_heartbeat, "{\"phase\":\"generate\"}"));
	/* the zombie's slot may be someone else's now */
	assert_true(slot_get(&f->l->live, a->slot, a->token, f->a).n == 0);
	attempt_free(a);
	attempt_free(b);
}

static void
a_function_that_kills_its_workers_is_given_up(void **state)
{
	struct fx *f = *state;
	struct trigger fold = {.any = false};
	struct az_history h;
	struct az_err err;

	enter(f, 1);
	begin(f, "\"fn:echo,tries=1\"");
	for (int i = 1; i <= LOCAL_DEATHS_MAX; i++) {
		struct attempt *a = claim(f, 1);

		assert_non_null(a);
		assert_int_equal(a->ctx.attempt, i);
		attempt_free(a);
		reclaim(f, 1);
	}
	assert_null(claim(f, 1));
	assert_int_equal(decide(f->l, toy_flows, AZ_S("r1"), &fold, &err), AZ_OK);
	assert_int_equal(info(f).state, AZ_RUN_FAILED);
	assert_int_equal(az_engine_history(f->e, AZ_S("r1"), 0, 99, f->a, &h, &err), AZ_OK);
	assert_int_equal(h.ev[2].type, AZ_EV_FN_FAILED);
	assert_true(az_str_eqc(h.ev[2].reason, "poison"));
}

static void
a_reboot_ends_leases_and_keeps_timers(void **state)
{
	struct fx *f = *state;
	struct attempt *a, *b;
	char path[100];
	sqlite3 *db;
	struct az_run_info r;
	sqlite3_stmt *st;

	enter(f, 1);
	begin(f, "\"fn:echo\"");
	a = claim(f, 1);
	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	/* boot clock starts over: what was far ahead is not */
	assert_int_equal(sqlite3_exec(db,
			     "UPDATE meta SET v='another-boot' WHERE k='boot';"
			     "INSERT INTO timers VALUES(1, 99, 900000000000, "
			     "unixepoch() * 1000 + 60000)",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	enter(f, 2);
	r = info(f);
	assert_false(r.pending[0].running);
	assert_int_equal(r.pending[0].attempt, 2);
	b = claim(f, 2);
	assert_non_null(b);
	assert_int_equal(b->lost_tries, 1);
	assert_int_equal(complete(f, a, "1"), AZ_EPRECOND);
	assert_int_equal(
	    sqlite3_prepare_v2(db, "SELECT due FROM timers", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_true(llabs(sqlite3_column_int64(st, 0) - az_boot_ms() - 60000) < 5000);
	sqlite3_finalize(st);
	sqlite3_close(db);
	attempt_free(a);
	attempt_free(b);
}

static void
the_dead_are_told_from_the_living(void **state)
{
	struct fx *f = *state;
	struct live_worker w[LIVE_WORKERS];
	pid_t pid = fork();
	siginfo_t dead;
	int st;

	if (pid == 0) {
		/* a worker that dies without a word */
		_exit(live_enter(&f->l->live, 7) < 0);
	}
	/* dead, not yet buried: it is no worker any more */
	assert_int_equal(waitid(P_PID, (id_t)pid, &dead, WEXITED | WNOWAIT), 0);
	assert_false(live_any(&f->l->live));
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
	enter(f, 8);
	assert_true(live_workers(&f->l->live, w));
	/* its place is taken by the next one */
	assert_int_equal(w[0].id, 8);
	assert_true(live_ok(&w[0], az_boot_ms()));
	assert_false(live_ok(&w[0], az_boot_ms() + LOCAL_LEASE_MS + 1));
	assert_true(live_any(&f->l->live));
	assert_true(live_touch(&f->l->live, 0, 8, 2)); /* draining */
	assert_false(live_any(&f->l->live));
	assert_false(live_touch(&f->l->live, 0, 7, 1)); /* not his any more */
	live_leave(&f->l->live, 0, 8);
	assert_true(live_workers(&f->l->live, w));
	assert_int_equal(w[0].id, 0);
}

/* A worker of another process that is gone in the middle of a fold, or after it. */
static void
fold_and_go(struct fx *f, const struct run_head *h, bool ended)
{
	pid_t pid = fork();
	int st;

	if (pid == 0) {
		struct fold_mark m;

		fold_host(f->l, live_enter(&f->l->live, 7), 7);
		if (!fold_begin(f->l, h, &m))
			_exit(1);
		if (ended)
			fold_end(f->l, &m);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
}

static void
folds_left_by_the_dead_are_counted_once(void **state)
{
	struct fx *f = *state;
	struct live_worker w[LIVE_WORKERS], late = {.id = 9, .pid = getpid()};
	const struct run_head h = {.n = 1, .start_ms = 1000}, other = {.n = 1, .start_ms = 1001};
	struct fold_mark m;

	for (int i = 0; i < LOCAL_CRASHES_MAX; i++) {
		assert_true(live_workers(&f->l->live, w));
		assert_false(fold_left(&f->l->live, w));
		fold_and_go(f, &h, false);
		assert_true(live_workers(&f->l->live, w));
		assert_true(fold_left(&f->l->live, w));
		fold_count(&f->l->live);
		fold_count(&f->l->live);
	}
	assert_false(fold_begin(f->l, &h, &m));
	/* the same row in another life */
	fold_and_go(f, &other, true);
	assert_true(live_workers(&f->l->live, w));
	assert_false(fold_left(&f->l->live, w));
	/* stopped for long is not dead */
	late.ns = w[0].ns;
	assert_false(live_ok(&late, LOCAL_LEASE_MS + 1));
	assert_false(live_gone(&late, LOCAL_LEASE_MS + 1));
	assert_true(live_gone(&w[0], az_boot_ms()));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_task_has_one_holder),
	    T(the_result_of_a_zombie_is_dropped),
	    T(a_removed_run_leaves_no_way_back),
	    T(a_heartbeat_outlives_its_worker),
	    T(a_function_that_kills_its_workers_is_given_up),
	    T(a_reboot_ends_leases_and_keeps_timers),
	    T(the_dead_are_told_from_the_living),
	    T(folds_left_by_the_dead_are_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
