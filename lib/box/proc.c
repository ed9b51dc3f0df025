/* Processes in a box as the server sees them: from start to end, and what ends them. */
#include "box.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- life ---- */

void
proc_free(struct proc *p)
{
	free(p->tag);
	free(p->config);
	az_buf_release(&p->ring);
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->in_mu);
	free(p);
}

/* With b->mu held. */
static void
unref(struct box *b, struct proc *p)
{
	if (--p->refs)
		return;
	for (struct proc **pp = &b->procs; *pp; pp = &(*pp)->next)
		if (*pp == p) {
			*pp = p->next;
			b->nprocs--;
			break;
		}
	proc_free(p);
}

void
proc_unref(struct box *b, struct proc *p)
{
	pthread_mutex_lock(&b->mu);
	unref(b, p);
	pthread_mutex_unlock(&b->mu);
}

void
procs_sweep(struct box *b)
{
	int64_t now = az_boot_ms();

	for (struct proc *p = b->procs, *next; p; p = next) {
		next = p->next;
		/* the list's own reference is the last one left */
		if (p->refs == 1 && (p->failed || (p->ended && now - p->ended_ms > PROC_KEEP_MS)))
			unref(b, p);
	}
}

struct proc *
proc_find(struct box *b, uint32_t pid, struct az_str tag, bool ended_too)
{
	struct proc *p;

	pthread_mutex_lock(&b->mu);
	procs_sweep(b);
	for (p = b->procs; p; p = p->next)
		if (p->started && (ended_too || !p->ended) &&
		    (tag.p ? p->tag && az_str_eqc(tag, p->tag) : p->pid == pid)) {
			p->refs++;
			break;
		}
	pthread_mutex_unlock(&b->mu);
	return p;
}

/* ---- frames ---- */

uint32_t
proc_task_limit(const struct box *b)
{
	return (uint32_t)(b->srv->pids > 16 ? b->srv->pids - 4 : b->srv->pids);
}

static void
explain(struct box *b, struct proc *p)
{
	bool bad = p->signalled || p->code;

	if (p->stop[0])
		snprintf(p->error, sizeof p->error, "%s", p->stop);
	else if (bad && cg_oom_kills(&b->srv->cg, b->id) > p->oom0)
		snprintf(p->error, sizeof p->error, "killed: out of memory (limit %lld MiB)",
		    (long long)(b->memory >> 20));
	else if (bad && (p->tasks + 2 >= proc_task_limit(b) ||
			    cg_pids_hits(&b->srv->cg, b->id) > p->pids0))
		snprintf(p->error, sizeof p->error, "stopped: process limit (%d)", b->srv->pids);
	else if (p->signalled && p->code == SIGXFSZ)
		snprintf(p->error, sizeof p->error, "stopped: file size limit (%zu MiB)",
		    AZ_LIM_BOX_FILE_BYTES >> 20);
}

void
proc_frame(struct box *b, struct proc *p, struct aw_frame *f, bool *ok)
{
	struct aw_rd *r = &f->body;
	const char *t;
	size_t n;

	switch ((int)f->type) {
	case AW_STARTED:
		*ok = !p->started && !p->failed;
		p->pid = aw_u32(r);
		p->started = true;
		break;
	case AW_OUT: {
		int stream = aw_u8(r);

		*ok = p->started && !p->ended && !r->bad;
		if (*ok)
			proc_output(b, p, stream, az_str_n(r->p, r->n), ok);
		return;
	}
	case AW_CREDIT: {
		uint32_t k = aw_u32(r);

		*ok = k <= AW_STDIN_WINDOW - p->stdin_room;
		p->stdin_room += *ok ? k : 0;
		break;
	}
	case AW_EXIT:
		*ok = p->started && !p->ended;
		p->signalled = aw_u8(r);
		p->code = (int)(aw_u32(r) & 0xff);
		p->tasks = aw_u32(r);
		p->ended = true;
		p->ended_ms = az_boot_ms();
		explain(b, p);
		break;
	case AW_FAIL:
		*ok = !p->started && !p->failed;
		p->fail_kind = (enum aw_fail)aw_u8(r);
		t = aw_text(r, &n);
		snprintf(p->fail_text, sizeof p->fail_text, "%.*s", (int)(n < 230 ? n : 230), t);
		p->failed = true;
		break;
	default:
		*ok = false;
	}
	if (r->bad)
		*ok = false;
	pthread_cond_broadcast(&p->cond);
}

void
procs_dead(struct box *b)
{
	for (struct proc *p = b->procs; p; p = p->next)
		pthread_cond_broadcast(&p->cond);
}

/* ---- verbs ---- */

void
proc_stop(struct box *b, struct proc *p, const char *why)
{
	pthread_mutex_lock(&b->mu);
	if (!p->ended && !p->stop[0])
		snprintf(p->stop, sizeof p->stop, "%s", why);
	if (!p->ended && !link_send_u32(b, p->id, AW_SIGNAL, SIGKILL))
		p->killed = true;
	pthread_mutex_unlock(&b->mu);
}

void
proc_time_out(struct box *b, struct proc *p, int64_t timeout_ms)
{
	char why[64];

	snprintf(why, sizeof why, "timed out after %g s", (double)timeout_ms / 1000);
	proc_stop(b, p, why);
}

void
proc_stop_later(struct box *b, struct proc *p, int64_t at, int64_t timeout_ms)
{
	pthread_mutex_lock(&b->mu);
	p->stop_at = at;
	p->timeout_ms = timeout_ms;
	pthread_mutex_unlock(&b->mu);
}

void
procs_overdue(struct box *b, int64_t now)
{
	struct proc *p;

	do {
		int64_t timeout_ms = 0;

		pthread_mutex_lock(&b->mu);
		for (p = b->procs; p; p = p->next)
			if (!p->ended && p->stop_at && p->stop_at <= now)
				break;
		if (p) {
			p->refs++;
			p->stop_at = 0;
			timeout_ms = p->timeout_ms;
		}
		pthread_mutex_unlock(&b->mu);
		if (p) {
			proc_time_out(b, p, timeout_ms);
			proc_unref(b, p);
		}
	} while (p);
}

enum az_code
proc_input(struct box *b, struct proc *p, struct az_str bytes, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&p->in_mu);
	pthread_mutex_lock(&b->mu);
	if (!p->has_stdin)
		rc = az_fail(err, AZ_EIO, "box.input", "stdin not enabled or closed");
	while (!rc && bytes.n) {
		size_t n = bytes.n < AW_CHUNK ? bytes.n : AW_CHUNK;

		if (b->dead) {
			rc = gone(err, "box.input");
		} else if (p->ended) {
			rc = az_fail(err, AZ_ENOTFOUND, "box.input",
			    "process with pid %u not found", p->pid);
		} else if (p->stdin_room < n) {
			if (!az_cond_wait(&p->cond, &b->mu, az_boot_ms() + 60000))
				rc = az_fail(
				    err, AZ_ETIMEOUT, "box.input", "the process does not read");
		} else if (!(rc = link_send(b, p->id, AW_STDIN, az_str_sub(bytes, 0, n),
				 (struct az_str){0}, true, err))) {
			p->stdin_room -= (uint32_t)n;
			bytes = az_str_sub(bytes, n, bytes.n);
		}
	}
	pthread_mutex_unlock(&b->mu);
	pthread_mutex_unlock(&p->in_mu);
	return rc;
}
