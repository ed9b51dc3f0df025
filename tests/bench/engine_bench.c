/*
 * Figures of the local engine: durable starts, status reads, waiters.
 *   engine_bench [dir]     dir must be on the disk to measure; default "."
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#include <azlon/path.h>
#include "engine/local.h"
#include "toy_flow.h"

enum {
	CLIENTS = 100,
	CLOSED_MS = 3000,
	RATE = 300,
	OPEN_S = 10,
	OPEN_THREADS = 64,
	READS = 20000,
	WAITERS = 2000
};

static struct az_engine *eng;
static _Atomic int64_t serial;
static int64_t begun;
static int64_t lat[1 << 20];
static _Atomic int64_t n_lat;

static void
die(const char *what, const struct az_err *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static void
start_one(int64_t from_us)
{
	char id[96];
	struct az_start s = {.type = "Bench",
	    .uid = AZ_S("bench"),
	    .input = AZ_S("{\"v\":1,\"uid\":\"bench\",\"request\":{"
			  "\"user_prompt\":\"print the monthly totals\"}}"),
	    .memo = AZ_S("{\"mode\":\"async\"}")};
	struct az_err err = AZ_ERR_INIT;
	struct az_buf b;
	int64_t i;

	az_buf_init(&b, sizeof id);
	az_buf_addf(&b, "user-bench-%lld-", (long long)az_wall_ms());
	az_random_id(&b, 26);
	s.workflow_id = az_buf_str(&b);
	if (az_engine_start(eng, &s, NULL, &err))
		die("start", &err);
	az_buf_release(&b);
	i = atomic_fetch_add(&n_lat, 1);
	if (i < (int64_t)(sizeof lat / sizeof *lat))
		lat[i] = az_boot_us() - from_us;
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
report(const char *what, int64_t us)
{
	struct local *e = (struct local *)eng;
	size_t n = (size_t)atomic_load(&n_lat);
	double commits = (double)atomic_exchange(&e->writer.commits, 0);

	qsort(lat, n, sizeof *lat, by_value);
	printf("%-34s %8.0f/s  p50 %5.1f ms  p99 %5.1f ms  max %5.1f ms"
	       "  %.1f starts a commit\n",
	    what, (double)n * 1e6 / (double)us, (double)lat[n / 2] / 1e3,
	    (double)lat[n * 99 / 100] / 1e3, (double)lat[n - 1] / 1e3, (double)n / commits);
	atomic_store(&n_lat, 0);
}

static void *
closed(void *arg)
{
	(void)arg;
	while (az_boot_us() - begun < CLOSED_MS * 1000) {
		start_one(az_boot_us());
	}
	return NULL;
}

/* Each arrival has its time whatever became of those before: open loop. */
static void *
open_loop(void *arg)
{
	(void)arg;
	for (;;) {
		int64_t i = atomic_fetch_add(&serial, 1);
		int64_t at = begun + i * 1000000 / RATE;
		struct timespec t = {
		    .tv_sec = (time_t)(at / 1000000), .tv_nsec = (long)(at % 1000000) * 1000};

		if (i >= RATE * OPEN_S)
			return NULL;
		clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, NULL);
		start_one(at);
	}
}

static void
threads(int n, void *(*fn)(void *))
{
	pthread_t t[OPEN_THREADS > CLIENTS ? OPEN_THREADS : CLIENTS];

	begun = az_boot_us();
	for (int i = 0; i < n; i++)
		pthread_create(&t[i], NULL, fn, NULL);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

static int64_t
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
reads(void)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_run_info r;
	struct az_err err;
	struct az_start s = {.workflow_id = AZ_S("bench-read"),
	    .type = "Bench",
	    .uid = AZ_S("bench"),
	    .input = AZ_S("{}")};
	int64_t t;

	if (az_engine_start(eng, &s, NULL, &err))
		die("start", &err);
	t = cpu_us();
	for (int i = 0; i < READS; i++) {
		az_arena_reset(a);
		if (az_engine_describe(eng, s.workflow_id, a, &r, &err))
			die("describe", &err);
	}
	printf("%-34s %8.1f us of CPU each\n", "describe, nothing changed",
	    (double)(cpu_us() - t) / READS);
	az_arena_free(a);
}

static pthread_barrier_t all_in;

static void *
waiter(void *arg)
{
	struct az_err err;
	int64_t v = 0, now;

	(void)arg;
	if (az_engine_wait(eng, AZ_S("bench-wait"), 0, 0, NULL, &v, &err))
		die("wait", &err);
	pthread_barrier_wait(&all_in);
	if (az_engine_wait(eng, AZ_S("bench-wait"), v, 60000, NULL, &now, &err))
		die("wait", &err);
	return NULL;
}

static void
waiters(void)
{
	static pthread_t t[WAITERS];
	struct az_start s = {.workflow_id = AZ_S("bench-wait"),
	    .type = "Bench",
	    .uid = AZ_S("bench"),
	    .input = AZ_S("{}")};
	struct az_err err;
	pthread_attr_t attr;
	int64_t c, u;
	struct timespec two = {.tv_sec = 2};

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	pthread_barrier_init(&all_in, NULL, WAITERS + 1);
	if (az_engine_start(eng, &s, NULL, &err))
		die("start", &err);
	for (int i = 0; i < WAITERS; i++)
		pthread_create(&t[i], &attr, waiter, NULL);
	pthread_barrier_wait(&all_in);
	c = cpu_us();
	nanosleep(&two, NULL);
	printf("%-34s %8.2f %% of a CPU\n", "2000 waiters, at rest", (double)(cpu_us() - c) / 2e4);
	u = az_boot_us();
	if (az_engine_signal(eng, s.workflow_id, "go", AZ_S("1"), &err))
		die("signal", &err);
	for (int i = 0; i < WAITERS; i++)
		pthread_join(t[i], NULL);
	printf(
	    "%-34s %8.1f ms\n", "2000 waiters, all woken after", (double)(az_boot_us() - u) / 1e3);
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
static const struct az_worker worker = {.workflows = toy_flows, .functions = functions};

static void *
work(void *arg)
{
	struct az_err err;

	if (az_engine_work(arg, &worker, &err))
		die("work", &err);
	return NULL;
}

static void
run_one(int i)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	char id[32];
	struct az_start s = {.type = "Toy",
	    .uid = AZ_S("bench"),
	    .input = AZ_S("\"fn:nothing fn:nothing fn:nothing\"")};
	struct az_run_info r = {0};
	struct az_err err;
	int64_t t = az_boot_us(), now;

	snprintf(id, sizeof id, "bench-run-%d", i);
	s.workflow_id = az_str_c(id);
	if (az_engine_start(eng, &s, NULL, &err))
		die("start", &err);
	for (;;) {
		if (az_engine_describe(eng, s.workflow_id, a, &r, &err))
			die("describe", &err);
		if (r.state != AZ_RUN_OPEN)
			break;
		if (az_engine_wait(eng, s.workflow_id, r.version, 10000, NULL, &now, &err))
			die("wait", &err);
	}
	lat[atomic_fetch_add(&n_lat, 1)] = az_boot_us() - t;
	az_arena_free(a);
}

/* A worker with an engine of its own, as in another process. */
static void
runs(const char *dir)
{
	struct az_engine_local_opts o = {.dir = dir};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;
	pthread_t t;

	if (az_engine_local_open(&o, &e, &err))
		die("open", &err);
	pthread_create(&t, NULL, work, e);
	atomic_store(&n_lat, 0);
	begun = az_boot_us();
	for (int i = 0; i < 200; i++)
		run_one(i);
	report("runs of 3 functions, one by one", az_boot_us() - begun);
	az_engine_stop(e);
	pthread_join(t, NULL);
	az_engine_close(e);
}

int
main(int argc, char **argv)
{
	char dir[200];
	struct az_engine_local_opts o = {.dir = dir};
	struct az_err err = AZ_ERR_INIT;
	int at;

	snprintf(dir, sizeof dir, "%s/engine-bench-%d", argc > 1 ? argv[1] : ".", (int)getpid());
	if (az_engine_local_open(&o, &eng, &err))
		die("open", &err);
	threads(CLIENTS, closed);
	report("100 clients, closed loop", az_boot_us() - begun);
	threads(OPEN_THREADS, open_loop);
	report("300 starts a second, open loop", az_boot_us() - begun);
	reads();
	waiters();
	runs(dir);
	az_engine_close(eng);
	at = open(argc > 1 ? argv[1] : ".", O_RDONLY | O_DIRECTORY);
	az_remove_tree(at, strrchr(dir, '/') + 1);
	close(at);
	return 0;
}
