/*
 * kill -9 at random moments: a worker and a starter run as processes of their own and are
 * shot again and again (AZ_KILLS times, 10 unless set). Afterwards every start that was
 * acknowledged has ended exactly once, without a gap, and no function ran again
 * unless the process that ran it before was shot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/engine.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "toy_flow.h"

enum { KILLS_MAX = 1000, RUNS_MAX = 20000, OPEN_MAX = 30 };

static char dir[64];
static int dirfd_, acks, marks;

static struct az_engine *
open_it(void)
{
	struct az_engine_local_opts o = {.dir = dir};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_local_open(&o, &e, &err)) {
		fprintf(stderr, "open: %s\n", err.text);
		abort();
	}
	return e;
}

/* One line into an append-only file: whole or not at all. */
AZ_PRINTF(2, 3)
static void
line(int fd, const char *fmt, ...)
{
	char s[300];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s, sizeof s, fmt, ap);
	va_end(ap);
	if (write(fd, s, (size_t)n) != n)
		abort();
}

/* The side effect: a mark of who did it. */
static enum az_code
fn_mark(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct pollfd none = {.fd = -1};

	(void)app;
	(void)in;
	(void)err;
	line(marks, "%.*s %lld %d\n", AZ_FMT(ctx->workflow_id), (long long)ctx->ref, (int)getpid());
	/* long enough to be shot in the middle */
	poll(&none, 1, (int)az_random_below(12));
	ctx->heartbeat(ctx, AZ_S("{\"phase\":\"mark\"}"));
	az_buf_addf(result, "%lld", (long long)ctx->ref);
	return AZ_OK;
}

/* The first attempt never ends by itself. */
static enum az_code
fn_hold(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct pollfd none = {.fd = -1};

	(void)app;
	(void)in;
	line(marks, "%.*s %lld %d\n", AZ_FMT(ctx->workflow_id), (long long)ctx->ref, (int)getpid());
	while (ctx->attempt == 1 && !ctx->cancelled(ctx))
		poll(&none, 1, 10);
	if (ctx->attempt == 1)
		return az_fail(err, AZ_ECANCELLED, "hold", "told to stop");
	az_buf_addf(result, "%d", ctx->attempt);
	return AZ_OK;
}

static const struct az_function functions[] = {{"mark", fn_mark}, {"hold", fn_hold}, {NULL, NULL}};

static void
work_in(int slots)
{
	struct az_worker w = {.workflows = toy_flows, .functions = functions, .slots = slots};
	struct az_engine *e = open_it();
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_work(e, &w, &err)) {
		fprintf(stderr, "work: %s\n", err.text);
		abort();
	}
}

static void
work(void)
{
	work_in(6);
}

static void
work_alone(void)
{
	work_in(1);
}

/* Start runs, but stay only so far ahead of the worker. */
static void
starts(void)
{
	struct az_engine *e = open_it();
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	struct az_err err = AZ_ERR_INIT;

	for (;;) {
		struct az_list_query q = {
		    .uid = AZ_S("u"), .state = AZ_RUN_OPEN, .limit = OPEN_MAX};
		struct az_list_page p;
		struct az_start s = {.type = "Toy",
		    .uid = AZ_S("u"),
		    .input = AZ_S("\"fn:mark timer:3 fn:mark fn:mark\"")};
		struct az_buf id;
		int64_t now;

		az_arena_reset(a);
		if (az_engine_list(e, &q, a, &p, &err))
			abort();
		if (p.n == OPEN_MAX) {
			struct az_str oldest = p.runs[p.n - 1].workflow_id;

			if (az_engine_wait(e, oldest, 0, 20, NULL, &now, &err) ||
			    az_engine_wait(e, oldest, now, 20, NULL, &now, &err))
				abort();
			continue;
		}
		az_buf_init(&id, 64);
		az_buf_addc(&id, "run-");
		az_random_id(&id, 20);
		s.workflow_id = az_buf_str(&id);
		if (az_engine_start(e, &s, NULL, &err)) {
			fprintf(stderr, "start: %s\n", err.text);
			abort();
		}
		line(acks, "%s\n", id.p);
		az_buf_release(&id);
	}
}

static pid_t
spawn(void (*what)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		what();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void
shoot(pid_t pid)
{
	int st;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	/* it must not have died before, of something else */
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
}

static pid_t shot[KILLS_MAX * 2];
static size_t n_shot;

static bool
was_shot(pid_t pid)
{
	for (size_t i = 0; i < n_shot; i++)
		if (shot[i] == pid)
			return true;
	return false;
}

static int
by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* Lines of a file, sorted. */
static size_t
lines(int fd, char **text, char **v, size_t max)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *p = malloc((size_t)size + 1), *nl;
	size_t n = 0;

	assert_int_equal(pread(fd, p, (size_t)size, 0), size);
	p[size] = '\0';
	*text = p;
	while ((nl = strchr(p, '\n')) && n < max) {
		*nl = '\0';
		v[n++] = p;
		p = nl + 1;
	}
	qsort(v, n, sizeof *v, by_text);
	return n;
}

static void
check_run(struct az_engine *e, const char *id)
{
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	int64_t end = az_boot_ms() + 60000, now;
	struct az_run_info r;
	struct az_history h;
	struct az_err err = AZ_ERR_INIT;

	for (;;) {
		if (az_engine_describe(e, az_str_c(id), a, &r, &err))
			fail_msg("%s was acknowledged and is lost: %s", id, err.text);
		if (r.state != AZ_RUN_OPEN)
			break;
		if (az_boot_ms() > end)
			fail_msg("%s never ended", id);
		if (az_engine_wait(e, az_str_c(id), r.version, 5000, NULL, &now, &err))
			fail_msg("%s", err.text);
	}
	if (r.state != AZ_RUN_COMPLETED)
		fail_msg("%s ended in state %d", id, r.state);
	assert_int_equal(az_engine_history(e, az_str_c(id), 0, 100, a, &h, &err), AZ_OK);
	/* started, 3 x (scheduled, completed), timer x 2, completed */
	assert_int_equal(h.n, 10);
	for (size_t i = 0; i < h.n; i++) {
		assert_int_equal(h.ev[i].id, i + 1);
		assert_int_equal(az_ev_is_close(h.ev[i].type), i == 9);
	}
	az_arena_free(a);
}

/* Sorted marks: "id ref pid". Whoever did it before the last one was shot. */
static void
check_marks(char **v, size_t n)
{
	for (size_t i = 0, j; i < n; i = j) {
		size_t key = (size_t)(strrchr(v[i], ' ') - v[i]);
		size_t alive = 0;

		for (j = i; j < n && strncmp(v[i], v[j], key + 1) == 0; j++) {
			int64_t pid;

			assert_true(az_str_to_i64(az_str_c(v[j] + key + 1), 1, INT32_MAX, &pid));
			alive += !was_shot((pid_t)pid);
			if (j > i && strcmp(v[j], v[j - 1]) == 0)
				fail_msg("twice by one process: %s", v[j]);
		}
		if (alive > 1)
			fail_msg("done again without need: %s", v[i]);
	}
}

static void
nothing_is_lost_and_nothing_done_twice(void **state)
{
	static char *ack[RUNS_MAX], *mark[RUNS_MAX * 8];
	const char *want = getenv("AZ_KILLS");
	int64_t kills = 10, now;
	char *ack_text, *mark_text;
	pid_t worker, starter;
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;
	size_t n;
	int status;

	(void)state;
	if (want && !az_str_to_i64(az_str_c(want), 1, KILLS_MAX, &kills))
		fail_msg("AZ_KILLS");
	worker = spawn(work);
	starter = spawn(starts);
	for (int64_t i = 0; i < kills; i++) {
		struct pollfd none = {.fd = -1};

		/* a random moment, not a wait for something */
		poll(&none, 1, 20 + (int)az_random_below(180));
		if (az_random_below(3) > 0) {
			shoot(worker);
			shot[n_shot++] = worker;
			worker = spawn(work);
		}
		if (az_random_below(3) == 0) {
			shoot(starter);
			starter = spawn(starts);
		}
	}
	shoot(starter);

	e = open_it();
	n = lines(acks, &ack_text, ack, RUNS_MAX);
	assert_true(n > 10);
	for (size_t i = 0; i < n; i++)
		check_run(e, ack[i]);
	/* started but not acknowledged: may be there, must end too */
	for (;;) {
		struct az_arena *a = az_arena_new(AZ_MIB(8));
		struct az_list_query q = {.uid = AZ_S("u"), .state = AZ_RUN_OPEN, .limit = 10};
		struct az_list_page p;

		assert_int_equal(az_engine_list(e, &q, a, &p, &err), AZ_OK);
		if (!p.n) {
			az_arena_free(a);
			break;
		}
		assert_int_equal(
		    az_engine_wait(e, p.runs[0].workflow_id, 0, 0, NULL, &now, &err), AZ_OK);
		assert_int_equal(
		    az_engine_wait(e, p.runs[0].workflow_id, now, 1000, NULL, &now, &err), AZ_OK);
		az_arena_free(a);
	}
	n = lines(marks, &mark_text, mark, RUNS_MAX * 8);
	check_marks(mark, n);
	az_engine_close(e);
	kill(worker, SIGKILL);
	waitpid(worker, &status, 0);
	free(ack_text);
	free(mark_text);
}

/* Until the run is as test wants it; when that was. */
static int64_t
await(struct az_engine *e, const char *id, bool (*test)(const struct az_run_info *r))
{
	struct az_arena *a = az_arena_new(AZ_MIB(8));
	int64_t end = az_boot_ms() + 20000, now;
	struct az_run_info r;
	struct az_err err = AZ_ERR_INIT;

	for (;;) {
		assert_int_equal(az_engine_describe(e, az_str_c(id), a, &r, &err), AZ_OK);
		if (test(&r))
			break;
		assert_true(az_boot_ms() < end);
		assert_int_equal(
		    az_engine_wait(e, az_str_c(id), r.version, 1000, NULL, &now, &err), AZ_OK);
	}
	az_arena_free(a);
	return az_boot_ms();
}

static bool
is_running(const struct az_run_info *r)
{
	return r->n_pending && r->pending[0].running;
}

static bool
is_over(const struct az_run_info *r)
{
	return r->state == AZ_RUN_COMPLETED;
}

static void
a_survivor_takes_over_within_a_second(void **state)
{
	struct az_start s = {.workflow_id = AZ_S("held"),
	    .type = "Toy",
	    .uid = AZ_S("u"),
	    .input = AZ_S("\"fn:hold,tries=1\"")};
	pid_t worker[2];
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;
	char *text, *mark[10];
	int64_t t, pid;
	int victim;

	(void)state;
	/* before this process has threads */
	worker[0] = spawn(work_alone);
	worker[1] = spawn(work_alone);
	e = open_it();
	/* one holds, so the second run shows that the other is there */
	assert_int_equal(az_engine_start(e, &s, NULL, &err), AZ_OK);
	await(e, "held", is_running);
	s.workflow_id = AZ_S("other");
	s.input = AZ_S("\"fn:mark\"");
	assert_int_equal(az_engine_start(e, &s, NULL, &err), AZ_OK);
	await(e, "other", is_over);
	assert_int_equal(lines(marks, &text, mark, 10), 2);
	assert_true(az_str_to_i64(az_str_c(strrchr(mark[0], ' ') + 1), 1, INT32_MAX, &pid));
	free(text);
	victim = worker[1] == (pid_t)pid;
	assert_int_equal(worker[victim], pid);
	t = az_boot_ms();
	shoot(worker[victim]);
	/* its only try is not used up by the death of the worker */
	t = await(e, "held", is_over) - t;
	assert_true(t < 1000);
	shoot(worker[!victim]);
	az_engine_close(e);
}

static int
setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/az-kill-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	acks = openat(dirfd_, "acks", O_RDWR | O_CREAT | O_APPEND, 0600);
	marks = openat(dirfd_, "marks", O_RDWR | O_CREAT | O_APPEND, 0600);
	assert_true(acks >= 0 && marks >= 0);
	return 0;
}

static int
teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	az_remove_tree(tmp, dir + 5);
	close(tmp);
	close(acks);
	close(marks);
	close(dirfd_);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		nothing_is_lost_and_nothing_done_twice, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_survivor_takes_over_within_a_second, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
