#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include "http_peer.h"
#include "listener.h"

#define REQUESTS_MAX 256

struct request {
	char *text;
	size_t head_n, body_n;
};

struct http_peer {
	const struct http_peer_step *steps;
	size_t n_steps;
	bool unread; /* a body is left where it is; the steps may be gone when it is asked */
	const struct http_peer_step *(*pick)(void *, const char *, int);
	void *arg;
	struct listener *listener;
	pthread_mutex_t mu;
	struct request req[REQUESTS_MAX];
	int n_req;
};

/* A growing text and the socket it comes from. */
struct in {
	int fd, stop;
	char *p;
	size_t n;
};

/* More bytes; false at the end, or when the peer is stopped. */
static bool
more(struct in *in)
{
	struct pollfd f[2] = {{.fd = in->fd, .events = POLLIN}, {.fd = in->stop, .events = POLLIN}};
	char *q = realloc(in->p, in->n + 65537);
	ssize_t r;

	if (!q)
		return false;
	in->p = q;
	while (poll(f, 2, -1) < 0 && errno == EINTR)
		;
	if (f[1].revents || (r = recv(in->fd, in->p + in->n, 65536, 0)) <= 0)
		return false;
	in->n += (size_t)r;
	in->p[in->n] = '\0';
	return true;
}

static void
drop(struct in *in, size_t n)
{
	memmove(in->p, in->p + n, in->n - n + 1);
	in->n -= n;
}

static bool
take(struct in *in, size_t n, char *to)
{
	while (in->n < n)
		if (!more(in))
			return false;
	memcpy(to, in->p, n);
	drop(in, n);
	return true;
}

static bool
body_chunked(struct in *in, struct request *r)
{
	for (;;) {
		char *eol, *q;
		size_t n;

		while (!in->p || !(eol = strstr(in->p, "\r\n")))
			if (!more(in))
				return false;
		n = (size_t)strtoul(in->p, NULL, 16);
		drop(in, (size_t)(eol - in->p) + 2);
		q = realloc(r->text, r->head_n + r->body_n + n + 3);
		if (!q)
			return false;
		r->text = q;
		if (!take(in, n + 2, r->text + r->head_n + r->body_n))
			return false;
		r->body_n += n;
		r->text[r->head_n + r->body_n] = '\0';
		if (n == 0)
			return true;
	}
}

static bool
read_request(struct in *in, struct request *r, bool unread)
{
	char *end, *h;
	size_t n = 0;

	memset(r, 0, sizeof *r);
	while (!in->p || !(end = strstr(in->p, "\r\n\r\n")))
		if (!more(in))
			return false;
	r->head_n = (size_t)(end - in->p) + 4;
	if (!(r->text = calloc(1, r->head_n + 1)))
		return false;
	memcpy(r->text, in->p, r->head_n);
	drop(in, r->head_n);
	if (unread)
		return true;
	if (strcasestr(r->text, "\r\nTransfer-Encoding: chunked"))
		return body_chunked(in, r);
	if ((h = strcasestr(r->text, "\r\nContent-Length:")))
		n = (size_t)strtoul(h + 17, NULL, 10);
	if (!(h = realloc(r->text, r->head_n + n + 1)))
		return false;
	r->text = h;
	if (!take(in, n, r->text + r->head_n))
		return false;
	r->body_n = n;
	r->text[r->head_n + n] = '\0';
	return true;
}

static bool
send_all(int fd, const char *p, size_t n, size_t drip)
{
	while (n) {
		size_t part = drip && drip < n ? drip : n;
		ssize_t r = send(fd, p, part, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static const struct http_peer_step *
choose(struct http_peer *p, struct request *r)
{
	const struct http_peer_step *s;
	int i;

	pthread_mutex_lock(&p->mu);
	i = p->n_req < REQUESTS_MAX ? p->n_req++ : REQUESTS_MAX - 1;
	free(p->req[i].text);
	p->req[i] = *r;
	if (p->pick)
		s = p->pick(p->arg, r->text, i);
	else
		s = &p->steps[(size_t)i < p->n_steps ? (size_t)i : p->n_steps - 1];
	pthread_mutex_unlock(&p->mu);
	return s;
}

static void
serve(void *arg, int fd, int stop_fd)
{
	static const struct linger rst = {.l_onoff = 1, .l_linger = 0};
	struct http_peer *p = arg;
	struct in in = {.fd = fd, .stop = stop_fd};
	const struct http_peer_step *s;
	struct request r;
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	for (;;) {
		if (!read_request(&in, &r, p->unread)) {
			free(r.text);
			break;
		}
		s = choose(p, &r);
		if (!send_all(fd, s->bytes, s->n ? s->n : strlen(s->bytes), s->drip))
			break;
		if (s->then == HTTP_THEN_KEEP)
			continue;
		if (s->then == HTTP_THEN_STALL)
			while (more(&in))
				in.n = 0;
		if (s->then == HTTP_THEN_RESET)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof rst);
		break;
	}
	free(in.p);
}

struct http_peer *
http_peer_start(const struct http_peer_step *steps, size_t n,
    const struct http_peer_step *(*pick)(void *, const char *, int), void *arg)
{
	struct http_peer *p = calloc(1, sizeof *p);

	if (!p)
		abort();
	p->steps = steps;
	p->n_steps = n;
	p->unread = n && steps[0].unread;
	p->pick = pick;
	p->arg = arg;
	pthread_mutex_init(&p->mu, NULL);
	p->listener = listener_start(serve, p);
	return p;
}

int
http_peer_port(const struct http_peer *p)
{
	return listener_port(p->listener);
}

void
http_peer_url(const struct http_peer *p, const char *path, char *out, size_t n)
{
	snprintf(out, n, "http://127.0.0.1:%d%s", http_peer_port(p), path);
}

int
http_peer_connections(struct http_peer *p)
{
	return listener_connections(p->listener);
}

int
http_peer_requests(struct http_peer *p)
{
	pthread_mutex_lock(&p->mu);
	int n = p->n_req;
	pthread_mutex_unlock(&p->mu);
	return n;
}

const char *
http_peer_request(struct http_peer *p, int i, size_t *body_n)
{
	const char *t = NULL;

	pthread_mutex_lock(&p->mu);
	if (i < p->n_req) {
		t = p->req[i].text;
		if (body_n)
			*body_n = p->req[i].body_n;
	}
	pthread_mutex_unlock(&p->mu);
	return t;
}

void
http_peer_stop(struct http_peer *p)
{
	listener_stop(p->listener);
	for (int i = 0; i < p->n_req; i++)
		free(p->req[i].text);
	pthread_mutex_destroy(&p->mu);
	free(p);
}
