/*
 * The HTTP proxy on the box's own loopback: CONNECT host:port and absolute-form
 * requests. It decides nothing: each wish goes to the server as a frame, which resolves
 * the name, vets the address and connects; here bytes only change hands.
 */
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX (8u * 1024u)
#define IN_MAX (64u * 1024u)

enum stage { FREE, HEAD, ASKED, OPEN };
struct conn {
	enum stage stage;
	uint32_t id, credit; /* what we may still send to the server */
	int fd, at;
	bool tunnel;          /* CONNECT: answer 200 ourselves */
	bool in_end, out_end; /* program -> server ended; server -> program ended */
	unsigned char *in;    /* from the program, IN_MAX */
	size_t in_n;
	unsigned char *out; /* to the program, AW_NET_WINDOW + 512 */
	size_t out_n, out_at;
};
static struct conn conns[AG_CONNS];
static int lfd = -1, lat = -1;
static uint32_t next_id = AW_NET;

static void
drop(struct conn *c, bool tell)
{
	if (tell && c->stage >= ASKED)
		out_frame(c->id, AW_NET_CLOSE, NULL, 0);
	close(c->fd);
	free(c->in);
	free(c->out);
	*c = (struct conn){.fd = -1, .at = -1};
}

void
proxy_listen(uint32_t id, struct aw_rd *r)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(AW_PROXY_PORT)};
	bool on = aw_u8(r);
	int one = 1;

	if (!on) {
		if (lfd >= 0)
			close(lfd);
		lfd = -1;
		for (size_t i = 0; i < AG_CONNS; i++)
			if (conns[i].stage)
				drop(&conns[i], true);
	} else if (lfd < 0) {
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (lfd < 0 || setsockopt(lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
		    bind(lfd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(lfd, 64) < 0) {
			fail_errno(id, "proxy");
			if (lfd >= 0)
				close(lfd);
			lfd = -1;
			return;
		}
	}
	out_frame(id, AW_OK, NULL, 0);
}

static void
say(struct conn *c, const char *status, const char *why)
{
	int n = snprintf((char *)c->out + c->out_n, 512,
	    "HTTP/1.1 %s\r\n"
	    "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n\r\n%s\n",
	    status, strlen(why) + 1, why);

	c->out_n += n > 0 && n < 512 ? (size_t)n : 0;
	c->out_end = c->in_end = true;
	c->in_n = 0;
}

/* host[:port], [v6]:port; false if malformed */
static bool
authority(const char *p, size_t n, int dflt, char host[256], int *port)
{
	const char *end = p + n, *colon = NULL, *h = p;
	size_t hn;

	if (n && *p == '[') {
		const char *close_ = memchr(p, ']', n);

		if (!close_)
			return false;
		h = p + 1;
		hn = (size_t)(close_ - h);
		if (close_ + 1 < end && close_[1] == ':')
			colon = close_ + 1;
		else if (close_ + 1 < end)
			return false;
	} else {
		colon = memchr(p, ':', n);
		hn = (size_t)((colon ? colon : end) - p);
	}
	if (!hn || hn > 255 || memchr(h, '@', hn) || memchr(h, 0, hn))
		return false;
	memcpy(host, h, hn);
	host[hn] = 0;
	*port = dflt;
	if (colon) {
		*port = 0;
		for (p = colon + 1; p < end; p++) {
			if (*p < '0' || *p > '9' || *port > 65535)
				return false;
			*port = *port * 10 + (*p - '0');
		}
	}
	return *port > 0 && *port < 65536;
}

/* Rewrite "GET http://h/p HTTP/1.1" and its headers for the origin. */
static bool
absolute(struct conn *c, size_t head, const char *method_end, const char *url, const char *url_end,
    const char *line_end, char host[256], int *port)
{
	char *src = (char *)c->in, *b;
	const char *path, *p;
	size_t n = 0, rest = c->in_n - head;

	if (url_end - url < 8 || strncasecmp(url, "http://", 7))
		return false;
	url += 7;
	for (path = url; path < url_end && *path != '/' && *path != '?'; path++)
		;
	if (!authority(url, (size_t)(path - url), 80, host, port) || !(b = malloc(IN_MAX)))
		return false;
	memcpy(b, src, (size_t)(method_end - src) + 1);
	n = (size_t)(method_end - src) + 1;
	if (path == url_end || *path != '/')
		b[n++] = '/';
	memcpy(b + n, path, (size_t)(line_end - path));
	n += (size_t)(line_end - path);
	/* the rest of the head, without what was meant for a proxy */
	for (p = line_end; p < src + head - 2;) {
		const char *q = memchr(p + 2, '\r', (size_t)(src + head - p - 2));

		if (!q)
			break;
		if (strncasecmp(p + 2, "proxy-", 6) && strncasecmp(p + 2, "connection:", 11)) {
			memcpy(b + n, p, (size_t)(q - p));
			n += (size_t)(q - p);
		}
		p = q;
		if (p == src + head - 4)
			break;
	}
	memcpy(b + n, "\r\nConnection: close\r\n\r\n", 23);
	n += 23;
	if (n + rest > IN_MAX) {
		free(b);
		return false;
	}
	memcpy(b + n, src + head, rest);
	free(c->in);
	c->in = (unsigned char *)b;
	c->in_n = n + rest;
	return true;
}

static void
head_ready(struct conn *c)
{
	char host[256], *s = (char *)c->in;
	unsigned char b[6 + 256];
	const char *end = memmem(s, c->in_n, "\r\n\r\n", 4), *sp, *sp2, *eol;
	size_t head;
	int port;

	if (!end) {
		if (c->in_n >= HEAD_MAX)
			say(c, "431 Request Header Fields Too Large", "head too large");
		return;
	}
	head = (size_t)(end - s) + 4;
	eol = memchr(s, '\r', head);
	sp = memchr(s, ' ', (size_t)(eol - s));
	sp2 = sp ? memchr(sp + 1, ' ', (size_t)(eol - sp - 1)) : NULL;
	if (!sp2 || head > HEAD_MAX)
		goto bad;
	c->tunnel = sp - s == 7 && !memcmp(s, "CONNECT", 7);
	if (c->tunnel) {
		if (!authority(sp + 1, (size_t)(sp2 - sp - 1), 443, host, &port))
			goto bad;
		memmove(c->in, c->in + head, c->in_n - head);
		c->in_n -= head;
	} else if (!absolute(c, head, sp, sp + 1, sp2, eol, host, &port)) {
		goto bad;
	}
	c->id = next_id;
	next_id = next_id == UINT32_MAX ? AW_NET : next_id + 1;
	c->stage = ASKED;
	c->credit = AW_NET_WINDOW;
	aw_store(b, (uint64_t)port, 2);
	aw_store(b + 2, strlen(host), 4);
	memcpy(b + 6, host, strlen(host));
	out_frame(c->id, AW_NET_OPEN, b, 6 + strlen(host));
	return;
bad:
	say(c, "400 Bad Request", "the sandbox proxy takes CONNECT and http:// only");
}

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
	if (c->stage == OPEN && c->in_end && !c->in_n && c->at != -2) {
		out_frame(c->id, AW_NET_END, NULL, 0);
		c->at = -2; /* told once */
	}
}

void
proxy_frame(const struct aw_frame *f)
{
	struct conn *c = NULL;
	struct aw_rd r = f->body;
	size_t n = r.n;

	for (size_t i = 0; i < AG_CONNS; i++)
		if (conns[i].stage >= ASKED && conns[i].id == f->id)
			c = &conns[i];
	if (!c)
		return;
	if (f->type == AW_NET_OPENED) {
		bool ok = aw_u8(&r);
		const char *why = aw_text(&r, &n);
		char text[256];

		if (r.bad || c->stage != ASKED)
			broken();
		snprintf(text, sizeof text, "%.*s", (int)(n < 250 ? n : 250), why);
		if (ok) {
			c->stage = OPEN;
			if (c->tunnel) {
				static const char yes[] =
				    "HTTP/1.1 200 Connection established\r\n\r\n";

				memcpy(c->out, yes, sizeof yes - 1);
				c->out_n = sizeof yes - 1;
			}
			send_up(c);
		} else {
			c->stage = HEAD; /* the server forgot it already */
			say(c, "403 Forbidden", text);
		}
	} else if (f->type == AW_NET_BYTES) {
		if (c->out_n + n > AW_NET_WINDOW + 512)
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
proxy_grant(uint32_t id, uint32_t n)
{
	for (size_t i = 0; i < AG_CONNS; i++)
		if (conns[i].stage >= ASKED && conns[i].id == id) {
			if (n > UINT32_MAX - conns[i].credit)
				broken();
			conns[i].credit += n;
			send_up(&conns[i]);
			return true;
		}
	return false;
}

static void
accept_one(void)
{
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (size_t i = 0; i < AG_CONNS; i++) {
		struct conn *c = &conns[i];

		if (c->stage)
			continue;
		*c = (struct conn){.stage = HEAD,
		    .fd = fd,
		    .at = -1,
		    .in = malloc(IN_MAX),
		    .out = malloc(AW_NET_WINDOW + 512)};
		if (!c->in || !c->out)
			drop(c, false);
		return;
	}
	close(fd);
}

static int places[AG_CONNS];

void
proxy_watch(void)
{
	bool room = false;

	for (size_t i = 0; i < AG_CONNS; i++) {
		struct conn *c = &conns[i];
		short ev = 0;

		places[i] = -1;
		if (!c->stage) {
			room = true;
			continue;
		}
		if (!c->in_end && c->in_n < IN_MAX - 1024 && out_room())
			ev |= POLLIN;
		if (c->out_n)
			ev |= POLLOUT;
		/* without POLLIN a hang-up still wakes us: a dead peer is dropped */
		places[i] = watch(c->fd, ev);
	}
	lat = lfd >= 0 && room ? watch(lfd, POLLIN) : -1;
}

static void
conn_ready(struct conn *c, short ev)
{
	ssize_t k;

	if (ev & POLLIN && c->in_n < IN_MAX) {
		k = recv(c->fd, c->in + c->in_n, IN_MAX - c->in_n, 0);
		if (k > 0)
			c->in_n += (size_t)k;
		else if (k == 0 || (errno != EAGAIN && errno != EINTR))
			c->in_end = true;
		if (c->stage == HEAD && !c->out_end)
			head_ready(c);
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
			drop(c, true);
			return;
		}
	}
	send_up(c);
	if (ev & (POLLERR | POLLHUP) && !(ev & POLLIN)) {
		drop(c, true);
		return;
	}
	if (c->out_end && !c->out_n) {
		if (c->in_end && !c->in_n)
			drop(c, true);
		else
			shutdown(c->fd, SHUT_WR);
	}
}

void
proxy_ready(void)
{
	for (size_t i = 0; i < AG_CONNS; i++)
		if (conns[i].stage &&
		    (fired(places[i]) || conns[i].out_n || conns[i].out_end || conns[i].in_n))
			conn_ready(&conns[i], fired(places[i]));
	if (fired(lat))
		accept_one();
}
