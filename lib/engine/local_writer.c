/*
 * The batching writer: threads queue operations, one thread takes all that are there,
 * takes the lock file (so that processes queue fairly and never spin on SQLite), and
 * commits once. What was queued while it waited rides along.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "local.h"

enum { BATCH_MAX = 512, NOTE_BYTES = 4000 };

static void *writer_main(void *arg);

static void
lock_journal(int fd)
{
	while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
		continue;
}

enum az_code
writer_open(struct local *e, struct az_err *err)
{
	struct writer *w = &e->writer;
	enum az_code rc;

	pthread_mutex_init(&w->mu, NULL);
	pthread_cond_init(&w->cond, NULL);
	pthread_cond_init(&w->cp_cond, NULL);
	w->tail = &w->head;
	w->lockfd =
	    openat(e->dirfd, "journal.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (w->lockfd < 0) {
		az_fail_errno(err, AZ_EIO, "engine.open", "journal.lock");
		az_err_reason(err, "engine");
		return AZ_EIO;
	}
	(void)!fchmod(w->lockfd, 0660); /* fails for a second user: it is set */
	lock_journal(w->lockfd);
	rc = schema_open(e->path, &w->c, err);
	if (!rc)
		rc = live_open(&e->live, e->dirfd, err);
	flock(w->lockfd, LOCK_UN);
	return rc;
}

void
op_init(struct op *op, struct az_str id,
    enum az_code (*apply)(struct local *, struct conn *, struct op *))
{
	memset(op, 0, sizeof *op);
	op->apply = apply;
	if (id.n > LOCAL_ID_MAX)
		id.n = LOCAL_ID_MAX;
	if (id.n)
		memcpy(op->id, id.p, id.n);
	sem_init(&op->done, 0, 0);
}

enum az_code
op_sql(struct op *op, struct conn *c, int rc, const char *what)
{
	op->sql = true;
	return sql_fail(c, rc, what, &op->err);
}

enum az_code
op_send(struct local *e, struct op *op, struct az_err *err)
{
	struct writer *w = &e->writer;
	int sys = 0;

	op->next = NULL;
	pthread_mutex_lock(&w->mu);
	if (!w->started) {
		sys = pthread_create(&w->thread, NULL, writer_main, e);
		w->started = sys == 0;
	}
	if (w->started) {
		*w->tail = op;
		w->tail = &op->next;
		pthread_cond_signal(&w->cond);
	}
	pthread_mutex_unlock(&w->mu);
	if (!sys)
		return AZ_OK;
	sem_destroy(&op->done);
	errno = sys;
	return az_fail_errno(err, AZ_EUNAVAIL, "engine.write", "thread");
}

enum az_code
op_wait(struct op *op, struct az_err *err)
{
	while (sem_wait(&op->done) < 0 && errno == EINTR)
		continue;
	sem_destroy(&op->done);
	if (op->rc && err)
		*err = op->err;
	return op->rc;
}

enum az_code
op_run(struct local *e, struct op *op, struct az_err *err)
{
	enum az_code rc = op_send(e, op, err);

	return rc ? rc : op_wait(op, err);
}

/* Move what is queued to the end of the batch at *tail. */
static size_t
take(struct writer *w, struct op ***tail, size_t n)
{
	pthread_mutex_lock(&w->mu);
	while (w->head && n < BATCH_MAX) {
		struct op *op = w->head;

		w->head = op->next;
		if (!w->head)
			w->tail = &w->head;
		op->next = NULL;
		**tail = op;
		*tail = &op->next;
		n++;
	}
	pthread_mutex_unlock(&w->mu);
	return n;
}

/* The file may have been moved away under us: then a commit would reach nobody. */
static bool
moved(struct conn *c)
{
	int m = 0;

	return sqlite3_file_control(c->db, "main", SQLITE_FCNTL_HAS_MOVED, &m) == SQLITE_OK && m;
}

static void
fail_all(struct op *batch, enum az_code rc, const struct az_err *why)
{
	for (struct op *op = batch; op; op = op->next) {
		op->rc = rc;
		op->err = *why;
		op->touched = false;
	}
}

/* One transaction. False: nothing of it happened, *rc and *why say what. */
static bool
attempt(struct local *e, struct op *batch, enum az_code *rc, struct az_err *why)
{
	struct conn *c = &e->writer.c;
	bool touched = false;
	int s;

	if (moved(c)) {
		*rc = az_fail(
		    why, AZ_EUNAVAIL, "engine.write", "the journal file was moved or deleted");
		az_err_reason(why, "engine");
		return false;
	}
	s = sql_do(c, Q_BEGIN, "");
	if (s != SQLITE_DONE) {
		*rc = sql_fail(c, s, "engine.write", why);
		return false;
	}
	for (struct op *op = batch; op; op = op->next) {
		op->sql = op->touched = false;
		op->rc = op->apply(e, c, op);
		if (op->rc && op->sql) {
			*rc = op->rc;
			*why = op->err;
			sql_do(c, Q_ROLLBACK, "");
			return false;
		}
		touched |= op->touched;
	}
	/* nothing written: no frame, no fsync */
	s = sql_do(c, Q_COMMIT, "");
	if (s != SQLITE_DONE) {
		*rc = sql_fail(c, s, "engine.write", why);
		if (!sqlite3_get_autocommit(c->db))
			sql_do(c, Q_ROLLBACK, "");
		return false;
	}
	if (touched)
		atomic_fetch_add_explicit(&e->writer.commits, 1, memory_order_relaxed);
	return true;
}

static void
commit(struct local *e, struct op *batch)
{
	enum az_code rc;
	struct az_err why = AZ_ERR_INIT;

	if (!batch || attempt(e, batch, &rc, &why))
		return;
	/* one bad operation must not take the others down; a full or broken disk
	   will fail them all the same */
	if (!batch->next || rc == AZ_EUNAVAIL ||
	    (rc == AZ_EIO && strcmp(why.reason, "engine") == 0)) {
		fail_all(batch, rc, &why);
		return;
	}
	while (batch) {
		struct op *one = batch;

		batch = one->next;
		one->next = NULL;
		if (!attempt(e, one, &rc, &why))
			fail_all(one, rc, &why);
		one->next = batch;
	}
}

/* Wake the callers first, then the rest of the world. */
static void
finish(struct local *e, struct op *batch)
{
	char note[NOTE_BYTES];
	size_t n = 0;
	bool any = false;

	while (batch) {
		struct op *op = batch;
		size_t len = strlen(op->id);

		batch = op->next;
		atomic_fetch_add_explicit(&e->writer.ops, 1, memory_order_relaxed);
		if (op->touched && len) {
			if (n + len + 1 <= sizeof note) {
				memcpy(note + n, op->id, len);
				note[n + len] = '\n';
				n += len + 1;
			} else {
				any = true;
			}
		} else if (op->touched) {
			any = true;
		}
		sem_post(&op->done); /* op is gone now */
	}
	if (any)
		local_note(e, "*\n", 2, false);
	else if (n)
		local_note(e, note, n, false);
}

static int
wal_hook(void *arg, sqlite3 *db, const char *name, int frames)
{
	(void)db;
	(void)name;
	checkpoint_poke(arg, frames);
	return SQLITE_OK;
}

static void *
writer_main(void *arg)
{
	struct local *e = arg;
	struct writer *w = &e->writer;

	sqlite3_wal_hook(w->c.db, wal_hook, e);
	for (;;) {
		struct op *batch = NULL, **tail = &batch;
		size_t n;

		pthread_mutex_lock(&w->mu);
		while (!w->head && !w->stop)
			pthread_cond_wait(&w->cond, &w->mu);
		if (!w->head) {
			pthread_mutex_unlock(&w->mu);
			return NULL;
		}
		pthread_mutex_unlock(&w->mu);
		n = take(w, &tail, 0);
		lock_journal(w->lockfd);
		take(w, &tail, n);
		commit(e, batch);
		flock(w->lockfd, LOCK_UN);
		finish(e, batch);
	}
}

void
writer_stop(struct local *e)
{
	struct writer *w = &e->writer;

	pthread_mutex_lock(&w->mu);
	w->stop = true;
	pthread_cond_broadcast(&w->cond);
	pthread_cond_broadcast(&w->cp_cond);
	pthread_mutex_unlock(&w->mu);
	if (w->started)
		pthread_join(w->thread, NULL);
	checkpoint_join(e);
}

void
writer_close(struct local *e)
{
	struct writer *w = &e->writer;

	conn_close(&w->c);
	if (w->lockfd >= 0)
		close(w->lockfd);
	pthread_mutex_destroy(&w->mu);
	pthread_cond_destroy(&w->cond);
	pthread_cond_destroy(&w->cp_cond);
}
