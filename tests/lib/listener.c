#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "listener.h"

#define CONNS_MAX 256

struct conn {
	struct listener *l;
	pthread_t thread;
	int fd;
};

struct listener {
	void (*serve)(void *arg, int fd, int stop_fd);
	void *arg;
	int fd, port, stop[2];
	pthread_t thread;
	pthread_mutex_t mu;
	struct conn conn[CONNS_MAX];
	int n;
};

static void *
conn_main(void *arg)
{
	struct conn *c = arg;

	c->l->serve(c->l->arg, c->fd, c->l->stop[0]);
	close(c->fd);
	return NULL;
}

static void
take(struct listener *l, int fd)
{
	pthread_mutex_lock(&l->mu);
	if (l->n == CONNS_MAX) {
		close(fd);
	} else {
		struct conn *c = &l->conn[l->n++];

		c->l = l;
		c->fd = fd;
		if (pthread_create(&c->thread, NULL, conn_main, c) != 0)
			abort();
	}
	pthread_mutex_unlock(&l->mu);
}

static void *
accept_main(void *arg)
{
	struct listener *l = arg;

	for (;;) {
		struct pollfd f[2] = {
		    {.fd = l->fd, .events = POLLIN}, {.fd = l->stop[0], .events = POLLIN}};
		int fd;

		if (poll(f, 2, -1) < 0 && errno == EINTR)
			continue;
		if (f[1].revents)
			return NULL;
		if ((fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
			take(l, fd);
	}
}

struct listener *
listener_start(void (*serve)(void *arg, int fd, int stop_fd), void *arg)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof sa;
	struct listener *l = calloc(1, sizeof *l);

	if (!l)
		abort();
	l->serve = serve;
	l->arg = arg;
	pthread_mutex_init(&l->mu, NULL);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || pipe(l->stop) < 0 || bind(l->fd, (struct sockaddr *)&sa, sizeof sa) < 0 ||
	    listen(l->fd, 64) < 0 || getsockname(l->fd, (struct sockaddr *)&sa, &len) < 0)
		abort();
	l->port = ntohs(sa.sin_port);
	if (pthread_create(&l->thread, NULL, accept_main, l) != 0)
		abort();
	return l;
}

int
listener_port(const struct listener *l)
{
	return l->port;
}

int
listener_connections(struct listener *l)
{
	int n;

	pthread_mutex_lock(&l->mu);
	n = l->n;
	pthread_mutex_unlock(&l->mu);
	return n;
}

void
listener_stop(struct listener *l)
{
	(void)!write(l->stop[1], "x", 1);
	pthread_join(l->thread, NULL);
	for (int i = 0; i < l->n; i++)
		pthread_join(l->conn[i].thread, NULL);
	close(l->fd);
	close(l->stop[0]);
	close(l->stop[1]);
	pthread_mutex_destroy(&l->mu);
	free(l);
}
