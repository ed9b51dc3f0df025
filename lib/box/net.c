/* The bytes of a box's connections, on its thread. */
#include "net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn *
net_conn_add(struct box *b, uint32_t id, int fd)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->id = id;
	c->fd = fd;
	c->at = -1;
	c->credit = AW_NET_WINDOW;
	az_buf_init(&c->up, AW_NET_WINDOW);
	c->next = b->conns;
	b->conns = c;
	b->nconns++;
	return c;
}

struct conn *
net_conn_by_id(struct box *b, uint32_t id)
{
	struct conn *c;

	for (c = b->conns; c && c->id != id; c = c->next)
		;
	return c;
}

void
net_conn_free(struct box *b, struct conn *c)
{
	for (struct conn **pp = &b->conns; *pp; pp = &(*pp)->next)
		if (*pp == c) {
			*pp = c->next;
			break;
		}
	if (c->dialled)
		b->ndials--;
	else
		b->nconns--;
	if (c->fd >= 0)
		close(c->fd);
	az_buf_release(&c->up);
	az_buf_release(&c->head);
	free(c);
}

void
net_conn_opened(struct box *b, uint32_t id, bool ok, const char *why)
{
	unsigned char head[5];
	struct az_str t = az_str_c(why);

	head[0] = ok;
	aw_store(head + 1, t.n, 4);
	if (link_send(b, id, AW_NET_OPENED, az_str_n(head, sizeof head), t, false, NULL))
		return; /* dead: the reader ends */
}

/* ---- to a port of a program ---- */

enum az_code
net_dial(struct box *b, int fd, int port, struct az_buf *head, struct az_err *err)
{
	unsigned char p[2];
	struct conn *c;
	enum az_code rc;

	if (b->ndials >= DIALS_MAX)
		return az_fail(err, AZ_EQUOTA, "box.port", "too many connections");
	if (!(c = net_conn_add(b, b->next_id++, fd)))
		return az_fail(err, AZ_ENOMEM, "box.port", "out of memory");
	c->dialled = true;
	c->port = port;
	b->nconns--;
	b->ndials++;
	aw_store(p, (uint64_t)port, 2);
	if ((rc = link_send(
		 b, c->id, AW_DIAL, az_str_n((char *)p, 2), (struct az_str){0}, false, err))) {
		c->fd = -1; /* stays the caller's */
		net_conn_free(b, c);
		return rc;
	}
	c->head = *head;
	*head = (struct az_buf){0};
	return AZ_OK;
}

/* The agent is connected, or is not. False: it broke the protocol. */
static bool
dial_answered(struct box *b, struct conn *c, struct aw_rd *r)
{
	bool ok = aw_u8(r);
	size_t n;
	const char *why = aw_text(r, &n);
	struct az_str rest = az_buf_str(&c->head);

	if (r->bad || !c->dialled || c->answered)
		return false;
	c->answered = true;
	if (!ok) {
		snprintf(c->why, sizeof c->why, "%.*s", (int)(n < 90 ? n : 90), why);
		port_closed(b, c->fd, c->port, c->why);
		c->refused = true;
		return true;
	}
	while (rest.n) {
		size_t k = rest.n < AW_CHUNK ? rest.n : AW_CHUNK;

		if (link_send(b, c->id, AW_NET_BYTES, az_str_sub(rest, 0, k), (struct az_str){0},
			false, NULL))
			return true; /* dead: the reader ends */
		c->credit -= (uint32_t)k;
		rest = az_str_sub(rest, k, rest.n);
	}
	az_buf_release(&c->head);
	return true;
}

/* ---- frames ---- */

bool
net_frame(struct box *b, struct aw_frame *f)
{
	struct aw_rd *r = &f->body;
	struct conn *c;
	size_t n;

	c = net_conn_by_id(b, f->id);
	if (f->type == AW_NET_OPEN) {
		int port = aw_u16(r);
		const char *p = aw_text(r, &n);
		char host[256];

		if (r->bad || c || f->id < AW_NET || !n || n > 255 || memchr(p, 0, n) || !port)
			return false;
		memcpy(host, p, n);
		host[n] = 0;
		net_open(b, f->id, host, port);
		return true;
	}
	if (!c)
		return true; /* closed on our side already */
	if (c->refused)
		return false;
	switch ((int)f->type) {
	case AW_NET_OPENED:
		return dial_answered(b, c, r);
	case AW_NET_BYTES:
		if (c->fd < 0 || !c->answered || c->up_end || c->up.n + r->n > AW_NET_WINDOW)
			return false;
		az_buf_add(&c->up, r->p, r->n);
		return !c->up.fail;
	case AW_NET_END:
		c->up_end = true;
		return true;
	case AW_NET_CLOSE:
		net_conn_free(b, c);
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
		if (c->refused || (!c->down_end && c->credit && b->out.n < AZ_KIB(512)))
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

	if (c->refused) { /* till it is closed over there: with bytes unread it would be reset */
		k = ev ? recv(c->fd, buf, sizeof buf, MSG_DONTWAIT) : 1;
		return k > 0 || (k < 0 && (errno == EAGAIN || errno == EINTR));
	}
	if (c->up.n) {
		k = send(c->fd, c->up.p, c->up.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (k < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (k > 0) {
			az_buf_shift(&c->up, (size_t)k);
			if (!c->dialled)
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
			if (!c->dialled)
				b->net_down += (uint64_t)k;
			if (link_send(b, c->id, AW_NET_BYTES, az_str_n(buf, (size_t)k),
				(struct az_str){0}, false, NULL))
				return false;
		}
		if (k == 0 && c->dialled)
			return false; /* nginx closes both ways at once */
		if (k == 0) {
			c->down_end = true;
			if (link_send(b, c->id, AW_NET_END, (struct az_str){0}, (struct az_str){0},
				false, NULL))
				return false;
		}
	}
	return !(c->down_end && c->up_shut);
}

void
net_conn_close(struct box *b, struct conn *c)
{
	if (link_send(b, c->id, AW_NET_CLOSE, (struct az_str){0}, (struct az_str){0}, false, NULL))
		c->failed = true; /* dead; freed all the same */
	net_conn_free(b, c);
}

void
net_ready(struct box *b, const struct pollfd *v, size_t n)
{
	for (struct conn *c = b->conns, *next; c; c = next) {
		short ev = c->at >= 0 && (size_t)c->at < n ? v[c->at].revents : 0;

		next = c->next;
		if (!c->dialled && !c->answered && (c->fd >= 0 || c->failed)) {
			c->answered = true;
			net_conn_opened(b, c->id, !c->failed, c->why);
			if (c->failed) {
				net_conn_free(b, c);
				continue;
			}
			b->net_opened++;
		}
		if (c->answered && !pump(b, c, ev))
			net_conn_close(b, c);
	}
}

void
net_close_all(struct box *b)
{
	while (b->conns)
		net_conn_free(b, b->conns);
}
