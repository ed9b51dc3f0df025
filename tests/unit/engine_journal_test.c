/* The local engine's journal: batching, bad disks, files that are not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/path.h>
#include "engine/local.h"
#include "toy_flow.h"

struct fx {
	char dir[64];
	struct az_engine *e;
};

static struct az_engine *
open_it(struct fx *f)
{
	struct az_engine_local_opts o = {.dir = f->dir};
	struct az_err err = AZ_ERR_INIT;
	struct az_engine *e;

	if (az_engine_local_open(&o, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

static int
setup(void **state)
{
	struct fx *f = calloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/az-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *f = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_engine_close(f->e);
	az_remove_tree(tmp, f->dir + 5);
	close(tmp);
	free(f);
	return 0;
}

static enum az_code
begin(struct az_engine *e, const char *id, struct az_err *err)
{
	struct az_start s = {.workflow_id = az_str_c(id),
	    .type = "Toy",
	    .uid = AZ_S("alice"),
	    .input = AZ_S("\"signal\"")};

	return az_engine_start(e, &s, NULL, err);
}

static bool
exists(struct az_engine *e, const char *id)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_run_info r;
	struct az_err err;
	enum az_code rc = az_engine_describe(e, az_str_c(id), a, &r, &err);

	az_arena_free(a);
	assert_true(rc == AZ_OK || rc == AZ_ENOTFOUND);
	return rc == AZ_OK;
}

/* ---- batching ---- */

enum { CLIENTS = 100, EACH = 20 };

struct client {
	pthread_t thread;
	struct az_engine *e;
	int n;
	bool bad;
};

static void *
client(void *arg)
{
	struct client *c = arg;
	char id[32];

	for (int i = 0; i < EACH; i++) {
		struct az_err err;

		snprintf(id, sizeof id, "c%d-%d", c->n, i);
		c->bad |= begin(c->e, id, &err) != AZ_OK;
	}
	return NULL;
}

static void
a_hundred_clients_share_commits(void **state)
{
	struct fx *f = *state;
	struct client c[CLIENTS] = {0};
	struct local *e;
	int64_t commits;

	f->e = open_it(f);
	e = (struct local *)f->e;
	for (int i = 0; i < CLIENTS; i++) {
		c[i].e = f->e;
		c[i].n = i;
		assert_int_equal(pthread_create(&c[i].thread, NULL, client, &c[i]), 0);
	}
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(c[i].thread, NULL);
		assert_false(c[i].bad);
	}
	commits = atomic_load(&e->writer.commits);
	assert_int_equal(atomic_load(&e->writer.ops), CLIENTS * EACH);
	assert_true(commits > 0 && commits * 8 <= CLIENTS * EACH);
	assert_true(exists(f->e, "c99-19"));
}

/* What was acknowledged is there for another process after no orderly end. */
static void
a_start_is_durable_when_it_returns(void **state)
{
	struct fx *f = *state;
	struct az_err err;
	struct az_engine *other;

	f->e = open_it(f);
	assert_int_equal(begin(f->e, "r1", &err), AZ_OK);
	other = open_it(f);
	assert_true(exists(other, "r1"));
	az_engine_close(other);
}

static void
files_are_for_the_group_only(void **state)
{
	static const char *const name[] = {
	    "journal.db", "journal.db-wal", "journal.db-shm", "journal.lock", "live"};
	struct fx *f = *state;
	char path[100];
	struct stat st;
	struct az_err err;
	mode_t old = umask(0077);

	f->e = open_it(f);
	umask(old);
	assert_int_equal(begin(f->e, "r1", &err), AZ_OK);
	for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
		snprintf(path, sizeof path, "%s/%s", f->dir, name[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0660);
	}
}

/* ---- operations that fail ---- */

struct bad_op {
	struct op op;
	bool sql;
};

static enum az_code
bad_apply(struct local *e, struct conn *c, struct op *op)
{
	(void)e;
	if (((struct bad_op *)op)->sql)
		return op_sql(op, c, SQLITE_CONSTRAINT, "test");
	return az_fail(&op->err, AZ_ECONFLICT, "test", "no");
}

static void
one_bad_operation_harms_no_other(void **state)
{
	struct fx *f = *state;
	struct local *e;
	struct az_err err = AZ_ERR_INIT;
	struct bad_op bad[2] = {{.sql = true}, {.sql = false}};
	char id[16];
	pthread_t t;
	struct client c = {.n = 7};

	f->e = open_it(f);
	e = (struct local *)f->e;
	c.e = f->e;
	assert_int_equal(pthread_create(&t, NULL, client, &c), 0);
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 2; k++)
			op_init(&bad[k].op, AZ_S("x"), bad_apply);
		bad[0].sql = true;
		for (int k = 0; k < 2; k++)
			assert_int_equal(op_send(e, &bad[k].op, &err), AZ_OK);
		snprintf(id, sizeof id, "good%d", i);
		assert_int_equal(begin(f->e, id, &err), AZ_OK);
		assert_int_equal(op_wait(&bad[0].op, &err), AZ_EINTERNAL);
		assert_int_equal(op_wait(&bad[1].op, &err), AZ_ECONFLICT);
		assert_true(exists(f->e, id));
	}
	pthread_join(t, NULL);
	assert_false(c.bad);
}

/* A file size limit stands in for a full disk. */
static void
a_full_disk_refuses_and_leaves_nothing(void **state)
{
	struct fx *f = *state;
	struct rlimit old, small;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_OK;
	char id[16];
	int i = 0;

	signal(SIGXFSZ, SIG_IGN);
	f->e = open_it(f);
	assert_int_equal(begin(f->e, "before", &err), AZ_OK);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 256 * 1024;
	setrlimit(RLIMIT_FSIZE, &small);
	for (i = 0; i < 500 && !rc; i++) {
		snprintf(id, sizeof id, "r%d", i);
		rc = begin(f->e, id, &err);
	}
	setrlimit(RLIMIT_FSIZE, &old);
	assert_true(rc == AZ_EIO || rc == AZ_EUNAVAIL);
	assert_string_equal(err.reason, "engine");
	assert_false(exists(f->e, id));
	/* there is room again */
	assert_int_equal(begin(f->e, id, &err), AZ_OK);
	assert_true(exists(f->e, id));
	assert_true(exists(f->e, "before"));
}

static void
a_journal_moved_away_is_noticed(void **state)
{
	struct fx *f = *state;
	char a[100], b[100];
	struct az_err err = AZ_ERR_INIT;

	f->e = open_it(f);
	assert_int_equal(begin(f->e, "r1", &err), AZ_OK);
	snprintf(a, sizeof a, "%s/journal.db", f->dir);
	snprintf(b, sizeof b, "%s/aside.db", f->dir);
	assert_int_equal(rename(a, b), 0);
	assert_int_equal(begin(f->e, "r2", &err), AZ_EUNAVAIL);
	assert_string_equal(err.reason, "engine");
	assert_int_equal(az_engine_ping(f->e, &err), AZ_EUNAVAIL);
	assert_int_equal(rename(b, a), 0);
	assert_int_equal(begin(f->e, "r2", &err), AZ_OK);
}

/* ---- files that are not ours, or not any more ---- */

static void
write_file(const char *path, const void *p, size_t n, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0660);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, n, at), n);
	close(fd);
}

static void
a_foreign_file_is_refused_and_left_alone(void **state)
{
	struct fx *f = *state;
	struct az_engine_local_opts o = {.dir = f->dir};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;
	static const char text[] = "these are the voyages of somebody else, "
				   "who keeps notes in a file of this name";
	char path[100];
	struct az_buf b;
	sqlite3 *db;

	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	write_file(path, text, sizeof text, 0);
	assert_int_equal(az_engine_local_open(&o, &e, &err), AZ_EIO);
	assert_string_equal(err.reason, "journal_damaged");
	assert_non_null(strstr(err.text, "aside"));
	az_buf_init(&b, 4096);
	assert_int_equal(az_read_file(path, 4096, &b, &err), AZ_OK);
	assert_int_equal(b.n, sizeof text);
	assert_memory_equal(b.p, text, sizeof text);
	az_buf_release(&b);

	unlink(path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_exec(db, "CREATE TABLE recipes(x)", NULL, NULL, NULL);
	sqlite3_close(db);
	assert_int_equal(az_engine_local_open(&o, &e, &err), AZ_EIO);
	assert_string_equal(err.reason, "journal_foreign");

	unlink(path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_exec(db,
	    "CREATE TABLE runs(x);PRAGMA application_id=1096436810;"
	    "PRAGMA user_version=99",
	    NULL, NULL, NULL);
	sqlite3_close(db);
	assert_int_equal(az_engine_local_open(&o, &e, &err), AZ_EIO);
	assert_string_equal(err.reason, "journal_version");
}

static enum az_code
no_fn(struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)ctx;
	(void)app;
	(void)in;
	(void)result;
	(void)err;
	return AZ_OK;
}

static const struct az_function functions[] = {{"echo", no_fn}, {NULL, NULL}};
static const struct az_worker worker = {.workflows = toy_flows, .functions = functions, .slots = 1};

static void
a_damaged_journal_stops_the_worker(void **state)
{
	struct fx *f = *state;
	char path[100], id[16], junk[4096];
	struct az_err err = AZ_ERR_INIT;
	struct stat st;

	f->e = open_it(f);
	for (int i = 0; i < 300; i++) {
		snprintf(id, sizeof id, "r%d", i);
		assert_int_equal(begin(f->e, id, &err), AZ_OK);
	}
	az_engine_close(f->e); /* moves the log into the file */
	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	assert_int_equal(stat(path, &st), 0);
	memset(junk, 0xa5, sizeof junk);
	for (off_t at = 5 * 4096; at < st.st_size; at += 3 * 4096)
		write_file(path, junk, sizeof junk, at);
	f->e = open_it(f);
	assert_int_equal(az_engine_work(f->e, &worker, &err), AZ_EIO);
	assert_string_equal(err.reason, "journal_damaged");
}

static void
a_damaged_event_fails_its_run_only(void **state)
{
	struct fx *f = *state;
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	char path[100];
	struct az_err err = AZ_ERR_INIT;
	struct az_history h;
	struct az_run_info r = {0};
	struct trigger fold = {.any = false};
	sqlite3 *db;

	f->e = open_it(f);
	assert_int_equal(begin(f->e, "bad", &err), AZ_OK);
	assert_int_equal(begin(f->e, "good", &err), AZ_OK);
	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
			     "UPDATE events SET "
			     "payload='\"fn:evil\"' WHERE run=(SELECT n FROM runs WHERE "
			     "id='bad')",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(az_engine_history(f->e, AZ_S("bad"), 0, 9, a, &h, &err), AZ_EIO);
	assert_string_equal(err.reason, "journal_damaged");
	/* one round of folds, as a worker makes them */
	assert_int_equal(decide((struct local *)f->e, toy_flows, AZ_S("bad"), &fold, &err), AZ_OK);
	assert_int_equal(decide((struct local *)f->e, toy_flows, AZ_S("good"), &fold, &err), AZ_OK);
	assert_int_equal(az_engine_describe(f->e, AZ_S("bad"), a, &r, &err), AZ_OK);
	assert_int_equal(r.state, AZ_RUN_FAILED);
	assert_int_equal(az_engine_history(f->e, AZ_S("bad"), 1, 9, a, &h, &err), AZ_OK);
	assert_true(az_str_eqc(h.ev[0].reason, "journal_damaged"));
	assert_int_equal(az_engine_describe(f->e, AZ_S("good"), a, &r, &err), AZ_OK);
	assert_int_equal(r.state, AZ_RUN_OPEN);
	az_arena_free(a);
}

/* Enough to pass the checkpoint marks: nothing lost, the log stays bounded. */
static void
the_log_does_not_grow_without_end(void **state)
{
	struct fx *f = *state;
	char path[100], *big = malloc(200000);
	struct az_start s = {.type = "Toy", .uid = AZ_S("alice")};
	struct az_err err = AZ_ERR_INIT;
	struct stat st;
	char id[16];

	memset(big, '1', 200000);
	f->e = open_it(f);
	s.input = az_str_n(big, 200000);
	for (int i = 0; i < 400; i++) { /* 80 MB */
		snprintf(id, sizeof id, "r%d", i);
		s.workflow_id = az_str_c(id);
		assert_int_equal(az_engine_start(f->e, &s, NULL, &err), AZ_OK);
	}
	snprintf(path, sizeof path, "%s/journal.db-wal", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < 64 * 1024 * 1024);
	assert_true(exists(f->e, "r0") && exists(f->e, "r399"));
	free(big);
}

/* What a run is told stands in its history for good: there is an end to it, but not for
   the one word that ends the run. */
static void
a_run_is_told_only_so_much(void **state)
{
	struct fx *f = *state;
	struct az_err err = AZ_ERR_INIT;
	struct conn c = {0};
	char path[128];

	f->e = open_it(f);
	assert_int_equal(begin(f->e, "r", &err), AZ_OK);
	assert_int_equal(begin(f->e, "other", &err), AZ_OK);
	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	assert_int_equal(schema_reader(path, false, &c, &err), AZ_OK);
	assert_int_equal(
	    sqlite3_exec(c.db, "UPDATE runs SET last_event = 9999 WHERE id = 'r'", 0, 0, 0),
	    SQLITE_OK);
	conn_close(&c);

	assert_int_equal(az_engine_signal(f->e, AZ_S("r"), "s", AZ_S("1"), &err), AZ_OK);
	assert_int_equal(az_engine_signal(f->e, AZ_S("r"), "s", AZ_S("2"), &err), AZ_EQUOTA);
	assert_string_equal(err.reason, "too_many_signals");
	assert_int_equal(az_engine_signal(f->e, AZ_S("other"), "s", AZ_S("1"), &err), AZ_OK);
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r"), AZ_S("\"gently\""), &err), AZ_OK);
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r"), AZ_S("\"now\""), &err), AZ_EQUOTA);
	/* said again it is no more than was said */
	assert_int_equal(az_engine_cancel(f->e, AZ_S("r"), AZ_S("\"gently\""), &err), AZ_OK);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_hundred_clients_share_commits),
	    T(a_start_is_durable_when_it_returns),
	    T(files_are_for_the_group_only),
	    T(one_bad_operation_harms_no_other),
	    T(a_full_disk_refuses_and_leaves_nothing),
	    T(a_journal_moved_away_is_noticed),
	    T(a_foreign_file_is_refused_and_left_alone),
	    T(a_damaged_journal_stops_the_worker),
	    T(a_damaged_event_fails_its_run_only),
	    T(the_log_does_not_grow_without_end),
	    T(a_run_is_told_only_so_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
