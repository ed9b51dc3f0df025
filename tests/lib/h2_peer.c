#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <azlon/buf.h>
#include <azlon/limits.h>
#include "h2_peer.h"
#include "h2_tls.h"
#include "listener.h"

#define REQUESTS_MAX 256
#define PREFACE 24
#define FRAME_HEAD 9

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7 };
enum { WINDOW_UPDATE = 8, CONTINUATION = 9 };
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };

struct request {
	struct az_buf head, body;
};

struct conn {
	struct h2_peer *p;
	int fd, stop_fd;
	SSL *ssl;
	nghttp2_hd_inflater *inflater;
	uint32_t stream;
	/* Waits until the peer listens again: an answer arrives in one piece, and what a
	   client makes of it does not depend on timing. */
	struct az_buf out;
};

struct h2_peer {
	const struct h2_act *const *scripts;
	size_t n_scripts;
	const char *h1; /* answer of a server without h2 */
	SSL_CTX *ctx;
	char ca[64];
	struct listener *listener;
	pthread_mutex_t mu;
	struct request req[REQUESTS_MAX];
	int n_req;
};

/* ---- bytes ---- */

static bool
flush(struct conn *c)
{
	for (size_t at = 0; at < c->out.n;) {
		const char *q = c->out.p + at;
		ssize_t r = c->ssl ? SSL_write(c->ssl, q, (int)(c->out.n - at))
				   : send(c->fd, q, c->out.n - at, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		at += (size_t)r;
	}
	az_buf_reset(&c->out);
	return true;
}

/* Up to n bytes; 0 at the end, or when the peer is stopped. */
static size_t
some(struct conn *c, void *to, size_t n)
{
	struct pollfd f[2] = {
	    {.fd = c->fd, .events = POLLIN}, {.fd = c->stop_fd, .events = POLLIN}};
	ssize_t r;

	if (!flush(c))
		return 0;
	if (!c->ssl || !SSL_pending(c->ssl)) {
		while (poll(f, 2, -1) < 0 && errno == EINTR)
			;
		if (f[1].revents)
			return 0;
	}
	r = c->ssl ? SSL_read(c->ssl, to, (int)n) : recv(c->fd, to, n, 0);
	return r > 0 ? (size_t)r : 0;
}

static bool
take(struct conn *c, void *to, size_t n)
{
	for (size_t at = 0, r; at < n; at += r)
		if (!(r = some(c, (char *)to + at, n - at)))
			return false;
	return true;
}

static bool
put(struct conn *c, const void *p, size_t n)
{
	az_buf_add(&c->out, p, n);
	return c->out.fail == AZ_OK;
}

static void
add32(struct az_buf *b, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		az_buf_addch(b, (char)(unsigned char)(v >> shift));
}

static bool
frame(struct conn *c, int type, int flags, uint32_t stream, struct az_str body)
{
	struct az_buf b;
	bool ok;

	az_buf_init(&b, AZ_MIB(20));
	add32(&b, (uint32_t)body.n << 8 | (uint32_t)type);
	az_buf_addch(&b, (char)(unsigned char)flags);
	add32(&b, stream);
	az_buf_adds(&b, body);
	ok = put(c, b.p, b.n);
	az_buf_release(&b);
	return ok;
}

static bool
number(struct conn *c, int type, uint32_t stream, uint32_t v)
{
	unsigned char p[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
	    (unsigned char)(v >> 8), (unsigned char)v};

	return frame(c, type, 0, stream, az_str_n(p, 4));
}

/* ---- a request ---- */

static bool
inflate_into(struct conn *c, struct az_buf *head, struct az_str block, bool last)
{
	const uint8_t *in = (const uint8_t *)block.p;
	size_t n = block.n;

	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t r = nghttp2_hd_inflate_hd2(c->inflater, &nv, &flags, in, n, last);

		if (r < 0)
			return false;
		in += r;
		n -= (size_t)r;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			az_buf_add(head, nv.name, nv.namelen);
			az_buf_addc(head, ": ");
			az_buf_add(head, nv.value, nv.valuelen);
			az_buf_addch(head, '\n');
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			return nghttp2_hd_inflate_end_headers(c->inflater) == 0;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && n == 0)
			return true;
	}
}

static struct az_str
unpad(struct az_str s, int flags, bool headers)
{
	size_t skip = 0, pad = 0;

	if (flags & PADDED) {
		pad = (unsigned char)s.p[0];
		skip = 1;
	}
	if (headers && (flags & PRIORITY))
		skip += 5;
	return az_str_sub(s, skip, s.n - pad);
}

/* Frames up to the end of a request; false when there is no more. */
static bool
read_request(struct conn *c, struct request *r)
{
	unsigned char h[FRAME_HEAD];
	struct az_buf in;
	bool ok = false;

	az_buf_init(&r->head, AZ_KIB(256));
	az_buf_init(&r->body, AZ_MIB(8));
	az_buf_init(&in, AZ_MIB(1));
	while (take(c, h, sizeof h)) {
		size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
		int type = h[3], flags = h[4];
		uint32_t stream =
		    (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
		static const char zeros[16384];

		az_buf_reset(&in);
		az_buf_add(&in, zeros, n < sizeof zeros ? n : sizeof zeros);
		if (n > sizeof zeros || !take(c, in.p, n))
			break;
		if (type == SETTINGS && !(flags & ACK))
			frame(c, SETTINGS, ACK, 0, AZ_S(""));
		if (type == PING && !(flags & ACK))
			frame(c, PING, ACK, 0, az_buf_str(&in));
		if (type == HEADERS || type == CONTINUATION) {
			c->stream = stream;
			if (!inflate_into(c, &r->head,
				unpad(az_buf_str(&in), type == HEADERS ? flags : 0, true),
				flags & END_HEADERS))
				break;
		}
		if (type == DATA) {
			az_buf_adds(&r->body, unpad(az_buf_str(&in), flags, false));
			if (n) {
				number(c, WINDOW_UPDATE, 0, (uint32_t)n);
				number(c, WINDOW_UPDATE, stream, (uint32_t)n);
			}
		}
		if ((type == DATA || type == HEADERS) && (flags & END_STREAM)) {
			ok = true;
			break;
		}
	}
	az_buf_release(&in);
	return ok;
}

static const struct h2_act *
choose(struct h2_peer *p, struct request *r)
{
	const struct h2_act *s;

	pthread_mutex_lock(&p->mu);
	if (p->n_req == REQUESTS_MAX)
		abort();
	p->req[p->n_req] = *r;
	s = p->scripts[(size_t)p->n_req < p->n_scripts ? (size_t)p->n_req : p->n_scripts - 1];
	p->n_req++;
	pthread_mutex_unlock(&p->mu);
	return s;
}

/* ---- answers ---- */

static void
add_literal(struct az_buf *b, struct az_str s)
{
	size_t n = s.n;

	/* length with a prefix of 7 bits, no Huffman code */
	if (n < 127) {
		az_buf_addch(b, (char)n);
	} else {
		az_buf_addch(b, 127);
		for (n -= 127; n >= 128; n /= 128)
			az_buf_addch(b, (char)(unsigned char)(128 + n % 128));
		az_buf_addch(b, (char)n);
	}
	az_buf_adds(b, s);
}

static bool
put_headers(struct conn *c, struct az_str lines, bool two, int flags)
{
	struct az_buf b;
	struct az_str line;
	bool ok;

	az_buf_init(&b, AZ_MIB(1));
	while (az_str_line(&lines, &line)) {
		ptrdiff_t sp = az_str_chr(line, ' ');

		if (sp < 0)
			continue;
		az_buf_addch(&b, 0); /* a literal, not indexed, with a new name */
		add_literal(&b, az_str_sub(line, 0, (size_t)sp));
		add_literal(&b, az_str_sub(line, (size_t)sp + 1, line.n));
	}
	if (two)
		ok = frame(c, HEADERS, flags, c->stream, az_str_sub(az_buf_str(&b), 0, b.n / 2)) &&
		     frame(c, CONTINUATION, END_HEADERS, c->stream,
			 az_str_sub(az_buf_str(&b), b.n / 2, b.n));
	else
		ok = frame(c, HEADERS, flags | END_HEADERS, c->stream, az_buf_str(&b));
	az_buf_release(&b);
	return ok;
}

static bool
put_msg(struct conn *c, struct az_str s, size_t part)
{
	struct az_buf b;
	bool ok = true;

	az_buf_init(&b, AZ_MIB(64));
	az_buf_addch(&b, 0);
	add32(&b, (uint32_t)s.n);
	az_buf_adds(&b, s);
	for (size_t at = 0; ok && at < b.n; at += part)
		ok = frame(c, DATA, 0, c->stream, az_str_sub(az_buf_str(&b), at, at + part));
	az_buf_release(&b);
	return ok;
}

static void
until_gone(struct conn *c)
{
	char drop[4096];

	while (some(c, drop, sizeof drop))
		;
}

/* False: the connection is over. */
static bool
act(struct conn *c, const struct h2_act *a)
{
	struct az_str s = a->n && a->text ? az_str_n(a->text, a->n) : az_str_c(a->text);
	unsigned char last[8] = {(unsigned char)(c->stream >> 24), (unsigned char)(c->stream >> 16),
	    (unsigned char)(c->stream >> 8), (unsigned char)c->stream};

	switch (a->op) {
	case H2_HEAD:
		return put_headers(c, s, false, 0);
	case H2_HEAD2:
		return put_headers(c, s, true, 0);
	case H2_TAIL:
		return put_headers(c, s, false, END_STREAM);
	case H2_MSG:
		return put_msg(c, s, 16384);
	case H2_MSG_BY1:
		return put_msg(c, s, 1);
	case H2_DATA:
		return frame(c, DATA, 0, c->stream, s);
	case H2_END:
		return frame(c, DATA, END_STREAM, c->stream, AZ_S(""));
	case H2_RST:
		return number(c, RST_STREAM, c->stream, (uint32_t)a->n);
	case H2_GOAWAY:
		return frame(c, GOAWAY, 0, 0, az_str_n(last, sizeof last));
	case H2_RAW:
		return put(c, s.p, s.n);
	case H2_STALL:
		until_gone(c);
		return false;
	case H2_CLOSE:
		return false;
	case H2_DONE:
		break;
	}
	return true;
}

static void
serve(struct conn *c)
{
	char preface[PREFACE];
	bool on = take(c, preface, PREFACE) && frame(c, SETTINGS, 0, 0, AZ_S(""));

	while (on) {
		struct request r;
		const struct h2_act *a;

		if (!read_request(c, &r)) {
			az_buf_release(&r.head);
			az_buf_release(&r.body);
			return;
		}
		for (a = choose(c->p, &r); on && a->op != H2_DONE; a++)
			on = act(c, a);
	}
}

static void
talk(void *arg, int fd, int stop_fd)
{
	struct conn on = {.p = arg, .fd = fd, .stop_fd = stop_fd}, *c = &on;
	char first[4096];

	az_buf_init(&c->out, AZ_MIB(64));
	if (nghttp2_hd_inflate_new(&c->inflater) != 0)
		abort();
	if (c->p->ctx) {
		c->ssl = SSL_new(c->p->ctx);
		SSL_set_fd(c->ssl, c->fd);
	}
	if (c->ssl && SSL_accept(c->ssl) != 1)
		; /* the client has its reasons */
	else if (c->p->h1 && some(c, first, sizeof first))
		put(c, c->p->h1, strlen(c->p->h1));
	else if (!c->p->h1)
		serve(c);
	flush(c);
	/* close at once would reset the connection, and what was sent might be lost */
	if (c->ssl)
		SSL_shutdown(c->ssl);
	shutdown(c->fd, SHUT_WR);
	until_gone(c);
	SSL_free(c->ssl);
	nghttp2_hd_inflate_del(c->inflater);
	az_buf_release(&c->out);
}

/* ---- life ---- */

static struct h2_peer *
start(struct h2_peer *p)
{
	pthread_mutex_init(&p->mu, NULL);
	p->listener = listener_start(talk, p);
	return p;
}

struct h2_peer *
h2_peer_start(const struct h2_act *const *scripts, size_t n, const char **ca)
{
	struct h2_peer *p = calloc(1, sizeof *p);

	if (!p)
		abort();
	p->scripts = scripts;
	p->n_scripts = n;
	if (ca) {
		p->ctx = h2_tls(p->ca, sizeof p->ca, true);
		*ca = p->ca;
	}
	return start(p);
}

struct h2_peer *
h2_peer_start_h1(const char *text, const char **ca)
{
	struct h2_peer *p = calloc(1, sizeof *p);

	if (!p)
		abort();
	p->h1 = text;
	p->ctx = h2_tls(p->ca, sizeof p->ca, false);
	*ca = p->ca;
	return start(p);
}

int
h2_peer_port(const struct h2_peer *p)
{
	return listener_port(p->listener);
}

int
h2_peer_connections(struct h2_peer *p)
{
	return listener_connections(p->listener);
}

int
h2_peer_requests(struct h2_peer *p)
{
	int n;

	pthread_mutex_lock(&p->mu);
	n = p->n_req;
	pthread_mutex_unlock(&p->mu);
	return n;
}

const char *
h2_peer_head(struct h2_peer *p, int i)
{
	const char *s;

	pthread_mutex_lock(&p->mu);
	s = i < p->n_req ? p->req[i].head.p : NULL;
	pthread_mutex_unlock(&p->mu);
	return s;
}

const char *
h2_peer_body(struct h2_peer *p, int i, size_t *n)
{
	const char *s = NULL;

	pthread_mutex_lock(&p->mu);
	if (i < p->n_req) {
		s = p->req[i].body.p;
		*n = p->req[i].body.n;
	}
	pthread_mutex_unlock(&p->mu);
	return s;
}

void
h2_peer_stop(struct h2_peer *p)
{
	listener_stop(p->listener);
	for (int i = 0; i < p->n_req; i++) {
		az_buf_release(&p->req[i].head);
		az_buf_release(&p->req[i].body);
	}
	if (p->ctx)
		unlink(p->ca);
	SSL_CTX_free(p->ctx);
	pthread_mutex_destroy(&p->mu);
	free(p);
}
