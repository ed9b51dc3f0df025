/*
 * A fold that kills its worker. Workers are processes of their own and are launched
 * again after each death, as a supervisor does: the run whose fold it is must end, the
 * others must go on, and nobody may be condemned for a death now and then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "engine/local.h"
#include "toy_flow.h"

static char dir[64];
static int deaths;   /* a file: one byte for each */
static off_t spared; /* from so many deaths on, folds live */
static bool late;    /* die of a function's result, not of the start */

static off_t
n_deaths(void)
{
	struct stat st;

	assert_int_equal(fstat(deaths, &st), 0);
	return st.st_size;
}

static void
die(off_t until)
{
	if (n_deaths() >= until)
		return;
	if (write(deaths, "x", 1) != 1)
		abort();
	kill(getpid(), SIGKILL);
}

/* One function; dies before and after it. */
static enum az_code
deadly_fold(const struct az_history *h, struct az_arena *a, struct az_cmds *out, struct az_err *err)
{
	const struct az_event *last = &h->ev[h->n - 1];

	(void)a;
	(void)err;
	if (last->type == AZ_EV_STARTED) {
		if (!late)
			die(spared);
		out->v[0] = (struct az_cmd){.type = AZ_CMD_SCHEDULE_FN,
		    .name = AZ_S("nothing"),
		    .payload = AZ_S("1"),
		    .opts = {.start_to_close_ms = 20000}};
		out->n = 1;
	} else if (last->type == AZ_EV_FN_COMPLETED) {
		die(late ? spared : 2 * spared);
		out->v[0] = (struct az_cmd){.type = AZ_CMD_COMPLETE, .payload = AZ_S("1")};
		out->n = 1;
	}
	return AZ_OK;
}

static enum az_code
fn_nothing(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)ctx;
	(void)app;
	(void)err;
	az_buf_adds(result, in);
	return AZ_OK;
}

static const struct az_function functions[] = {{"nothing", fn_nothing}, {NULL, NULL}};

static struct az_engine *
open_it(void)
{
	struct az_engine_local_opts o = {.dir = dir};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_local_open(&o, &e, &err))
		abort();
	return e;
}

/* A worker that is launched again whenever it died; ends with the test. */
static pid_t
supervise(void)
{
	const struct az_workflow flows[] = {
	    {.name = "Deadly", .fold = deadly_fold}, toy_flows[0], {.name = NULL}};
	struct az_worker w = {.workflows = flows, .functions = functions, .slots = 2};
	pid_t top = fork();
	int st;

	assert_true(top >= 0);
	if (top > 0)
		return top;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		pid_t pid = fork();
		struct az_err err;

		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(az_engine_work(open_it(), &w, &err) != AZ_OK);
		}
		if (pid < 0 || waitpid(pid, &st, 0) != pid || !WIFSIGNALED(st))
			_exit(1);
	}
}

static void
dismiss(pid_t top)
{
	assert_int_equal(kill(top, SIGKILL), 0);
	assert_int_equal(waitpid(top, NULL, 0), top);
}

static void
start(struct az_engine *e, const char *id, const char *type, const char *input)
{
	struct az_start s = {
	    .workflow_id = az_str_c(id), .type = type, .uid = AZ_S("u"), .input = az_str_c(input)};
	struct az_err err;

	assert_int_equal(az_engine_start(e, &s, NULL, &err), AZ_OK);
}

/* How the run ended, and the reason in its last event. */
static enum az_run_state
ending(struct az_engine *e, struct az_arena *a, const char *id, struct az_str *reason)
{
	int64_t end = az_boot_ms() + 60000, now;
	struct az_run_info r;
	struct az_history h;
	struct az_err err;

	for (;;) {
		assert_int_equal(az_engine_describe(e, az_str_c(id), a, &r, &err), AZ_OK);
		if (r.state != AZ_RUN_OPEN)
			break;
		if (az_boot_ms() > end)
			fail_msg("%s never ended", id);
		assert_int_equal(
		    az_engine_wait(e, az_str_c(id), r.version, 1000, NULL, &now, &err), AZ_OK);
	}
	assert_int_equal(az_engine_history(e, az_str_c(id), 0, 100, a, &h, &err), AZ_OK);
	*reason = h.ev[h.n - 1].reason;
	return r.state;
}

static void
condemned(bool by_result)
{
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	struct az_engine *e;
	struct az_str reason;
	pid_t top;

	late = by_result;
	spared = 1000;
	top = supervise();
	e = open_it();
	start(e, "deadly", "Deadly", "1");
	start(e, "other", "Toy", "\"fn:nothing\"");
	assert_int_equal(ending(e, a, "deadly", &reason), AZ_RUN_FAILED);
	assert_true(az_str_eqc(reason, "poison"));
	assert_int_equal(n_deaths(), LOCAL_CRASHES_MAX);
	assert_int_equal(ending(e, a, "other", &reason), AZ_RUN_COMPLETED);
	/* and what begins now too */
	start(e, "next", "Toy", "\"fn:nothing\"");
	assert_int_equal(ending(e, a, "next", &reason), AZ_RUN_COMPLETED);
	dismiss(top);
	az_engine_close(e);
	az_arena_free(a);
}

static void
a_run_whose_fold_kills_its_workers_is_failed_and_others_go_on(void **state)
{
	(void)state;
	condemned(false);
}

static void
so_is_one_that_dies_of_a_result(void **state)
{
	(void)state;
	condemned(true);
}

static void
a_fold_that_went_well_clears_what_was_counted(void **state)
{
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	struct az_engine *e;
	struct az_str reason;
	pid_t top;

	(void)state;
	late = false;
	spared = LOCAL_CRASHES_MAX - 1; /* at each of two places */
	top = supervise();
	e = open_it();
	start(e, "deadly", "Deadly", "1");
	assert_int_equal(ending(e, a, "deadly", &reason), AZ_RUN_COMPLETED);
	assert_int_equal(n_deaths(), 2 * (LOCAL_CRASHES_MAX - 1));
	dismiss(top);
	az_engine_close(e);
	az_arena_free(a);
}

static int
setup(void **state)
{
	char path[80];

	(void)state;
	snprintf(dir, sizeof dir, "/tmp/az-poison-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/deaths", dir);
	deaths = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	assert_true(deaths >= 0);
	return 0;
}

static int
teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	az_remove_tree(tmp, dir + 5);
	close(tmp);
	close(deaths);
	return 0;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_run_whose_fold_kills_its_workers_is_failed_and_others_go_on),
	    T(so_is_one_that_dies_of_a_result),
	    T(a_fold_that_went_well_clears_what_was_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
