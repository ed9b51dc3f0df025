/*
 * The sandbox port against a real service: our own server, or E2B's cloud. AZ_E2B_KEY is its
 * key, AZ_E2B_API and AZ_E2B_SANDBOX its addresses (without them E2B's cloud); without a key
 * there is nothing to run. AZ_E2B_OURS: the service ends whole trees by itself.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/sandbox.h>

static struct az_http *http;
static struct az_sandbox *sb;
static struct az_box_ref box; /* one for all: they cost on the cloud */
static struct az_arena *arena;
static struct az_err err;
static char run_id[40];

#define OK(call)                                                                                   \
	do {                                                                                       \
		if ((call) != AZ_OK)                                                               \
			fail_msg("%s: %s (%s)", #call, err.text, err.reason);                      \
	} while (0)

static struct az_sb_create
wish(const char *const *meta)
{
	return (struct az_sb_create){.timeout_s = 120, .metadata = meta, .wait_s = 60};
}

static int
open_box(void **state)
{
	const char *meta[] = {"azlon_test", run_id, NULL};
	struct az_sb_create c = wish(meta);

	(void)state;
	arena = az_arena_new(AZ_MIB(64));
	if (az_sandbox_create(sb, &c, arena, &box, &err) == AZ_OK)
		return 0;
	fprintf(stderr, "# create: %s (%s)\n", err.text, err.reason);
	return 1;
}

static int
close_box(void **state)
{
	(void)state;
	if (az_sandbox_kill(sb, box.id, &err) != AZ_OK)
		fprintf(stderr, "# kill: %s\n", err.text);
	az_arena_free(arena);
	return 0;
}

struct out {
	struct az_buf one, two;
	int64_t bytes;
	atomic_bool any;
	bool count;
};

static enum az_code
collect(void *arg, int stream, struct az_str bytes, struct az_err *e)
{
	struct out *o = arg;

	(void)e;
	o->bytes += (int64_t)bytes.n;
	if (!o->count)
		az_buf_adds(stream == 1 ? &o->one : &o->two, bytes);
	atomic_store(&o->any, true);
	return AZ_OK;
}

static void
out_init(struct out *o)
{
	*o = (struct out){.bytes = 0};
	az_buf_init(&o->one, AZ_MIB(1));
	az_buf_init(&o->two, AZ_MIB(1));
}

static void
out_release(struct out *o)
{
	az_buf_release(&o->one);
	az_buf_release(&o->two);
}

/* A shell's command; its standard output is in o. */
static struct az_sb_result
shell(const char *text, const struct az_sb_cmd *more, struct out *o)
{
	const char *argv[] = {"/bin/sh", "-c", text, NULL};
	struct az_sb_cmd c = *more;
	struct az_sb_result r;

	out_init(o);
	c.argv = argv;
	c.output = collect;
	c.arg = o;
	OK(az_sandbox_run(sb, &box, &c, &r, &err));
	return r;
}

static void
test_commands(void **state)
{
	static const char *const env[] = {"WHO=azlon", NULL};
	struct az_sb_result r;
	struct out o;

	(void)state;
	r = shell("echo $WHO in $PWD; echo oops >&2; exit 3",
	    &(struct az_sb_cmd){.env = env, .cwd = "/tmp"}, &o);
	assert_int_equal(r.end, AZ_END_EXITED);
	assert_int_equal(r.exit_code, 3);
	assert_string_equal(o.one.p, "azlon in /tmp\n");
	assert_string_equal(o.two.p, "oops\n");
	out_release(&o);
	r = shell("cat", &(struct az_sb_cmd){.stdin_bytes = AZ_S("fed\xff\0end")}, &o);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(o.one.n, 8);
	assert_memory_equal(o.one.p, "fed\xff\0end", 8);
	out_release(&o);
	r = shell("kill -9 $$", &(struct az_sb_cmd){.timeout_s = 20}, &o);
	assert_int_equal(r.end, AZ_END_SIGNALLED);
	assert_int_equal(r.exit_code, -1);
	out_release(&o);
	r = shell("exec no-such-program", &(struct az_sb_cmd){.timeout_s = 20}, &o);
	assert_int_equal(r.exit_code, 127);
	out_release(&o);
}

/* There is no network: our server counts what was asked for, E2B's cloud does not. */
static void
test_refused_connections(void **state)
{
	struct az_sb_blocked *v;
	size_t n;
	struct out o;

	(void)state;
	OK(az_sandbox_blocked(sb, &box, arena, &v, &n, &err));
	assert_int_equal(n, 0);
	shell(
	    "curl -s -m 20 http://pkgs.example/ || true", &(struct az_sb_cmd){.timeout_s = 30}, &o);
	out_release(&o);
	OK(az_sandbox_blocked(sb, &box, arena, &v, &n, &err));
	if (!n && !getenv("AZ_E2B_OURS"))
		return;
	assert_int_equal(n, 1);
	assert_true(az_str_eqc(v->host, "pkgs.example"));
	assert_int_equal(v->port, 80);
	assert_int_equal(v->count, 1);
	assert_true(az_str_eqc(v->why, "network"));
}

static void
test_much_output(void **state)
{
	static const char *const argv[] = {"head", "-c", "16777216", "/dev/zero", NULL};
	struct out o;
	struct az_sb_result r;

	(void)state;
	out_init(&o);
	o.count = true;
	OK(az_sandbox_run(
	    sb, &box, &(struct az_sb_cmd){.argv = argv, .output = collect, .arg = &o}, &r, &err));
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(o.bytes, 16777216);
	out_release(&o);
}

/* No process with that word in its arguments is left. */
static bool
runs(const char *word)
{
	char text[200];
	struct out o;
	bool found;

	snprintf(text, sizeof text,
	    "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null");
	(void)shell(text, &(struct az_sb_cmd){.timeout_s = 20}, &o);
	found = az_str_find(az_buf_str(&o.one), az_str_c(word), 0) >= 0;
	out_release(&o);
	return found;
}

static void
test_a_limit_ends_all_that_was_started(void **state)
{
	struct az_sb_result r;
	struct out o;
	int i;

	(void)state;
	r = shell("sleep 7301 & set -m; sleep 7302 & echo up; wait",
	    &(struct az_sb_cmd){.timeout_s = 1}, &o);
	assert_int_equal(r.end, AZ_END_TIMEOUT);
	assert_string_equal(o.one.p, "up\n");
	out_release(&o);
	for (i = 0; i < 50 && runs("sleep 730"); i++)
		;
	assert_true(i < 50);
}

struct first {
	struct out o;
	struct az_sb_result r;
	struct az_err err;
	enum az_code rc;
};

static const char *const once_argv[] = {
    "/bin/sh", "-c", "echo x >>once; echo up; sleep 2; exit 5", NULL};

static void *
run_first(void *arg)
{
	struct first *f = arg;

	f->rc = az_sandbox_run(sb, &box,
	    &(struct az_sb_cmd){
		.argv = once_argv, .tag = "contract-once", .output = collect, .arg = &f->o},
	    &f->r, &f->err);
	return NULL;
}

static void
test_a_command_is_started_once(void **state)
{
	struct first f = {.rc = AZ_OK};
	struct az_sb_result r;
	pthread_t t;
	struct out o;

	(void)state;
	out_init(&f.o);
	assert_int_equal(pthread_create(&t, NULL, run_first, &f), 0);
	while (!atomic_load(&f.o.any))
		sched_yield();
	OK(az_sandbox_run(sb, &box,
	    &(struct az_sb_cmd){.argv = once_argv, .tag = "contract-once", .maybe_started = true},
	    &r, &err));
	pthread_join(t, NULL);
	assert_int_equal(f.rc, AZ_OK);
	assert_int_equal(f.r.exit_code, 5);
	assert_int_equal(r.exit_code, 5);
	out_release(&f.o);
	(void)shell("cat once", &(struct az_sb_cmd){.timeout_s = 20}, &o);
	assert_string_equal(o.one.p, "x\n");
	out_release(&o);
}

/* ---- files ---- */

enum { FILES = 230 };

static enum az_code
src_open(void *arg, size_t i, struct az_err *e)
{
	size_t *at = arg;

	(void)e;
	at[0] = i;
	at[1] = i * 37;
	return AZ_OK;
}

static enum az_code
src_read(void *arg, char *p, size_t n, size_t *got, struct az_err *e)
{
	size_t *at = arg;

	(void)e;
	*got = at[1] < n ? at[1] : n;
	memset(p, 'a' + (int)(at[0] % 26), *got);
	at[1] -= *got;
	return AZ_OK;
}

struct sink {
	size_t i, n, whole;
};

static enum az_code
dst_begin(void *arg, size_t i, struct az_err *e)
{
	(void)e;
	*(struct sink *)arg = (struct sink){i, 0, ((struct sink *)arg)->whole};
	return AZ_OK;
}

static enum az_code
dst_data(void *arg, struct az_str s, struct az_err *e)
{
	struct sink *k = arg;

	(void)e;
	k->n += s.n;
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.p[i], 'a' + (int)(k->i % 26));
	return AZ_OK;
}

static enum az_code
dst_end(void *arg, size_t i, bool whole, struct az_err *e)
{
	struct sink *k = arg;

	(void)e;
	assert_true(i == k->i && whole);
	assert_int_equal(k->n, i * 37);
	k->whole++;
	return AZ_OK;
}

static void
test_trees(void **state)
{
	static const char dir[] = "/home/user/tree";
	struct az_sb_put *up = az_arena_alloc(arena, FILES * sizeof *up);
	struct az_sb_get *down = az_arena_alloc(arena, FILES * sizeof *down);
	struct sink k = {.whole = 0};
	struct az_buf drawing;
	size_t at[2];

	(void)state;
	for (size_t i = 0; i < FILES; i++) {
		down[i].path = az_arena_printf(arena, "d %zu/ü-%zu", i % 5, i);
		down[i].bytes = (int64_t)i * 37;
		up[i].path = az_arena_printf(arena, "%s/%s", dir, down[i].path);
		up[i].bytes = down[i].bytes;
	}
	OK(az_sandbox_upload_many(sb, &box,
	    &(struct az_sb_puts){
		.v = up, .n = FILES, .open = src_open, .read = src_read, .arg = at},
	    &err));
	OK(az_sandbox_fetch(sb, &box,
	    &(struct az_sb_gets){.dir = dir,
		.v = down,
		.n = FILES,
		.begin = dst_begin,
		.data = dst_data,
		.end = dst_end,
		.arg = &k},
	    &err));
	assert_int_equal(k.whole, FILES);
	az_buf_init(&drawing, AZ_MIB(1));
	OK(az_sandbox_draw(sb, &box, dir, 3, &drawing, &err));
	assert_non_null(strstr(drawing.p, "├── d 0/\n"));
	assert_non_null(strstr(drawing.p, "ü-7 (259 bytes)\n"));
	az_buf_release(&drawing);
}

/* ---- lives ---- */

static void
test_lives(void **state)
{
	const char *meta[] = {"azlon_test", run_id, "part", "lives", NULL};
	struct az_sb_create c = wish(meta);
	struct az_box_ref a, b;
	struct az_sb_entry *es;
	struct az_str *ids;
	size_t n;

	(void)state;
	OK(az_sandbox_create(sb, &c, arena, &a, &err));
	OK(az_sandbox_find(sb, "azlon_test", run_id, arena, &ids, &n, &err));
	assert_int_equal(n, 2); /* and the one for all */
	OK(az_sandbox_connect(sb, a.id, 200, arena, &b, &err));
	assert_true(az_str_eq(a.id, b.id));
	OK(az_sandbox_kill(sb, a.id, &err));
	OK(az_sandbox_kill(sb, a.id, &err));
	assert_int_equal(az_sandbox_list(sb, &a, "/", 1, arena, &es, &n, &err), AZ_ENOTFOUND);
	assert_int_equal(az_sandbox_cause(&err), AZ_CAUSE_KILLED);
	assert_int_equal(az_sandbox_connect(sb, a.id, 60, arena, &b, &err), AZ_ENOTFOUND);
	assert_true(az_sandbox_is_gone(&err));
}

static void
test_a_sandbox_whose_time_is_up(void **state)
{
	const char *meta[] = {"azlon_test_short", run_id, NULL};
	struct az_sb_create c = wish(meta);
	int64_t until = az_boot_ms() + 60000;
	struct az_sb_entry *es;
	struct az_box_ref a;
	enum az_code rc;
	size_t n;

	(void)state;
	c.timeout_s = 2;
	OK(az_sandbox_create(sb, &c, arena, &a, &err));
	do {
		struct az_arena *own = az_arena_new(AZ_MIB(1));

		rc = az_sandbox_list(sb, &a, "/home/user", 1, own, &es, &n, &err);
		az_arena_free(own);
	} while (rc == AZ_OK && az_boot_ms() < until);
	assert_int_equal(rc, AZ_ENOTFOUND);
	assert_int_equal(az_sandbox_cause(&err), AZ_CAUSE_EXPIRED);
}

/* A command that outlives the time its sandbox was given: the time is put off. */
static void
test_a_command_keeps_its_sandbox(void **state)
{
	const char *meta[] = {"azlon_test_lease", run_id, NULL};
	static const char *const argv[] = {"/bin/sh", "-c", "sleep 5; echo done", NULL};
	struct az_sb_create c = wish(meta);
	struct az_sb_result r;
	struct az_box_ref a;

	(void)state;
	c.timeout_s = 3;
	OK(az_sandbox_create(sb, &c, arena, &a, &err));
	OK(az_sandbox_run(sb, &a, &(struct az_sb_cmd){.argv = argv, .timeout_s = 60}, &r, &err));
	assert_int_equal(r.end, AZ_END_EXITED);
	assert_int_equal(r.exit_code, 0);
	OK(az_sandbox_kill(sb, a.id, &err));
}

static void
test_the_same_key_is_the_same_sandbox(void **state)
{
	const char *meta[] = {"azlon_test_key", run_id, NULL};
	struct az_sb_create c = wish(meta);
	struct az_box_ref a, b;

	(void)state;
	c.idempotency_key = run_id;
	OK(az_sandbox_create(sb, &c, arena, &a, &err));
	OK(az_sandbox_create(sb, &c, arena, &b, &err));
	assert_true(az_str_eq(a.id, b.id));
	OK(az_sandbox_kill(sb, a.id, &err));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_refused_connections),
	    cmocka_unit_test(test_much_output),
	    cmocka_unit_test(test_a_limit_ends_all_that_was_started),
	    cmocka_unit_test(test_a_command_is_started_once),
	    cmocka_unit_test(test_trees),
	    cmocka_unit_test(test_lives),
	    cmocka_unit_test(test_a_sandbox_whose_time_is_up),
	    cmocka_unit_test(test_a_command_keeps_its_sandbox),
	    cmocka_unit_test(test_the_same_key_is_the_same_sandbox),
	};
	const char *api = getenv("AZ_E2B_API");
	struct az_buf id;
	int failed = 1;

	if (!getenv("AZ_E2B_KEY")) {
		printf("1..0 # SKIP no E2B service: AZ_E2B_KEY is the key of one\n");
		return 0;
	}
	az_buf_init(&id, sizeof run_id);
	az_random_id(&id, 26);
	snprintf(run_id, sizeof run_id, "%s", id.p ? id.p : "");
	az_buf_release(&id);
	if (az_http_new(&http, &err) == AZ_OK &&
	    az_sandbox_e2b_open(&(struct az_sandbox_e2b_opts){.http = http,
				    .api_url = api ? api : "https://api.e2b.app",
				    .sandbox_url = getenv("AZ_E2B_SANDBOX"),
				    .key = getenv("AZ_E2B_KEY"),
				    .kills_trees = getenv("AZ_E2B_OURS") != NULL},
		&sb, &err) == AZ_OK)
		failed = cmocka_run_group_tests_name("sandbox", tests, open_box, close_box);
	else
		fprintf(stderr, "# open: %s\n", err.text);
	az_sandbox_close(sb);
	az_http_free(http);
	return failed;
}
