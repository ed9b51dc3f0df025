/*
 * The outer half of the boxes' proxy: names are resolved, addresses vetted, connections
 * made and counted here; the agent only carries bytes. The box itself has no route.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNS_MAX 32
#define CONNECT_MS 10000

struct conn {
	struct conn *next;
	uint32_t id;
	int fd, at;            /* -1 while resolving; place in the poll set */
	bool answered, failed; /* by the connecting thread */
	char why[96];
	bool up_end, up_shut, down_end;
	struct az_buf up; /* from the program, not yet sent on */
	uint32_t credit;  /* what the agent still takes */
};

struct errand { /* for the connecting thread */
	struct box *b;
	uint32_t id;
	int port;
	char host[256];
};

bool
net_on(const struct box *b)
{
	return b->internet || b->allows;
}

static void
conn_free(struct box *b, struct conn *c)
{
	for (struct conn **pp = &b->conns; *pp; pp = &(*pp)->next)
		if (*pp == c) {
			*pp = c->next;
			break;
		}
	b->nconns--;
	if (c->fd >= 0)
		close(c->fd);
	az_buf_release(&c->up);
	free(c);
}

static void
note_blocked(struct box *b, const char *host, int port, const char *why)
{
	struct blocked *k;

	az_log(AZ_INFO, "box.blocked", AZ_KC("box", b->id), AZ_KC("host", host),
	    AZ_KN("port", port), AZ_KC("why", why));
	for (size_t i = 0; i < b->nblocked; i++)
		if (b->blocked[i].port == port && !strcmp(b->blocked[i].host, host)) {
			b->blocked[i].count++;
			return;
		}
	if (b->nblocked == BLOCKED_MAX)
		return;
	note(b, AZ_WARN, "connection refused", AZ_KC("host", host), AZ_KN("port", port),
	    AZ_KC("why", why));
	k = &b->blocked[b->nblocked++];
	snprintf(k->host, sizeof k->host, "%s", host);
	snprintf(k->why, sizeof k->why, "%s", why);
	k->port = port;
	k->count = 1;
}

static void
opened(struct box *b, uint32_t id, bool ok, const char *why)
{
	unsigned char head[5];
	struct az_str t = az_str_c(why);

	head[0] = ok;
	aw_store(head + 1, t.n, 4);
	if (link_send(b, id, AW_NET_OPENED, az_str_n(head, sizeof head), t, false, NULL))
		return; /* dead: the reader ends */
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
	for (c = b->conns; c && c->id != e->id; c = c->next)
		;
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

static void
open_conn(struct box *b, uint32_t id, const char *host, int port)
{
	struct errand *e = NULL;
	struct conn *c = NULL;
	pthread_t t;

	if (!net_on(b)) {
		note_blocked(b, host, port, "network");
		opened(b, id, false, "blocked by the sandbox: no network");
		return;
	}
	if (!vet_domain(az_str_c(host), b->allow, b->allows)) {
		note_blocked(b, host, port, "domain");
		opened(b, id, false, "blocked by the sandbox: domain not allowed");
		return;
	}
	if (b->nconns >= CONNS_MAX || b->connectors >= CONNS_MAX || !(c = calloc(1, sizeof *c)) ||
	    !(e = calloc(1, sizeof *e))) {
		free(c);
		opened(b, id, false, "too many connections");
		return;
	}
	c->id = id;
	c->fd = c->at = -1;
	c->credit = AW_NET_WINDOW;
	az_buf_init(&c->up, AW_NET_WINDOW);
	c->next = b->conns;
	b->conns = c;
	b->nconns++;
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
		conn_free(b, c);
		opened(b, id, false, "too many connections");
	}
}

/* ---- frames ---- */

bool
net_frame(struct box *b, struct aw_frame *f)
{
	struct aw_rd *r = &f->body;
	struct conn *c;
	size_t n;

	for (c = b->conns; c && c->id != f->id; c = c->next)
		;
	if (f->type == AW_NET_OPEN) {
		int port = aw_u16(r);
		const char *p = aw_text(r, &n);
		char host[256];

		if (r->bad || c || !n || n > 255 || memchr(p, 0, n) || !port)
			return false;
		memcpy(host, p, n);
		host[n] = 0;
		open_conn(b, f->id, host, port);
		return true;
	}
	if (!c)
		return true; /* closed on our side already */
	switch ((int)f->type) {
	case AW_NET_BYTES:
		if (c->fd < 0 || c->up_end || c->up.n + r->n > AW_NET_WINDOW)
			return false;
		az_buf_add(&c->up, r->p, r->n);
		return !c->up.fail;
	case AW_NET_END:
		c->up_end = true;
		return true;
	case AW_NET_CLOSE:
		conn_free(b, c);
		return true;
	case AW_CREDIT:
		n = aw_u32(r);
		/* the agent also counts the line it answers CONNECT with */
		c->credit = n > AW_NET_WINDOW - c->credit ? AW_NET_WINDOW : c->credit + (uint32_t)n;
		return !r->bad;
	default:
		return false;
	}
}

size_t
net_watch(struct box *b, struct pollfd *v, size_t room)
{
	size_t n = 0;

	for (struct conn *c = b->conns; c; c = c->next) {
		short ev = 0;

		c->at = -1;
		if (c->fd < 0 || !c->answered || n == room)
			continue;
		if (!c->down_end && c->credit && b->out.n < AZ_KIB(512))
			ev |= POLLIN;
		if (c->up.n)
			ev |= POLLOUT;
		if (!ev)
			continue;
		c->at = (int)n;
		v[n++] = (struct pollfd){.fd = c->fd, .events = ev};
	}
	return n;
}

static bool
pump(struct box *b, struct conn *c, short ev)
{
	char buf[AW_CHUNK];
	size_t want = c->credit < sizeof buf ? c->credit : sizeof buf;
	ssize_t k;

	if (c->up.n) {
		k = send(c->fd, c->up.p, c->up.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (k > 0) {
			az_buf_shift(&c->up, (size_t)k);
			b->net_up += (uint64_t)k;
			if (link_send_u32(b, c->id, AW_GRANT, (uint32_t)k))
				return false;
		}
	}
	if (c->up_end && !c->up.n && !c->up_shut) {
		c->up_shut = true;
		shutdown(c->fd, SHUT_WR);
	}
	if (ev & (POLLIN | POLLHUP | POLLERR) && !c->down_end && want) {
		k = recv(c->fd, buf, want, MSG_DONTWAIT);
		if (k < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (k > 0) {
			c->credit -= (uint32_t)k;
			b->net_down += (uint64_t)k;
			if (link_send(b, c->id, AW_NET_BYTES, az_str_n(buf, (size_t)k),
				(struct az_str){0}, false, NULL))
				return false;
		}
		if (k == 0) {
			c->down_end = true;
			if (link_send(b, c->id, AW_NET_END, (struct az_str){0}, (struct az_str){0},
				false, NULL))
				return false;
		}
	}
	return !(c->down_end && c->up_shut);
}

static void
close_conn(struct box *b, struct conn *c)
{
	if (link_send(b, c->id, AW_NET_CLOSE, (struct az_str){0}, (struct az_str){0}, false, NULL))
		c->failed = true; /* dead; freed all the same */
	conn_free(b, c);
}

void
net_ready(struct box *b, const struct pollfd *v, size_t n)
{
	for (struct conn *c = b->conns, *next; c; c = next) {
		short ev = c->at >= 0 && (size_t)c->at < n ? v[c->at].revents : 0;

		next = c->next;
		if (!c->answered && (c->fd >= 0 || c->failed)) {
			c->answered = true;
			opened(b, c->id, !c->failed, c->why);
			if (c->failed) {
				conn_free(b, c);
				continue;
			}
			b->net_opened++;
		}
		if (c->answered && !pump(b, c, ev))
			close_conn(b, c);
	}
}

void
net_close_all(struct box *b)
{
	while (b->conns)
		conn_free(b, b->conns);
}

enum az_code
net_policy(struct box *b, bool internet, const struct az_json *allow, struct az_err *err)
{
	char *list[ALLOW_MAX];
	size_t n = az_json_len(allow);
	unsigned char on;

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
	while (b->conns)
		close_conn(b, b->conns);
	on = net_on(b);
	if (on != b->proxy_on && b->hello) {
		b->proxy_on = on;
		return link_send(
		    b, b->next_id++, AW_PROXY, az_str_n(&on, 1), (struct az_str){0}, false, err);
	}
	return AZ_OK;
}
