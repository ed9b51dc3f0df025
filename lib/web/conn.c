/*
 * One connection, from accept to close. libfcgi would accept and close by itself, but
 * while the lead is held and with four system calls more, two of which sleep.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <azlon/clock.h>
#include "web.h"

#define LINGER_MS 2000
#define ACCEPT_MS 20

void
web_conn_init(FCGX_Request *f)
{
	/* no listening socket: libfcgi fails instead of accepting another connection
	   when one that it was given ends before its request is whole */
	FCGX_InitRequest(f, -1, 0);
}

bool
web_conn_listen(int fd)
{
	const struct timeval most = {.tv_usec = ACCEPT_MS * 1000};
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0;
}

int
web_conn_accept(int listen_fd)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNIX};
	socklen_t n = sizeof peer;
	const struct timeval forever = {0, 0};
	int one = 1, fd = accept4(listen_fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC);

	if (fd >= 0 && peer.ss_family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
	}
	return fd;
}

bool
web_conn_open(FCGX_Request *f, int fd)
{
	/* as if the connection had been kept from a request before; and when it ends before its
	   request is whole it is closed by close() alone: libfcgi would wait by select(), which
	   cannot take a descriptor over 1023 */
	f->ipcFd = fd;
	f->keepConnection = 1;
	f->detached = 1;
	return FCGX_Accept_r(f) == 0;
}

bool
web_conn_read_whole(struct az_rq *rq)
{
	bool only_end = rq->body_bytes <= 0 || rq->body_seen == rq->body_bytes;

	return !rq->body_open && rq->state != WEB_BROKEN && only_end &&
	       FCGX_GetChar(rq->f->in) == EOF && FCGX_GetError(rq->f->in) == 0;
}

/* Read on until nginx has closed too, LINGER_MS at most. */
static void
linger(int fd)
{
	int64_t end = az_boot_ms() + LINGER_MS, left;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char rest[4096];

	if (shutdown(fd, SHUT_WR) != 0)
		return;
	while ((left = end - az_boot_ms()) > 0) {
		int r = poll(&p, 1, (int)left);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0 || recv(fd, rest, sizeof rest, MSG_DONTWAIT) <= 0)
			break;
	}
}

void
web_conn_close(FCGX_Request *f, bool whole)
{
	(void)FCGX_FClose(f->err);
	(void)FCGX_FClose(f->out);
	/*
	 * To close over unread bytes would reset the connection under nginx's hands. With
	 * nothing unread there is nothing to wait for.
	 */
	if (!whole)
		linger(f->ipcFd);
	close(f->ipcFd);
	f->ipcFd = -1;
	FCGX_Free(f, 0);
}
