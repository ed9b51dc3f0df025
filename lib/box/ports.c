/*
 * Ports of programs, for the world outside: <port>-<id>.<domain>. nginx speaks HTTP with
 * the world and sends each request over a socket of ours, on a connection of its own;
 * its head says which program is meant, and from there on only bytes are carried (net.c).
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <azlon/crypto.h>
#include "net.h"
#include "port_head.h"

#define HEADS_MAX 64 /* threads that read a head */
#define HEAD_MS 10000
#define DRAIN_MS 2000
#define SLICE_MS 200
#define BACKLOG 256
#define ENVD 49983

struct asked { /* for the thread that reads its head */
	struct az_box_server *s;
	int fd;
};

/* ---- answers of ours ---- */

static void
say(int fd, int status, const char *phrase, const struct az_buf *body)
{
	char head[256];
	int n = snprintf(head, sizeof head,
	    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
	    "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
	    status, phrase, body->n);
	struct iovec v[2] = {{head, (size_t)n}, {body->p, body->n}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

	/* it has room for so little; if not, nobody reads it */
	if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		shutdown(fd, SHUT_WR);
}

static void
refuse(int fd, int status, const char *phrase, struct az_str id, const char *why, int port)
{
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_KIB(1));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	if (id.n)
		az_jw_ks(&w, "sandboxId", az_str_sub(id, 0, 64));
	az_jw_kc(&w, "message", why);
	if (port)
		az_jw_ki(&w, "port", port);
	az_jw_ki(&w, "code", status);
	az_jw_end(&w, '}');
	if (!b.fail)
		say(fd, status, phrase, &b);
	az_buf_release(&b);
}

void
port_closed(const struct box *b, int fd, int port, const char *why)
{
	char text[160];

	/* the words that clients look for */
	snprintf(text, sizeof text, "The sandbox is running but %s", why);
	refuse(fd, 502, "Bad Gateway", az_str_c(b->id), text, port);
}

/* Until it is closed over there: with bytes unread our answer would be lost to a reset. */
static void
empty(int fd)
{
	int64_t end = az_boot_ms() + DRAIN_MS, left;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buf[4096];

	while ((left = end - az_boot_ms()) > 0 && poll(&p, 1, (int)left) == 1 &&
	       recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
		continue;
}

/* ---- one request ---- */

static bool
stopping(struct az_box_server *s)
{
	bool yes;

	pthread_mutex_lock(&s->mu);
	yes = s->stopping;
	pthread_mutex_unlock(&s->mu);
	return yes;
}

/* The length of the head, 0 when there will be none. */
static size_t
read_head(struct asked *a, struct az_buf *in)
{
	int64_t end = az_boot_ms() + HEAD_MS;
	struct pollfd p = {.fd = a->fd, .events = POLLIN};
	char buf[8192];
	size_t n = 0;
	ssize_t k;

	while (!n && az_boot_ms() < end && !stopping(a->s)) {
		if (poll(&p, 1, SLICE_MS) != 1)
			continue;
		k = recv(a->fd, buf, sizeof buf, MSG_DONTWAIT);
		if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
		if (k > 0)
			az_buf_add(in, buf, (size_t)k);
		if (in->fail)
			return 0;
		n = port_head_end(az_buf_str(in));
	}
	return n;
}

static bool
dial(struct asked *a, struct box *b, int port, struct az_str head, struct az_str rest)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_buf out;
	enum az_code rc;

	/* what was read with it comes along */
	az_buf_init(&out, 2 * PORT_HEAD_MAX);
	port_head_write(&out, head, b->mask, port);
	az_buf_adds(&out, rest);
	if (!(rc = az_buf_check(&out, "box.port", &err))) {
		pthread_mutex_lock(&b->mu);
		if (!(rc = net_dial(b, a->fd, port, &out, &err)))
			link_wake(b);
		pthread_mutex_unlock(&b->mu);
	}
	az_buf_release(&out);
	if (rc == AZ_EQUOTA)
		refuse(a->fd, 429, "Too Many Requests", az_str_c(b->id),
		    "The sandbox has too many open connections", port);
	else if (rc)
		refuse(a->fd, 502, "Bad Gateway", az_str_c(b->id), BOX_NOT_FOUND, 0);
	return !rc;
}

/* True: fd is carried on. */
static bool
serve(struct asked *a, struct az_str head, struct az_str rest)
{
	struct port_head h;
	struct az_str id;
	struct box *b;
	bool taken = false;
	int port;

	if (!port_head_read(head, &h) || !port_host(h.host, az_str_c(a->s->domain), &port, &id)) {
		refuse(a->fd, 400, "Bad Request", AZ_S(""), "Invalid host", 0);
		return false;
	}
	if (!(b = box_find(a->s, id))) {
		refuse(a->fd, 502, "Bad Gateway", id, BOX_NOT_FOUND, 0);
		return false;
	}
	if (b->traffic[0] && !az_ct_eq(h.token, az_str_c(b->traffic)))
		refuse(a->fd, 403, "Forbidden", id,
		    "missing or wrong header: e2b-traffic-access-token", 0);
	else if (port == ENVD || port == AW_PROXY_PORT)
		/* envd is served with its checks elsewhere; the proxy is the box's alone */
		refuse(a->fd, 403, "Forbidden", id, "this port is not for programs", port);
	else if (!box_ready(b, true))
		refuse(a->fd, 502, "Bad Gateway", id, BOX_NOT_FOUND, 0);
	else
		taken = dial(a, b, port, head, rest);
	box_unref(b);
	return taken;
}

static void *
head_main(void *arg)
{
	struct asked *a = arg;
	struct az_box_server *s = a->s;
	struct az_buf in;
	bool taken = false;
	size_t n;

	az_buf_init(&in, PORT_HEAD_MAX);
	if ((n = read_head(a, &in)))
		taken = serve(
		    a, az_str_sub(az_buf_str(&in), 0, n), az_str_sub(az_buf_str(&in), n, in.n));
	else if (in.fail)
		refuse(
		    a->fd, 431, "Request Header Fields Too Large", AZ_S(""), "head too large", 0);
	az_buf_release(&in);
	if (!taken) {
		empty(a->fd);
		close(a->fd);
	}
	free(a);
	pthread_mutex_lock(&s->mu);
	s->heads--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

/* ---- the socket ---- */

static void *
ports_main(void *arg)
{
	struct az_box_server *s = arg;
	struct asked *a;
	pthread_t t;
	int fd;

	pthread_mutex_lock(&s->mu);
	while (!s->stopping) {
		if (s->heads >= HEADS_MAX) {
			az_cond_wait(&s->changed, &s->mu, -1);
			continue;
		}
		pthread_mutex_unlock(&s->mu);
		/* ends with an error when the socket is shut down */
		fd = accept4(s->ports_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		a = fd < 0 ? NULL : calloc(1, sizeof *a);
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
			(void)poll(NULL, 0, SLICE_MS); /* without descriptors, say */
		pthread_mutex_lock(&s->mu);
		if (a) {
			*a = (struct asked){s, fd};
			s->heads++;
			if (thread_start(&t, head_main, a, true))
				continue;
			s->heads--;
			free(a);
		}
		if (fd >= 0)
			close(fd);
	}
	while (s->heads)
		az_cond_wait(&s->changed, &s->mu, -1);
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

enum az_code
ports_open(struct az_box_server *s, const char *path, struct az_err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int rc;

	if (!n)
		return AZ_OK;
	if (n >= sizeof a.sun_path)
		return az_fail(err, AZ_EINVAL, "box.open", "%s: too long for a socket", path);
	memcpy(a.sun_path, path, n + 1);
	if (unlink(path) < 0 && errno != ENOENT)
		return az_fail_errno(err, AZ_EUNAVAIL, "box.open", "cannot replace %s", path);
	s->ports_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->ports_fd < 0)
		return az_fail_errno(err, AZ_EUNAVAIL, "box.open", "no socket");
	rc = bind(s->ports_fd, (const struct sockaddr *)&a, sizeof a);
	if (rc < 0 && errno == ENOENT) {
		az_log(AZ_WARN, "box.ports", AZ_KC("socket", path),
		    AZ_KC("err", "its directory is missing: ports of programs are not served"));
		return AZ_OK;
	}
	/* who may ask is said by the directory: nobody else gets there */
	if (rc < 0 || chmod(path, 0660) < 0 || listen(s->ports_fd, BACKLOG) < 0)
		return az_fail_errno(err, AZ_EUNAVAIL, "box.open", "cannot listen on %s", path);
	if (!(s->ports_on = thread_start(&s->ports, ports_main, s, false)))
		return az_fail(err, AZ_EUNAVAIL, "box.open", "cannot start a thread");
	return AZ_OK;
}

void
ports_close(struct az_box_server *s)
{
	if (s->ports_on) {
		shutdown(s->ports_fd, SHUT_RDWR);
		pthread_join(s->ports, NULL);
	}
	if (s->ports_fd >= 0)
		close(s->ports_fd);
	s->ports_on = false;
	s->ports_fd = -1;
}

enum az_code
ports_wish(const struct az_json *net, bool *open, struct az_str *mask, struct az_err *err)
{
	const struct az_json *m = az_json_get(net, "maskRequestHost");
	enum az_code rc = control_bool(net, "allowPublicTraffic", true, open, err);

	*mask = az_json_str(m);
	if (rc || az_json_type(m) == AZ_JNULL)
		return rc;
	return port_mask_ok(*mask) ? AZ_OK
				   : az_fail(err, AZ_EINVAL, "box.network",
					 "maskRequestHost: a host, a port, ${PORT}");
}
