/* The socket to an agent: one thread a box parses what comes and flushes what goes. */
#include "net.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BULK_ROOM AZ_KIB(512)
#define POLL_MAX 128

void
put_u32(struct az_buf *b, uint32_t v)
{
	unsigned char c[4];

	aw_store(c, v, 4);
	az_buf_add(b, c, 4);
}

void
put_text(struct az_buf *b, struct az_str s)
{
	put_u32(b, (uint32_t)s.n);
	az_buf_adds(b, s);
}

enum az_code
path_check(const struct az_buf *b, const char *op, struct az_err *err)
{
	return b->fail == AZ_ETOOBIG ? az_fail(err, AZ_EINVAL, op, "path too long")
				     : az_buf_check(b, op, err);
}

void
link_wake(struct box *b)
{
	uint64_t one = 1;

	if (write(b->wake, &one, sizeof one) < 0)
		return; /* full: it is awake anyway */
}

/* With b->mu held. */
static void
flush(struct box *b)
{
	while (b->out.n && !b->dead) {
		ssize_t k = send(b->sock, b->out.p, b->out.n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break; /* full, or dead: the reader will see which */
		az_buf_shift(&b->out, (size_t)k);
	}
	if (b->out.n < BULK_ROOM)
		pthread_cond_broadcast(&b->cond);
}

enum az_code
link_send(struct box *b, uint32_t id, enum aw_type type, struct az_str x, struct az_str y,
    bool bulk, struct az_err *err)
{
	unsigned char head[AW_HEAD];
	bool idle;

	if (x.n + y.n > AW_MAX)
		return az_fail(err, AZ_ETOOBIG, "box.link", "more than %u bytes", AW_MAX);
	while (bulk && !box_away(b) && b->out.n > BULK_ROOM)
		az_cond_wait(&b->cond, &b->mu, -1);
	if (b->dead || (bulk && box_away(b)))
		return away(b, "box.link", err);
	idle = !b->out.n;
	aw_head(head, (uint32_t)(x.n + y.n), id, type);
	az_buf_add(&b->out, head, sizeof head);
	az_buf_adds(&b->out, x);
	az_buf_adds(&b->out, y);
	if (b->out.fail) {
		/* an agent that reads nothing for this long is no longer sane; without
		   memory, what it was to be told is lost */
		b->dead = true;
		snprintf(b->why, sizeof b->why, "%s",
		    b->out.fail == AZ_ENOMEM ? "out of memory" : "the agent stopped reading");
		link_wake(b);
		return b->out.fail == AZ_ENOMEM ? az_buf_check(&b->out, "box.link", err)
						: gone(b, err, "box.link");
	}
	if (idle)
		flush(b);
	if (b->out.n)
		link_wake(b);
	return AZ_OK;
}

enum az_code
link_send_u32(struct box *b, uint32_t id, enum aw_type type, uint32_t v)
{
	unsigned char c[4];

	aw_store(c, v, 4);
	return link_send(b, id, type, az_str_n(c, 4), (struct az_str){0}, false, NULL);
}

static struct proc *
proc_by_id(struct box *b, uint32_t id)
{
	struct proc *p;

	for (p = b->procs; p && p->id != id; p = p->next)
		;
	return p;
}

static bool
call_frame(struct box *b, const struct aw_frame *f)
{
	struct call *c;
	unsigned char head[AW_HEAD];

	for (c = b->calls; c && c->id != f->id; c = c->next)
		;
	if (!c)
		return true; /* given up; its last answers are still under way */
	if (c->overflow)
		return true;
	aw_head(head, (uint32_t)f->body.n, f->id, (enum aw_type)f->type);
	az_buf_add(&c->in, head, sizeof head);
	az_buf_add(&c->in, f->body.p, f->body.n);
	if (c->in.fail)
		c->overflow = true;
	pthread_cond_signal(&c->cond);
	return true;
}

bool
link_frame(struct box *b, struct aw_frame *f)
{
	struct proc *p = f->id < AW_NET ? proc_by_id(b, f->id) : NULL;
	bool ok = true;

	switch ((enum aw_type)f->type) {
	case AW_HELLO:
		if (f->id || b->hello || aw_u32(&f->body) != AW_VERSION)
			return false;
		b->hello_env = aw_u32(&f->body);
		b->hello_fds = aw_u32(&f->body);
		b->hello = !f->body.bad;
		pthread_cond_broadcast(&b->cond);
		return b->hello;
	case AW_STARTED:
	case AW_OUT:
	case AW_EXIT:
		if (p)
			proc_frame(b, p, f, &ok);
		return ok;
	case AW_CREDIT:
		if (p)
			proc_frame(b, p, f, &ok);
		else
			ok = net_frame(b, f);
		return ok;
	case AW_FAIL:
		if (p)
			proc_frame(b, p, f, &ok);
		else
			ok = call_frame(b, f);
		return ok;
	case AW_USED:
		return f->id ? call_frame(b, f) : meter_frame(b, f);
	case AW_OK:
	case AW_ENTRY:
	case AW_DATA:
	case AW_EVENT:
		return call_frame(b, f);
	case AW_NET_OPEN:
	case AW_NET_OPENED:
	case AW_NET_BYTES:
	case AW_NET_END:
	case AW_NET_CLOSE:
		return net_frame(b, f);
	case AW_START:
	case AW_STDIN:
	case AW_STDIN_END:
	case AW_SIGNAL:
	case AW_RESIZE:
	case AW_GRANT:
	case AW_KILL_ALL:
	case AW_STAT:
	case AW_LIST:
	case AW_MKDIR:
	case AW_MOVE:
	case AW_REMOVE:
	case AW_READ:
	case AW_WRITE:
	case AW_BYTES:
	case AW_COMMIT:
	case AW_ABORT:
	case AW_PROXY:
	case AW_DIAL:
	case AW_USAGE:
	case AW_FREEZE:
	case AW_SEEK:
	case AW_WATCH:
	default:
		return false;
	}
}

struct inbox {
	unsigned char *p;
	size_t n, cap;
};

/* False: the box is dead, *why says how. */
static bool
receive(struct box *b, struct inbox *in, const char **why)
{
	ssize_t k = recv(b->sock, in->p + in->n, in->cap - in->n, MSG_DONTWAIT);
	size_t at = 0, used;
	struct aw_frame f;
	int got;

	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (k <= 0) {
		*why = cg_oom_kills(&b->srv->cg, b->id) > 0 ? "killed: out of memory"
							    : "the agent ended";
		return false;
	}
	in->n += (size_t)k;
	pthread_mutex_lock(&b->mu);
	while ((got = aw_next(in->p + at, in->n - at, &f, &used)) > 0) {
		at += used;
		if (!link_frame(b, &f)) {
			got = -1;
			break;
		}
	}
	pthread_mutex_unlock(&b->mu);
	if (got < 0) {
		*why = "the agent broke the protocol";
		return false;
	}
	memmove(in->p, in->p + at, in->n - at);
	in->n -= at;
	return true;
}

void *
link_main(void *arg)
{
	struct box *b = arg;
	struct inbox in = {NULL, 0, 2 * (AW_MAX + AW_HEAD)};
	const char *why = "out of memory";
	struct pollfd v[POLL_MAX];
	bool alive;

	in.p = malloc(in.cap);
	alive = in.p != NULL;
	while (alive) {
		size_t n = 2;
		uint64_t x;

		v[1] = (struct pollfd){.fd = b->wake, .events = POLLIN};
		pthread_mutex_lock(&b->mu);
		v[0] = (struct pollfd){
		    .fd = b->sock, .events = (short)(POLLIN | (b->out.n ? POLLOUT : 0))};
		n += net_watch(b, v + 2, POLL_MAX - 2);
		alive = !b->dead;
		pthread_mutex_unlock(&b->mu);
		if (!alive || (poll(v, n, -1) < 0 && errno != EINTR))
			break;
		if (v[1].revents && read(b->wake, &x, sizeof x) < 0 && errno != EAGAIN)
			break;
		if (v[0].revents & (POLLIN | POLLHUP | POLLERR))
			alive = receive(b, &in, &why);
		pthread_mutex_lock(&b->mu);
		net_ready(b, v + 2, n - 2);
		flush(b);
		pthread_mutex_unlock(&b->mu);
	}
	free(in.p);
	pthread_mutex_lock(&b->mu);
	if (!b->dead) {
		b->dead = true;
		snprintf(b->why, sizeof b->why, "%s", why);
	}
	for (struct call *c = b->calls; c; c = c->next)
		pthread_cond_signal(&c->cond);
	procs_wake(b);
	net_close_all(b);
	pthread_cond_broadcast(&b->cond);
	pthread_mutex_unlock(&b->mu);
	return NULL;
}
