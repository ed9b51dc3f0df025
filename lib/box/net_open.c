/*
 * The outer half of the boxes' proxy: names are resolved, addresses vetted, connections
 * made and counted here; the agent only carries bytes. The box itself has no route. The
 * proxy is there without a network too: what is asked for then is refused by name, and told.
 */
#include "net.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_MS 10000

struct errand { /* for the connecting thread */
	struct box *b;
	uint32_t id;
	int port;
	char host[256];
};

static bool
net_on(const struct box *b)
{
	return b->internet || b->allows;
}

/* Only the first one of each is logged: a program may ask a million times. */
static void
note_blocked(struct box *b, const char *host, int port, const char *why)
{
	struct blocked *k;

	for (size_t i = 0; i < b->nblocked; i++)
		if (b->blocked[i].port == port && !strcmp(b->blocked[i].host, host)) {
			b->blocked[i].count++;
			return;
		}
	if (b->nblocked == BLOCKED_MAX)
		return;
	az_log(AZ_INFO, "box.blocked", AZ_KC("box", b->id), AZ_KC("host", host),
	    AZ_KN("port", port), AZ_KC("why", why));
	note(b, AZ_WARN, "connection refused", AZ_KC("host", host), AZ_KN("port", port),
	    AZ_KC("why", why));
	k = &b->blocked[b->nblocked++];
	snprintf(k->host, sizeof k->host, "%s", host);
	snprintf(k->why, sizeof k->why, "%s", why);
	k->port = port;
	k->count = 1;
}

/* ---- resolving and connecting, on a thread of its own ---- */

static int
connect_to(const struct addrinfo *ai, int64_t deadline)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd pf = {.fd = fd, .events = POLLOUT};
	int64_t left = deadline - az_boot_ms();
	int e = 0;
	socklen_t n = sizeof e;

	if (fd < 0)
		return -1;
	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		return fd;
	if (errno == EINPROGRESS && left > 0 && poll(&pf, 1, (int)left) == 1 &&
	    !getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) && !e)
		return fd;
	close(fd);
	return -1;
}

static void *
errand_main(void *arg)
{
	struct errand *e = arg;
	struct box *b = e->b;
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int64_t deadline = az_boot_ms() + CONNECT_MS;
	char port[16];
	const char *why = "name does not resolve";
	bool refused = false;
	struct conn *c;
	int fd = -1;

	snprintf(port, sizeof port, "%d", e->port);
	if (!getaddrinfo(e->host, port, &hint, &list)) {
		why = "cannot connect";
		/* vetted is what is connected to: no second look-up in between */
		for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
			if (b->srv->vet(ai->ai_addr, e->port))
				fd = connect_to(ai, deadline);
			else
				refused = true;
		}
		freeaddrinfo(list);
	}
	if (fd < 0 && refused)
		why = "blocked by the sandbox: address or port not allowed";
	pthread_mutex_lock(&b->mu);
	b->connectors--;
	c = net_conn_by_id(b, e->id);
	if (fd < 0 && refused)
		note_blocked(b, e->host, e->port, "address");
	if (c && !b->dead) {
		c->fd = fd;
		c->failed = fd < 0;
		snprintf(c->why, sizeof c->why, "%s", why);
		fd = -1;
		link_wake(b);
	}
	pthread_mutex_unlock(&b->mu);
	if (fd >= 0)
		close(fd);
	box_unref(b);
	free(e);
	return NULL;
}

void
net_open(struct box *b, uint32_t id, const char *host, int port)
{
	struct errand *e = NULL;
	struct conn *c = NULL;
	pthread_t t;

	if (!net_on(b)) {
		note_blocked(b, host, port, "network");
		net_conn_opened(b, id, false, "blocked by the sandbox: no network");
		return;
	}
	if (!vet_domain(az_str_c(host), b->allow, b->allows)) {
		note_blocked(b, host, port, "domain");
		net_conn_opened(b, id, false, "blocked by the sandbox: domain not allowed");
		return;
	}
	if (b->nconns >= CONNS_MAX || b->connectors >= CONNS_MAX || !(e = calloc(1, sizeof *e)) ||
	    !(c = net_conn_add(b, id, -1))) {
		free(e);
		net_conn_opened(b, id, false, "too many connections");
		return;
	}
	e->b = b;
	e->id = id;
	e->port = port;
	snprintf(e->host, sizeof e->host, "%s", host);
	b->refs++;
	b->connectors++;
	if (!thread_start(&t, errand_main, e, true)) {
		b->connectors--;
		b->refs--;
		free(e);
		net_conn_free(b, c);
		net_conn_opened(b, id, false, "too many connections");
	}
}

enum az_code
net_policy(struct box *b, bool internet, const struct az_json *allow, struct az_err *err)
{
	char *list[ALLOW_MAX];
	size_t n = az_json_len(allow);

	if (n > ALLOW_MAX)
		return az_fail(
		    err, AZ_EINVAL, "box.network", "allowOut: more than %d entries", ALLOW_MAX);
	for (size_t i = 0; i < n; i++)
		if (!vet_domain_ok(az_json_str(az_json_at(allow, i))))
			return az_fail(err, AZ_EINVAL, "box.network",
			    "allowOut: only host names, *.names and addresses are supported");
	for (size_t i = 0; i < n; i++)
		if (!(list[i] = az_str_dup(az_json_str(az_json_at(allow, i))))) {
			while (i)
				free(list[--i]);
			return az_fail(err, AZ_ENOMEM, "box.network", "out of memory");
		}
	for (size_t i = 0; i < b->allows; i++)
		free(b->allow[i]);
	for (size_t i = 0; i < n; i++)
		b->allow[i] = list[i];
	b->allows = n;
	b->internet = internet;
	/* what was open under the old rules ends */
	for (struct conn *c = b->conns, *next; c; c = next) {
		next = c->next;
		if (!c->dialled)
			net_conn_close(b, c);
	}
	if (b->proxy_on || !b->hello)
		return AZ_OK;
	b->proxy_on = true;
	return link_send(
	    b, b->next_id++, AW_PROXY, (struct az_str){0}, (struct az_str){0}, false, err);
}
