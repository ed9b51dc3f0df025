/* Moving the log into the database, off the commit path, in one process at a time. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "local.h"

/* Frames of 4 KiB: begin here; past the second, insist that the log starts over. */
enum { BEGIN_FRAMES = 1000, RESTART_FRAMES = 6000 };

static void
checkpoint(struct local *e, struct conn *c)
{
	int log = 0, moved = 0, rc;
	int fd =
	    openat(e->dirfd, "checkpoint.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);

	if (fd < 0)
		return;
	(void)!fchmod(fd, 0660);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		goto out; /* another process is at it */
	rc = sqlite3_wal_checkpoint_v2(c->db, "main", SQLITE_CHECKPOINT_PASSIVE, &log, &moved);
	if (rc == SQLITE_OK && log >= RESTART_FRAMES) {
		/* most of it is done: the writers stand still for the rest */
		int lock = e->writer.lockfd >= 0
			       ? openat(e->dirfd, "journal.lock", O_RDWR | O_CLOEXEC)
			       : -1;

		if (lock >= 0) {
			while (flock(lock, LOCK_EX) < 0 && errno == EINTR)
				continue;
			sqlite3_busy_timeout(c->db, 200);
			sqlite3_wal_checkpoint_v2(
			    c->db, "main", SQLITE_CHECKPOINT_RESTART, &log, &moved);
			close(lock);
		}
	}
out:
	close(fd);
}

static void *
checkpoint_main(void *arg)
{
	struct local *e = arg;
	struct writer *w = &e->writer;
	struct conn c = {0};

	if (schema_reader(e->path, false, &c, NULL))
		c.db = NULL; /* the next commit asks again */
	pthread_mutex_lock(&w->mu);
	while (!w->stop) {
		if (!w->cp_wanted) {
			pthread_cond_wait(&w->cp_cond, &w->mu);
			continue;
		}
		w->cp_wanted = false;
		pthread_mutex_unlock(&w->mu);
		if (!c.db && schema_reader(e->path, false, &c, NULL))
			c.db = NULL;
		if (c.db)
			checkpoint(e, &c);
		pthread_mutex_lock(&w->mu);
	}
	pthread_mutex_unlock(&w->mu);
	conn_close(&c);
	return NULL;
}

void
checkpoint_poke(struct local *e, int frames)
{
	struct writer *w = &e->writer;

	/* called by the writer thread only; the log starting over resets the mark */
	if (frames < w->cp_frames)
		w->cp_at = BEGIN_FRAMES;
	w->cp_frames = frames;
	if (frames < BEGIN_FRAMES || frames < w->cp_at)
		return;
	w->cp_at = frames + BEGIN_FRAMES;
	pthread_mutex_lock(&w->mu);
	if (!w->cp_started)
		w->cp_started = pthread_create(&w->cp_thread, NULL, checkpoint_main, e) == 0;
	w->cp_wanted = true;
	pthread_cond_signal(&w->cp_cond);
	pthread_mutex_unlock(&w->mu);
}

void
checkpoint_join(struct local *e)
{
	if (e->writer.cp_started)
		pthread_join(e->writer.cp_thread, NULL);
}
