/* Processes in a box as the server sees them: from start to end, and what ends them. */
#include "box.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MS 60000 /* of a program that takes nothing of its input */

/* ---- life ---- */

void
proc_free(struct proc *p)
{
	free(p->cmd);
	free(p->tag);
	free(p->config);
	az_buf_release(&p->ring);
	pthread_cond_destroy(&p->cond);
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
	struct proc *oldest = NULL;

	for (struct proc *p = b->procs, *next; p; p = next) {
		next = p->next;
		if (p->refs > 1) /* the list's own reference is not the last one left */
			continue;
		if (p->failed || (p->ended && now - p->ended_ms > PROC_KEEP_MS))
			unref(b, p);
		else if (p->ended)
			oldest = p;
	}
	/* many short commands: what has ended makes room for what begins */
	if (oldest && b->nprocs >= PROC_MAX)
		unref(b, oldest);
}

struct proc *
proc_find(struct box *b, uint32_t pid, struct az_str tag, bool ended_too)
{
	struct proc *found = NULL;

	pthread_mutex_lock(&b->mu);
	procs_sweep(b);
	/* the newest, but one that runs before one that has ended */
	for (struct proc *p = b->procs; p; p = p->next) {
		if (!p->started || (p->ended && (!ended_too || found)) ||
		    (tag.p ? !p->tag || !az_str_eqc(tag, p->tag) : p->pid != pid))
			continue;
		found = p;
		if (!p->ended)
			break;
	}
	if (found)
		found->refs++;
	pthread_mutex_unlock(&b->mu);
	return found;
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
		/* here, before an end that may follow at once */
		note(b, AZ_INFO, "command started", AZ_KN("pid", p->pid), AZ_KC("cmd", p->cmd),
		    AZ_KS("tag", p->tag ? az_str_c(p->tag) : AZ_S("")));
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
		p->taken_ms = az_boot_ms();
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
		note(b, p->error[0] || p->signalled || p->code ? AZ_WARN : AZ_INFO, "command ended",
		    AZ_KN("pid", p->pid), AZ_KN(p->signalled ? "signal" : "exit_code", p->code),
		    AZ_KC("error", p->error));
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
procs_wake(struct box *b)
{
	for (struct proc *p = b->procs; p; p = p->next)
		pthread_cond_broadcast(&p->cond);
}

enum az_code
procs_end(struct box *b, const char *why, struct az_err *err)
{
	for (struct proc *p = b->procs; p; p = p->next)
		if (p->started && !p->ended && !p->stop[0])
			snprintf(p->stop, sizeof p->stop, "%s", why);
	/* everybody, daemons too: who is whose is not asked */
	return link_send(
	    b, b->next_id++, AW_KILL_ALL, (struct az_str){0}, (struct az_str){0}, false, err);
}

void
procs_wait(struct box *b, int64_t deadline_ms)
{
	bool in_time = true;
	struct proc *p;

	while (in_time && !b->dead) {
		for (p = b->procs; p && (!p->started || p->ended); p = p->next)
			;
		if (!p)
			break;
		p->refs++;
		in_time = az_cond_wait(&p->cond, &b->mu, deadline_ms);
		unref(b, p);
	}
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
	int64_t since = az_boot_ms();
	enum az_code rc = AZ_OK;
	bool turn = false;

	pthread_mutex_lock(&b->mu);
	do {
		size_t n = bytes.n < AW_CHUNK ? bytes.n : AW_CHUNK;

		if (box_away(b)) {
			rc = away(b, "box.input", err);
		} else if (p->ended) {
			rc = az_fail(err, AZ_ENOTFOUND, "box.input",
			    "process with pid %u not found", p->pid);
		} else if (!p->has_stdin) {
			rc = az_fail(err, AZ_EIO, "box.input", "stdin not enabled or closed");
		} else if ((p->feeding && !turn) || p->stdin_room < n) {
			if (p->taken_ms > since)
				since = p->taken_ms;
			if (!az_cond_wait(&p->cond, &b->mu, since + INPUT_MS) &&
			    p->taken_ms <= since)
				rc = az_fail(
				    err, AZ_ETIMEOUT, "box.input", "the process does not read");
		} else if (n) {
			p->feeding = turn = true;
			rc = link_send(b, p->id, AW_STDIN, az_str_sub(bytes, 0, n),
			    (struct az_str){0}, true, err);
			p->stdin_room -= rc ? 0 : (uint32_t)n;
			bytes = az_str_sub(bytes, n, bytes.n);
		}
	} while (!rc && bytes.n);
	if (turn) {
		p->feeding = false;
		pthread_cond_broadcast(&p->cond);
	}
	pthread_mutex_unlock(&b->mu);
	return rc;
}
