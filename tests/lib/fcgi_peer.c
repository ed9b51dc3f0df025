#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "fcgi_peer.h"

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, STDERR = 7 };

int
fcgi_peer_listen(char dir[64], char path[108])
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	snprintf(dir, 64, "/tmp/azfcgi-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, 108, "%s/s", dir);
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 256) < 0)
		return -1;
	return fd;
}

void
fcgi_peer_unlisten(int fd, const char *dir, const char *path)
{
	close(fd);
	unlink(path);
	rmdir(dir);
}

int
fcgi_peer_connect(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
put_all(int fd, const void *p, size_t n)
{
	const char *c = p;

	while (n) {
		ssize_t r = send(fd, c, n, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		c += r;
		n -= (size_t)r;
	}
	return true;
}

static bool
record(int fd, int type, const void *p, size_t n)
{
	/* filled up to a multiple of eight, as nginx does */
	static const uint8_t padding[8];
	uint8_t pad = (uint8_t)(-n & 7);
	uint8_t h[8] = {1, (uint8_t)type, 0, 1, (uint8_t)(n >> 8), (uint8_t)n, pad, 0};

	return put_all(fd, h, 8) && (n == 0 || put_all(fd, p, n)) && put_all(fd, padding, pad);
}

bool
fcgi_peer_stdin(int fd, const void *p, size_t n)
{
	const char *c = p;

	if (!n)
		return record(fd, STDIN, NULL, 0);
	while (n) {
		size_t part = n > 32768 ? 32768 : n;
		if (!record(fd, STDIN, c, part))
			return false;
		c += part;
		n -= part;
	}
	return true;
}

struct pbuf {
	uint8_t p[65000];
	size_t n;
};

static void
param(struct pbuf *b, const char *name, size_t name_n, const char *value)
{
	size_t len[2] = {name_n, strlen(value)};

	if (b->n + len[0] + len[1] + 8 > sizeof b->p)
		return;
	for (int i = 0; i < 2; i++) {
		if (len[i] < 128) {
			b->p[b->n++] = (uint8_t)len[i];
			continue;
		}
		b->p[b->n++] = (uint8_t)(0x80 | (len[i] >> 24));
		b->p[b->n++] = (uint8_t)(len[i] >> 16);
		b->p[b->n++] = (uint8_t)(len[i] >> 8);
		b->p[b->n++] = (uint8_t)len[i];
	}
	memcpy(b->p + b->n, name, len[0]);
	memcpy(b->p + b->n + len[0], value, len[1]);
	b->n += len[0] + len[1];
}

#define PARAM(b, name, value) param((b), (name), strlen(name), (value))

bool
fcgi_peer_send(int fd, const struct fcgi_req *q, bool end_stdin)
{
	static const uint8_t begin[8] = {0, 1, 0, 0, 0, 0, 0, 0};
	struct pbuf *b = calloc(1, sizeof *b);
	char num[32];
	bool ok;

	if (!b)
		return false;
	PARAM(b, "REQUEST_METHOD", q->method ? q->method : "GET");
	PARAM(b, "DOCUMENT_URI", q->path);
	PARAM(b, "QUERY_STRING", q->query ? q->query : "");
	if ((q->body || q->content_length > 0) && q->content_length >= 0) {
		snprintf(num, sizeof num, "%ld",
		    q->content_length ? q->content_length : (long)q->body_n);
		PARAM(b, "CONTENT_LENGTH", num);
	}
	for (size_t i = 0; q->params && q->params[i]; i++) {
		const char *eq = strchr(q->params[i], '=');
		param(b, q->params[i], (size_t)(eq - q->params[i]), eq + 1);
	}
	ok = record(fd, BEGIN, begin, 8) && record(fd, PARAMS, b->p, b->n) &&
	     record(fd, PARAMS, NULL, 0) &&
	     (!q->body_n || fcgi_peer_stdin(fd, q->body, q->body_n)) &&
	     (!end_stdin || record(fd, STDIN, NULL, 0));
	free(b);
	return ok;
}

/* 1 = all, 0 = end of file first, -1 = no byte in 20 s */
static int
get_all(int fd, void *p, size_t n)
{
	char *c = p;

	while (n) {
		struct pollfd f = {.fd = fd, .events = POLLIN};
		if (poll(&f, 1, 20000) <= 0)
			return -1;
		ssize_t r = recv(fd, c, n, 0);
		if (r <= 0)
			return 0;
		c += r;
		n -= (size_t)r;
	}
	return 1;
}

static void
split(struct fcgi_resp *r)
{
	char *end, *st;

	if (r->head || !r->body || !(end = strstr(r->body, "\r\n\r\n")))
		return;
	r->head = strndup(r->body, (size_t)(end - r->body) + 2);
	end += 4;
	r->body_n -= (size_t)(end - r->body);
	memmove(r->body, end, r->body_n + 1);
	st = r->head ? strcasestr(r->head, "Status: ") : NULL;
	r->status = st ? atoi(st + 8) : 200;
}

/* One record; false at the end of the answer. */
static bool
step(int fd, struct fcgi_resp *r)
{
	uint8_t h[8];
	char *data, *more;
	size_t n, pad;

	if (get_all(fd, h, 8) != 1)
		return false;
	if (h[0] != 1) {
		r->junk = true;
		return false;
	}
	n = (size_t)h[4] << 8 | h[5];
	pad = h[6];
	data = malloc(n + pad + 1);
	if (!data || get_all(fd, data, n + pad) != 1) {
		free(data);
		return false;
	}
	if (h[1] == STDERR && n)
		r->on_stderr = true;
	if (h[1] == STDOUT && n && (more = realloc(r->body, r->body_n + n + 1))) {
		memcpy(more + r->body_n, data, n);
		r->body = more;
		r->body_n += n;
		r->body[r->body_n] = '\0';
		split(r);
	}
	free(data);
	if (h[1] == END)
		r->ended = true;
	return h[1] != END;
}

bool
fcgi_peer_read(int fd, struct fcgi_resp *r)
{
	while (step(fd, r))
		;
	return r->ended;
}

static bool
has(const struct fcgi_resp *r, const char *needle)
{
	return r->head && r->body && memmem(r->body, r->body_n, needle, strlen(needle));
}

bool
fcgi_peer_read_until(int fd, struct fcgi_resp *r, const char *needle)
{
	while (!has(r, needle))
		if (!step(fd, r))
			return has(r, needle);
	return true;
}

bool
fcgi_peer_call(const char *path, const struct fcgi_req *q, struct fcgi_resp *r)
{
	int fd = fcgi_peer_connect(path);

	memset(r, 0, sizeof *r);
	if (fd < 0)
		return false;
	(void)!fcgi_peer_send(fd, q, true);
	fcgi_peer_read(fd, r);
	close(fd);
	return true;
}

void
fcgi_peer_release(struct fcgi_resp *r)
{
	free(r->head);
	free(r->body);
	memset(r, 0, sizeof *r);
}

const char *
fcgi_peer_header(const struct fcgi_resp *r, const char *name, char *out, size_t n)
{
	size_t len = strlen(name);
	const char *p = r->head;

	while (p && *p) {
		const char *eol = strstr(p, "\r\n");
		if (!eol)
			break;
		if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
			p += len + 1;
			while (*p == ' ')
				p++;
			snprintf(out, n, "%.*s", (int)(eol - p), p);
			return out;
		}
		p = eol + 2;
	}
	return NULL;
}
