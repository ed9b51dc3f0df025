/* The journal as one file and back: under load, elsewhere, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/path.h>
#include "engine/local.h"

struct fx {
	char top[64], dir[96], other[96], file[128];
	struct az_engine *e;
	struct az_engine_local_copy made;
	struct az_err err;
};

static struct az_engine *
open_in(const char *dir)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_engine *e;

	if (az_engine_local_open(&(struct az_engine_local_opts){.dir = dir}, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

static int
setup(void **state)
{
	struct fx *f = calloc(1, sizeof *f);

	snprintf(f->top, sizeof f->top, "/tmp/az-backup-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->dir, sizeof f->dir, "%s/journal", f->top);
	snprintf(f->other, sizeof f->other, "%s/other", f->top);
	/* what would be something else in a URI */
	snprintf(f->file, sizeof f->file, "%s/a b?c#d%%41.db", f->top);
	f->e = open_in(f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fx *f = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_engine_close(f->e);
	az_remove_tree(tmp, f->top + 5);
	close(tmp);
	free(f);
	return 0;
}

static enum az_code
begin(struct az_engine *e, const char *id)
{
	struct az_err err;
	struct az_start s = {.workflow_id = az_str_c(id),
	    .type = "Toy",
	    .uid = AZ_S("alice"),
	    .input = AZ_S("\"signal\"")};

	return az_engine_start(e, &s, NULL, &err);
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

static void
backup(struct fx *f)
{
	if (az_engine_local_backup(f->dir, f->file, &f->made, &f->err))
		fail_msg("%s", f->err.text);
}

static enum az_code
restore(struct fx *f, const char *to)
{
	return az_engine_local_restore(to, f->file, &f->made, &f->err);
}

static size_t
files_in(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* ---- what comes back ---- */

struct writer_of_runs {
	struct az_engine *e;
	atomic_int done; /* runs that were accepted */
	atomic_bool stop;
	bool bad;
};

static void *
write_runs(void *arg)
{
	struct writer_of_runs *w = arg;
	char id[32];

	for (int n = 0; !atomic_load(&w->stop); n++) {
		snprintf(id, sizeof id, "r%d", n);
		w->bad |= begin(w->e, id) != AZ_OK;
		atomic_store(&w->done, n + 1);
	}
	return NULL;
}

static void
a_copy_made_under_writes_has_all_that_was_accepted_before(void **state)
{
	struct fx *f = *state;
	struct writer_of_runs w = {.e = f->e};
	struct az_engine *e;
	struct stat st;
	pthread_t t;
	char id[32];
	int before;

	assert_int_equal(pthread_create(&t, NULL, write_runs, &w), 0);
	while ((before = atomic_load(&w.done)) < 50)
		sched_yield();
	backup(f);
	atomic_store(&w.stop, true);
	pthread_join(t, NULL);
	assert_false(w.bad);
	assert_true(f->made.runs >= before && f->made.runs <= atomic_load(&w.done));
	assert_int_equal(f->made.open, f->made.runs);
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* the directory of the journal, and the file: nothing else was left */
	assert_int_equal(files_in(f->top), 2);

	if (restore(f, f->other))
		fail_msg("%s", f->err.text);
	assert_int_equal(files_in(f->other), 1);
	e = open_in(f->other);
	for (int n = 0; n < before; n++) {
		snprintf(id, sizeof id, "r%d", n);
		assert_true(exists(e, id));
	}
	/* and it is a journal like any other */
	assert_int_equal(begin(e, "later"), AZ_OK);
	az_engine_close(e);
	assert_false(exists(f->e, "later"));
	assert_int_equal(stat(f->other, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0770);
}

/* ---- what is refused ---- */

static void
a_file_that_is_there_is_not_replaced(void **state)
{
	struct fx *f = *state;
	struct stat was, is;

	backup(f);
	assert_int_equal(stat(f->file, &was), 0);
	assert_int_equal(begin(f->e, "r"), AZ_OK);
	assert_int_equal(az_engine_local_backup(f->dir, f->file, &f->made, &f->err), AZ_ECONFLICT);
	assert_int_equal(stat(f->file, &is), 0);
	assert_true(was.st_ino == is.st_ino && was.st_size == is.st_size);
	assert_int_equal(files_in(f->top), 2);
}

static void
nothing_is_put_under_processes_that_run(void **state)
{
	struct fx *f = *state;
	char path[128], aside[128];

	backup(f);
	assert_int_equal(restore(f, f->dir), AZ_EUNAVAIL);
	/* not even when the journal was moved away from them */
	snprintf(path, sizeof path, "%s/journal.db", f->dir);
	snprintf(aside, sizeof aside, "%s/aside", f->top);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(restore(f, f->dir), AZ_EUNAVAIL);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rename(aside, path), 0);
}

static void
a_journal_that_is_there_is_not_replaced(void **state)
{
	struct fx *f = *state;

	backup(f);
	assert_int_equal(begin(f->e, "after"), AZ_OK);
	az_engine_close(f->e);
	f->e = NULL;
	assert_int_equal(restore(f, f->dir), AZ_ECONFLICT);
	f->e = open_in(f->dir);
	assert_true(exists(f->e, "after"));
}

static void
overwrite(const char *path, const char *text, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
	close(fd);
}

static void
what_is_no_whole_journal_is_refused(void **state)
{
	static const char *const why[] = {
	    "journal_damaged", "journal_foreign", "journal_damaged", "journal_damaged"};
	struct fx *f = *state;
	struct stat st;
	char id[32], gap[4096];

	memset(gap, 0x5a, sizeof gap - 1);
	gap[sizeof gap - 1] = '\0';
	for (int n = 0; n < 300; n++) {
		snprintf(id, sizeof id, "r%d", n);
		assert_int_equal(begin(f->e, id), AZ_OK);
	}
	for (int i = 0; i < 4; i++) {
		(void)unlink(f->file);
		if (i > 1)
			backup(f);
		assert_true(i < 2 || stat(f->file, &st) == 0);
		if (i == 0) {
			overwrite(f->file, "no database at all, but long enough to be read", 0);
		} else if (i == 1) {
			overwrite(f->file, "", 0); /* SQLite takes it for a new one */
		} else if (i == 2) {
			assert_int_equal(truncate(f->file, st.st_size / 2), 0);
		} else {
			for (off_t at = 4096; at + 4096 < st.st_size; at += 4096)
				overwrite(f->file, gap, at);
		}
		f->err = (struct az_err)AZ_ERR_INIT;
		assert_int_equal(restore(f, f->other), AZ_EIO);
		assert_string_equal(f->err.reason, why[i]);
		assert_int_equal(files_in(f->other), 0);
	}
	(void)unlink(f->file);
	assert_int_equal(restore(f, f->other), AZ_EIO);
	assert_int_equal(files_in(f->other), 0);
}

/* Its newest pages are in the log beside it. */
static void
a_journal_in_use_is_no_backup(void **state)
{
	struct fx *f = *state;

	assert_int_equal(begin(f->e, "r"), AZ_OK);
	snprintf(f->file, sizeof f->file, "%s/journal.db", f->dir);
	assert_int_equal(restore(f, f->other), AZ_EINVAL);
	assert_int_equal(files_in(f->other), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_copy_made_under_writes_has_all_that_was_accepted_before),
	    T(a_file_that_is_there_is_not_replaced),
	    T(nothing_is_put_under_processes_that_run),
	    T(a_journal_that_is_there_is_not_replaced),
	    T(what_is_no_whole_journal_is_refused),
	    T(a_journal_in_use_is_no_backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
