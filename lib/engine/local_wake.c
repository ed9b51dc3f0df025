/*
 * Wake-ups between processes: who waits or works binds a datagram socket in
 * wake/, who commits sends a datagram to all. A lost one costs at most the sweep.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "local.h"

enum { PEERS_MAX = 256 };

/* The directory's own path may be too long for a socket address. */
static void
address(const struct wake *w, const char *name, struct sockaddr_un *a)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%.60s", w->dir, name);
}

enum az_code
wake_open(struct wake *w, int dirfd, struct az_err *err)
{
	static const char op[] = "engine.open";

	w->in = w->out = w->dir = -1;
	pthread_mutex_init(&w->mu, NULL);
	w->peers = calloc(PEERS_MAX, sizeof *w->peers);
	if (!w->peers)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (mkdirat(dirfd, "wake", 0770) == 0)
		(void)!fchmodat(dirfd, "wake", 0770, 0);
	else if (errno != EEXIST)
		return az_fail_errno(err, AZ_EIO, op, "the directory wake");
	w->dir = openat(dirfd, "wake", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->out = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (w->dir < 0 || w->out < 0)
		return az_fail_errno(err, AZ_EIO, op, "the directory wake");
	return AZ_OK;
}

enum az_code
wake_listen(struct wake *w, struct az_err *err)
{
	static const char op[] = "engine.wake";
	struct sockaddr_un a;
	struct az_buf b;
	enum az_code rc = AZ_OK;
	int fd;

	if (w->in >= 0)
		return AZ_OK;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return az_fail_errno(err, AZ_EIO, op, "socket");
	az_buf_init(&b, 40);
	az_random_id(&b, 16);
	pthread_mutex_lock(&w->mu);
	snprintf(w->name, sizeof w->name, "%.*s.sock", AZ_FMT(az_buf_str(&b)));
	address(w, w->name, &a);
	az_buf_release(&b);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		rc = az_fail_errno(err, AZ_EIO, op, "bind in wake/");
		close(fd);
	} else {
		/* a sender needs write permission */
		(void)!fchmodat(w->dir, w->name, 0660, 0);
		w->in = fd;
	}
	pthread_mutex_unlock(&w->mu);
	return rc;
}

/* Read the directory again when it changed, and once a second whatever it says. */
static void
scan(struct wake *w)
{
	int64_t now = az_boot_ms();
	struct dirent *d;
	struct stat st;
	DIR *dir;
	int fd;

	if (fstat(w->dir, &st) < 0)
		return;
	if (now - w->scanned < LOCAL_SWEEP_MS && st.st_mtim.tv_sec == w->mtime.tv_sec &&
	    st.st_mtim.tv_nsec == w->mtime.tv_nsec)
		return;
	fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	w->mtime = st.st_mtim;
	w->scanned = now;
	w->n_peers = 0;
	while ((d = readdir(dir)) && w->n_peers < PEERS_MAX) {
		if (d->d_name[0] == '.' || strlen(d->d_name) >= 60 ||
		    strcmp(d->d_name, w->name) == 0)
			continue;
		snprintf(w->peers[w->n_peers++], sizeof *w->peers, "%.60s", d->d_name);
	}
	closedir(dir);
}

void
wake_send(struct wake *w, const char *msg, size_t n)
{
	struct sockaddr_un a;

	pthread_mutex_lock(&w->mu);
	scan(w);
	for (size_t i = 0; i < w->n_peers; i++) {
		address(w, w->peers[i], &a);
		if (sendto(w->out, msg, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&a,
			sizeof a) >= 0)
			continue;
		/* full: it has work to do anyway and will look at everything */
		if (errno == ECONNREFUSED)
			(void)unlinkat(w->dir, w->peers[i], 0);
		if (errno == ECONNREFUSED || errno == ENOENT)
			w->scanned = 0;
	}
	pthread_mutex_unlock(&w->mu);
}

void
wake_close(struct wake *w)
{
	if (w->in >= 0) {
		(void)unlinkat(w->dir, w->name, 0);
		close(w->in);
	}
	if (w->out >= 0)
		close(w->out);
	if (w->dir >= 0)
		close(w->dir);
	free(w->peers);
	pthread_mutex_destroy(&w->mu);
}
