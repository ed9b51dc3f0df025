/* The embedded engine: life cycle and table of slots. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "local.h"

static void
local_close(struct az_engine *eng)
{
	struct local *e = (struct local *)eng;
	struct reader *r, *next;

	if (e->leaked)
		return; /* a thread still stands on it */
	/* the writer still tells the watchers what its last commit changed */
	if (e->path)
		writer_stop(e);
	if (e->watch.bucket)
		watch_close(e);
	for (r = e->readers.idle; r; r = next) {
		next = r->next;
		conn_close(&r->c);
		free(r);
	}
	/* last: only a connection that may write can put the log away */
	if (e->path)
		writer_close(e);
	live_close(&e->live);
	if (e->wake.peers)
		wake_close(&e->wake);
	if (e->dirfd >= 0)
		close(e->dirfd);
	if (e->stop_fd >= 0)
		close(e->stop_fd);
	pthread_mutex_destroy(&e->readers.mu);
	pthread_cond_destroy(&e->readers.cond);
	pthread_mutex_destroy(&e->folding.mu);
	pthread_mutex_destroy(&e->mu);
	free(e->path);
	free(e->dir);
	free(e);
}

static const struct az_engine_ops ops = {
    .name = "local",
    .start = local_start,
    .describe = local_describe,
    .history = local_history,
    .list = local_list,
    .count = local_count,
    .load = local_load,
    .wait = local_wait,
    .signal = local_signal,
    .signal_start = local_signal_start,
    .cancel = local_cancel,
    .terminate = local_terminate,
    .remove = local_remove,
    .ping = local_ping,
    .work = local_work,
    .stop = local_stop,
    .close = local_close,
};

static enum az_code
open_dir(struct local *e, const char *dir, struct az_err *err)
{
	static const char op[] = "engine.open";

	e->dir = strdup(dir);
	if (!e->dir)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (mkdir(dir, 0770) == 0)
		(void)!chmod(dir, 0770); /* whatever the umask */
	else if (errno != EEXIST)
		return az_fail_errno(err, AZ_EIO, op, "%s", dir);
	e->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->dirfd < 0)
		return az_fail_errno(err, AZ_EIO, op, "%s", dir);
	/* for as long as this engine is open nobody puts another journal here */
	while (flock(e->dirfd, LOCK_SH) < 0)
		if (errno != EINTR)
			return az_fail_errno(err, AZ_EIO, op, "%s", dir);
	e->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (e->stop_fd < 0)
		return az_fail_errno(err, AZ_EIO, op, "eventfd");
	return AZ_OK;
}

enum az_code
az_engine_local_open(
    const struct az_engine_local_opts *o, struct az_engine **out, struct az_err *err)
{
	struct local *e = calloc(1, sizeof *e);
	enum az_code rc;

	*out = NULL;
	if (!e)
		return az_fail(err, AZ_ENOMEM, "engine.open", "out of memory");
	e->base.ops = &ops;
	e->dirfd = e->stop_fd = e->live.fd = e->writer.lockfd = -1;
	e->folding.row = -1;
	pthread_mutex_init(&e->folding.mu, NULL);
	pthread_mutex_init(&e->mu, NULL);
	pthread_mutex_init(&e->readers.mu, NULL);
	pthread_cond_init(&e->readers.cond, NULL);
	if ((rc = open_dir(e, o->dir, err)) || (rc = wake_open(&e->wake, e->dirfd, err)) ||
	    (rc = watch_open(e, err)))
		goto fail;
	if (asprintf(&e->path, "%s/journal.db", o->dir) < 0) {
		e->path = NULL;
		rc = az_fail(err, AZ_ENOMEM, "engine.open", "out of memory");
		goto fail;
	}
	rc = writer_open(e, err);
	if (rc)
		goto fail;
	*out = (struct az_engine *)e;
	return AZ_OK;
fail:
	if (err && !err->reason[0])
		az_err_reason(err, "engine");
	local_close(&e->base);
	return rc;
}
