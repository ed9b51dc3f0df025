/*
 * The HTTP proxy on the box's own loopback: CONNECT host:port and absolute-form
 * requests. It decides nothing: each wish goes to the server as a frame, which resolves
 * the name, vets the address and connects; here bytes only change hands (conn.c).
 */
#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX (8u * 1024u)

static int lfd = -1, lat = -1;
static uint32_t next_id = AW_NET;

void
proxy_listen(uint32_t id)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(AW_PROXY_PORT)};
	int one = 1;

	if (lfd < 0) {
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
	int n = snprintf((char *)c->out + c->out_n, CONN_SPARE,
	    "HTTP/1.1 %s\r\n"
	    "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n\r\n%s\n",
	    status, strlen(why) + 1, why);

	c->out_n += n > 0 && n < (int)CONN_SPARE ? (size_t)n : 0;
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
	if (!authority(url, (size_t)(path - url), 80, host, port) || !(b = malloc(CONN_IN)))
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
	if (n + rest > CONN_IN) {
		free(b);
		return false;
	}
	memcpy(b + n, src + head, rest);
	free(c->in);
	c->in = (unsigned char *)b;
	c->in_n = n + rest;
	return true;
}

void
proxy_head(struct conn *c)
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

void
proxy_opened(struct conn *c, bool ok, const char *why)
{
	static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	if (!ok) {
		char status[100];

		/* many programs show the status line only: so it says why as well */
		snprintf(status, sizeof status, "403 %s", why);
		c->stage = HEAD; /* the server forgot it already */
		say(c, status, why);
		return;
	}
	c->stage = OPEN;
	if (c->tunnel) {
		memcpy(c->out, yes, sizeof yes - 1);
		c->out_n = sizeof yes - 1;
	}
}

void
proxy_watch(bool room)
{
	lat = lfd >= 0 && room ? watch(lfd, POLLIN) : -1;
}

void
proxy_ready(void)
{
	int fd;

	if (!fired(lat))
		return;
	fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		(void)conn_new(fd, HEAD, 0, AG_CONNS);
}
