/*
 * Load generator for loopback: keep-alive HTTP/1.1 connections driven by epoll.
 *
 *   load PORT open RATE SECONDS METHOD PATH [BODYFILE]     latency from the due time
 *   load PORT closed CONNECTIONS SECONDS METHOD PATH [BODYFILE]
 *
 * The requests carry $AZLON_TOKEN where it is set. Prints one JSON object: n, errors, rate, p50_ms,
 * p99_ms, max_ms, seconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONN = 512, BUF = 65536 };

struct conn {
	int fd;
	bool busy, last; /* last: the server said it closes after this answer */
	size_t sent, got, body_at;
	long long left; /* body bytes still to come, -1 unknown yet */
	bool chunked;
	double due;
	char buf[BUF];
};

static struct conn conns[MAX_CONN];
static int n_conns, ep;
static char *request;
static size_t request_n;
static double *lat;
static size_t n_lat, cap_lat, errors;
static struct sockaddr_in addr;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
dial(struct conn *c)
{
	int one = 1;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		perror("connect");
		exit(1);
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}

static void
send_request(struct conn *c, double due)
{
	ssize_t k;

	c->busy = true;
	c->last = false;
	c->got = 0;
	c->left = -1;
	c->chunked = false;
	c->due = due;
	for (c->sent = 0; c->sent < request_n; c->sent += (size_t)k) {
		k = write(c->fd, request + c->sent, request_n - c->sent);
		if (k < 0 && errno == EAGAIN) {
			k = 0;
			continue;
		}
		if (k < 0) { /* the server closed an idle connection */
			close(c->fd);
			dial(c);
			k = 0;
			c->sent = 0;
		}
	}
}

static void
finish(struct conn *c, bool ok)
{
	if (!ok)
		errors++;
	if (n_lat < cap_lat)
		lat[n_lat++] = (now() - c->due) * 1000;
	c->busy = false;
	if (c->last) {
		close(c->fd);
		dial(c);
	}
}

static void
readable(struct conn *c)
{
	ssize_t k = read(c->fd, c->buf + c->got, BUF - 1 - c->got);
	char *end, *h;

	if (k < 0 && errno == EAGAIN)
		return;
	if (k <= 0) {
		if (c->busy)
			finish(c, false);
		close(c->fd);
		dial(c);
		return;
	}
	if (c->left >= 0 && !c->chunked) {
		c->left -= k;
		if (c->left <= 0)
			finish(c, true);
		return;
	}
	c->got += (size_t)k;
	c->buf[c->got] = '\0';
	end = strstr(c->buf, "\r\n\r\n");
	if (!end)
		return;
	bool ok = c->buf[9] == '2' || c->buf[9] == '3';
	c->last = (h = strcasestr(c->buf, "\r\nConnection: close")) && h < end;
	if ((h = strcasestr(c->buf, "\r\nContent-Length:")) && h < end) {
		c->left = atoll(h + 17) - (long long)(c->buf + c->got - end - 4);
		if (c->left <= 0)
			finish(c, ok);
		else if (!ok)
			errors++;
	} else if (strcasestr(c->buf, "\r\nTransfer-Encoding: chunked")) {
		if (c->got >= 5 && memcmp(c->buf + c->got - 5, "0\r\n\r\n", 5) == 0)
			finish(c, ok);
		else if (c->got == BUF - 1) {
			/* keep only the tail: enough to see the end */
			memmove(end + 4, c->buf + c->got - 8, 8);
			c->got = (size_t)(end + 12 - c->buf);
		}
	} else {
		finish(c, ok); /* 204, 304 */
	}
}

static int
cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	struct epoll_event ev[256];
	bool open_loop;
	double param, seconds, start, next, t;
	const char *token = getenv("AZLON_TOKEN");
	char *body = NULL;
	long body_n = 0;
	size_t cap = 65536;

	if (argc < 7)
		return 2;
	addr.sin_family = AF_INET;
	addr.sin_port = htons((uint16_t)atoi(argv[1]));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	open_loop = strcmp(argv[2], "open") == 0;
	param = atof(argv[3]);
	seconds = atof(argv[4]);
	if (argc > 7) {
		FILE *f = fopen(argv[7], "rb");

		if (!f)
			return 2;
		fseek(f, 0, SEEK_END);
		body_n = ftell(f);
		rewind(f);
		body = malloc((size_t)body_n + 1);
		if (!body || fread(body, 1, (size_t)body_n, f) != (size_t)body_n)
			return 2;
		fclose(f);
	}
	request = malloc(cap + (size_t)body_n);
	request_n = (size_t)snprintf(request, cap,
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nX-User-ID: bench\r\n"
	    "%s%s%s%sContent-Length: %ld\r\n\r\n",
	    argv[5], argv[6], token ? "Authorization: Bearer " : "", token ? token : "",
	    token ? "\r\n" : "", body ? "Content-Type: application/json\r\n" : "", body_n);
	if (body)
		memcpy(request + request_n, body, (size_t)body_n);
	request_n += (size_t)body_n;
	cap_lat = 4000000;
	lat = malloc(cap_lat * sizeof *lat);
	ep = epoll_create1(EPOLL_CLOEXEC);
	n_conns = open_loop ? 128 : (int)param;
	if (n_conns > MAX_CONN)
		n_conns = MAX_CONN;
	for (int i = 0; i < n_conns; i++)
		dial(&conns[i]);
	start = next = now();
	if (!open_loop)
		for (int i = 0; i < n_conns; i++)
			send_request(&conns[i], start);
	for (;;) {
		int n, wait = 1, busy = 0;

		t = now();
		if (open_loop && t < start + seconds) {
			for (int i = 0; next <= t && i < n_conns; i++)
				if (!conns[i].busy) {
					send_request(&conns[i], next);
					next += 1 / param;
				}
		}
		n = epoll_wait(ep, ev, 256, wait);
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			readable(c);
			if (!open_loop && !c->busy && now() < start + seconds)
				send_request(c, now());
		}
		for (int i = 0; i < n_conns; i++)
			busy += conns[i].busy;
		if (now() >= start + seconds && (!busy || now() > start + seconds + 10))
			break;
	}
	t = now() - start;
	qsort(lat, n_lat, sizeof *lat, cmp);
	if (!n_lat)
		return 1;
	printf("{\"n\":%zu,\"errors\":%zu,\"rate\":%.1f,\"p50_ms\":%.2f,"
	       "\"p99_ms\":%.2f,\"max_ms\":%.2f,\"seconds\":%.2f}\n",
	    n_lat, errors, (double)n_lat / t, lat[n_lat / 2], lat[n_lat * 99 / 100], lat[n_lat - 1],
	    t);
	return 0;
}
