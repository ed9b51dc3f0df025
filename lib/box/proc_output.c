/*
 * What a process writes: records for those who follow it, a ring for when nobody does,
 * and the credit that holds it back.
 */
#include "box.h"

#include <signal.h>
#include <stdio.h>

#define RECORD_HEAD 5
#define FOLLOWER_SOFT AZ_KIB(256) /* a follower this far behind holds the program */

/* ---- records ---- */

bool
record_next(struct az_str *rest, int *stream, struct az_str *bytes)
{
	struct aw_rd r = {(const unsigned char *)rest->p, rest->n, false};
	const char *p;

	if (!rest->n)
		return false;
	*stream = aw_u8(&r);
	p = aw_text(&r, &bytes->n);
	bytes->p = p;
	*rest = az_str_n(r.p, r.n);
	return !r.bad;
}

static void
record_add(struct az_buf *q, int stream, struct az_str s)
{
	unsigned char head[RECORD_HEAD];

	head[0] = (unsigned char)stream;
	aw_store(head + 1, s.n, 4);
	az_buf_add(q, head, sizeof head);
	az_buf_adds(q, s);
}

static void
ring_add(struct az_buf *q, int stream, struct az_str s)
{
	struct az_str rest, bytes;
	int st;

	if (q->n + RECORD_HEAD + s.n > PROC_RING) {
		/* forget the older half, whole records */
		rest = az_buf_str(q);
		while (rest.n > PROC_RING / 2 && record_next(&rest, &st, &bytes))
			;
		az_buf_shift(q, q->n - rest.n);
	}
	record_add(q, stream, s);
}

/* ---- followers and credit ---- */

static void
grant(struct box *b, struct proc *p)
{
	uint32_t n = p->ungranted;

	for (struct sub *s = p->subs; s; s = s->next)
		if (s->q.n > FOLLOWER_SOFT)
			return;
	if (n < PROC_WINDOW / 4 || p->ended)
		return;
	p->ungranted = 0;
	if (link_send_u32(b, p->id, AW_GRANT, n))
		p->ungranted = 0; /* dead: nobody waits for it */
}

void
proc_follow(struct box *b, struct proc *p, struct sub *sub)
{
	(void)b;
	az_buf_init(&sub->q, 4 * PROC_WINDOW + PROC_RING);
	/* what nobody heard so far; what was lost of it must not pass for all there was */
	sub->q.fail = p->ring.fail;
	az_buf_adds(&sub->q, az_buf_str(&p->ring));
	az_buf_reset(&p->ring);
	sub->next = p->subs;
	p->subs = sub;
}

void
proc_leave(struct box *b, struct proc *p, struct sub *sub)
{
	struct az_str rest, bytes;
	int stream;

	for (struct sub **pp = &p->subs; *pp; pp = &(*pp)->next)
		if (*pp == sub) {
			*pp = sub->next;
			break;
		}
	/* the last follower's unread rest is kept for the next one, its end at least */
	rest = az_buf_str(&sub->q);
	while (rest.n > PROC_RING && record_next(&rest, &stream, &bytes))
		;
	if (!p->subs && !p->failed && rest.n <= PROC_RING)
		az_buf_adds(&p->ring, rest);
	if (!p->subs && sub->q.fail)
		p->ring.fail = sub->q.fail;
	az_buf_release(&sub->q);
	grant(b, p);
}

enum az_code
proc_wait(struct box *b, struct proc *p, struct sub *sub, int64_t deadline_ms, struct az_buf *got,
    bool *ended, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf t;

	*ended = false;
	pthread_mutex_lock(&b->mu);
	while (!sub->q.n && !sub->q.fail && !p->ended && !box_away(b))
		if (!az_cond_wait(&p->cond, &b->mu, deadline_ms)) {
			rc = az_fail(err, AZ_ETIMEOUT, "box.wait", "nothing yet");
			break;
		}
	if (!rc)
		rc = az_buf_check(&sub->q, "box.wait", err);
	if (!rc && sub->q.n && got) {
		t = *got;
		*got = sub->q;
		sub->q = t;
		sub->q.max = got->max;
		grant(b, p);
	} else if (!rc && p->ended && !sub->q.n) {
		*ended = true;
	} else if (!rc && !sub->q.n) {
		rc = away(b, "box.wait", err);
	}
	pthread_mutex_unlock(&b->mu);
	return rc;
}

void
proc_output(struct box *b, struct proc *p, int stream, struct az_str s, bool *ok)
{
	if (stream < 1 || stream > 3 || s.n > AW_CHUNK ||
	    p->ungranted + s.n > PROC_WINDOW + AW_CHUNK) {
		*ok = false; /* more than it had credit for */
		return;
	}
	p->ungranted += (uint32_t)s.n;
	if (p->total[stream] + s.n > AZ_LIM_LOG_BYTES) {
		s = az_str_sub(s, 0, AZ_LIM_LOG_BYTES - p->total[stream]);
		if (!p->cut) {
			p->cut = true;
			if (!p->stop[0])
				snprintf(p->stop, sizeof p->stop, "stopped: output limit (%zu MiB)",
				    AZ_LIM_LOG_BYTES >> 20);
			if (link_send_u32(b, p->id, AW_SIGNAL, SIGKILL))
				return;
		}
	}
	p->total[stream] += s.n;
	if (s.n && !p->subs)
		ring_add(&p->ring, stream, s);
	for (struct sub *sub = p->subs; s.n && sub; sub = sub->next)
		record_add(&sub->q, stream, s);
	grant(b, p);
	pthread_cond_broadcast(&p->cond);
}
