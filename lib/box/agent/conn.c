/* Connections of programs with the outside, which is the server: those that a program asked
   for through the proxy, and those that the server dials to a port a program listens on. */
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct conn conns[2 * AG_CONNS]; /* asked for, dialled */

struct conn *
conn_new(int fd, enum stage stage, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++) {
		struct conn *c = &conns[i];

		if (c->stage)
			continue;
		*c = (struct conn){.stage = stage,
		    .fd = fd,
		    .at = -1,
		    .in = malloc(CONN_IN),
		    .out = malloc(AW_NET_WINDOW + CONN_SPARE)};
		if (c->in && c->out)
			return c;
		conn_drop(c, false);
		return NULL;
	}
	close(fd);
	return NULL;
}

void
conn_drop(struct conn *c, bool tell)
{
	if (tell && c->stage >= ASKED)
		out_frame(c->id, AW_NET_CLOSE, NULL, 0);
	close(c->fd);
	free(c->in);
	free(c->out);
	*c = (struct conn){.fd = -1, .at = -1};
}

static struct conn *
by_id(uint32_t id)
{
	for (size_t i = 0; i < 2 * AG_CONNS; i++)
		if ((conns[i].stage == DIALLED || conns[i].stage >= ASKED) && conns[i].id == id)
			return &conns[i];
	return NULL;
}

/* ---- dialling ---- */

static void
answer(uint32_t id, const char *why)
{
	unsigned char b[5 + 64];
	size_t n = why ? strlen(why) : 0;

	b[0] = !why;
	aw_store(b + 1, n, 4);
	if (n)
		memcpy(b + 5, why, n);
	out_frame(id, AW_NET_OPENED, b, 5 + n);
}

static int
connect_to(int port, bool v6)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return -1;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a6.sin6_addr = in6addr_loopback;
	rc = v6 ? connect(fd, (const struct sockaddr *)&a6, sizeof a6)
		: connect(fd, (const struct sockaddr *)&a, sizeof a);
	if (!rc || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* "localhost" is ::1 alone for some servers */
static bool
second_try(struct conn *c)
{
	int fd = c->v6 ? -1 : connect_to(c->port, true);

	if (fd < 0)
		return false;
	close(c->fd);
	c->fd = fd;
	c->v6 = true;
	return true;
}

void
conn_dial(uint32_t id, struct aw_rd *r)
{
	int port = aw_u16(r), fd;
	bool v6 = false;
	struct conn *c;

	if (r->bad || !port)
		broken();
	fd = connect_to(port, false);
	if (fd < 0) {
		v6 = true;
		fd = connect_to(port, true);
	}
	if (fd < 0) {
		answer(id, "port is not open");
		return;
	}
	if (!(c = conn_new(fd, DIALLED, AG_CONNS, AG_CONNS))) {
		answer(id, "too many connections");
		return;
	}
	c->id = id;
	c->credit = AW_NET_WINDOW;
	c->port = port;
	c->v6 = v6;
}

static void
dial_ready(struct conn *c)
{
	int e = 0;
	socklen_t n = sizeof e;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0 || e) {
		if (second_try(c))
			return;
		answer(c->id, "port is not open");
		conn_drop(c, false);
		return;
	}
	c->stage = OPEN;
	answer(c->id, NULL);
}

/* ---- carrying ---- */

static void
send_up(struct conn *c)
{
	while (c->stage == OPEN && c->in_n && c->credit && out_room()) {
		size_t n = c->in_n < AW_CHUNK ? c->in_n : AW_CHUNK;

		if (n > c->credit)
			n = c->credit;
		out_frame(c->id, AW_NET_BYTES, c->in, n);
		c->credit -= (uint32_t)n;
		c->in_n -= n;
		memmove(c->in, c->in + n, c->in_n);
	}
	if (c->stage == OPEN && c->in_end && !c->in_n && !c->told) {
		out_frame(c->id, AW_NET_END, NULL, 0);
		c->told = true;
	}
}

void
conn_frame(const struct aw_frame *f)
{
	struct conn *c = by_id(f->id);
	struct aw_rd r = f->body;
	size_t n = r.n;

	if (!c)
		return;
	if (f->type == AW_NET_OPENED) {
		bool ok = aw_u8(&r);
		const char *why = aw_text(&r, &n);
		char text[256];

		if (r.bad || c->stage != ASKED)
			broken();
		snprintf(text, sizeof text, "%.*s", (int)(n < 250 ? n : 250), why);
		proxy_opened(c, ok, text);
		send_up(c);
	} else if (c->stage == DIALLED) {
		if (f->type != AW_NET_CLOSE)
			broken();
		conn_drop(c, false);
	} else if (f->type == AW_NET_BYTES) {
		if (c->out_n + n > AW_NET_WINDOW + CONN_SPARE)
			broken();
		memmove(c->out, c->out + c->out_at, c->out_n);
		c->out_at = 0;
		memcpy(c->out + c->out_n, r.p, n);
		c->out_n += n;
	} else if (f->type == AW_NET_END) {
		c->out_end = true;
	} else {
		c->stage = HEAD;
		c->out_end = c->in_end = true;
		c->in_n = 0;
	}
}

bool
conn_grant(uint32_t id, uint32_t n)
{
	struct conn *c = by_id(id);

	if (!c)
		return false;
	if (n > UINT32_MAX - c->credit)
		broken();
	c->credit += n;
	send_up(c);
	return true;
}

void
conn_watch(void)
{
	bool room = false;

	for (size_t i = 0; i < 2 * AG_CONNS; i++) {
		struct conn *c = &conns[i];
		short ev = 0;

		c->at = -1;
		if (!c->stage) {
			room |= i < AG_CONNS;
			continue;
		}
		if (c->stage != DIALLED && !c->in_end && c->in_n < CONN_IN - 1024 && out_room())
			ev |= POLLIN;
		if (c->out_n || c->stage == DIALLED)
			ev |= POLLOUT;
		/* without POLLIN a hang-up still wakes us: a dead peer is dropped */
		c->at = watch(c->fd, ev);
	}
	proxy_watch(room);
}

static void
carry(struct conn *c, short ev)
{
	ssize_t k;

	if (ev & POLLIN && c->in_n < CONN_IN) {
		k = recv(c->fd, c->in + c->in_n, CONN_IN - c->in_n, 0);
		if (k > 0)
			c->in_n += (size_t)k;
		else if (k == 0 || (errno != EAGAIN && errno != EINTR))
			c->in_end = true;
		if (c->stage == HEAD && !c->out_end)
			proxy_head(c);
		if (c->stage == HEAD && c->in_end && !c->out_n)
			c->out_end = true;
	}
	if (c->out_n) {
		k = send(c->fd, c->out + c->out_at, c->out_n, MSG_NOSIGNAL);
		if (k > 0) {
			c->out_at += (size_t)k;
			c->out_n -= (size_t)k;
			if (!c->out_n)
				c->out_at = 0;
			if (c->stage == OPEN)
				out_u32(c->id, AW_CREDIT, (uint32_t)k);
		} else if (k < 0 && errno != EAGAIN && errno != EINTR) {
			conn_drop(c, true);
			return;
		}
	}
	send_up(c);
	if (ev & (POLLERR | POLLHUP) && !(ev & POLLIN)) {
		conn_drop(c, true);
		return;
	}
	if (c->out_end && !c->out_n) {
		if (c->in_end && !c->in_n)
			conn_drop(c, true);
		else
			shutdown(c->fd, SHUT_WR);
	}
}

void
conn_ready(void)
{
	for (size_t i = 0; i < 2 * AG_CONNS; i++) {
		struct conn *c = &conns[i];
		short ev = c->stage ? fired(c->at) : 0;

		if (c->stage == DIALLED && ev)
			dial_ready(c);
		else if (c->stage > DIALLED && (ev || c->out_n || c->out_end || c->in_n))
			carry(c, ev);
	}
	proxy_ready();
}
