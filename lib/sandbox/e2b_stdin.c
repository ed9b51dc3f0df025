/*
 * Standard input travels in calls of its own, while the command's stream is being read:
 * a program that answers as it reads would otherwise fill both pipes and stand still.
 */
#include <azlon/crypto.h>
#include "e2b_process.h"

#define CHUNK AZ_KIB(48)
#define TYPED AZ_KIB(8) /* at once, of what somebody types or pastes */

static bool
stopped(void *arg)
{
	struct run *run = arg;

	return atomic_load(&run->in.stop);
}

static enum az_code
send_part(struct run *run, struct az_buf *b, struct az_buf *b64, struct az_str part)
{
	struct az_jw w;

	az_buf_reset(b);
	az_buf_reset(b64);
	az_base64(b64, part);
	az_jw_init(&w, b);
	az_jw_obj(&w);
	e2b_selector(&w, run->in.pid, run->tag);
	if (part.n) {
		az_jw_key(&w, "input");
		az_jw_obj(&w);
		az_jw_ks(&w, run->cmd->pty ? "pty" : "stdin", az_buf_str(b64));
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, '}');
	if (b->fail != AZ_OK || b64->fail != AZ_OK)
		return AZ_ENOMEM;
	return e2b_unary(run->e, run->ref,
	    &(struct e2b_call){
		.method = part.n ? "process.Process/SendInput" : "process.Process/CloseStdin",
		.body = az_buf_str(b),
		.user = run->cmd->user,
		.cancelled = stopped,
		.arg = run,
		.total_ms = AZ_LIM_CMD_MAX_S * 1000, /* a slow reader is not a fault */
		.no_probe = true},
	    NULL, NULL);
}

static void *
feed(void *arg)
{
	struct run *run = arg;
	struct az_str rest = run->earlier ? (struct az_str){NULL, 0} : run->cmd->stdin_bytes;
	struct az_buf b, b64;

	az_buf_init(&b, AZ_KIB(80));
	az_buf_init(&b64, AZ_KIB(72));
	while (rest.n > 0 && !stopped(run)) {
		struct az_str part = az_str_sub(rest, 0, CHUNK);

		/* a program may end, or close its input, before it has read all */
		if (send_part(run, &b, &b64, part) != AZ_OK)
			break;
		rest = az_str_sub(rest, part.n, rest.n);
	}
	if (!stopped(run)) {
		enum az_code rc = send_part(run, &b, &b64, (struct az_str){NULL, 0});

		(void)rc; /* gone already, or too old a service to know of it */
	}
	az_buf_release(&b);
	az_buf_release(&b64);
	return NULL;
}

void
e2b_pty_size(struct az_jw *w, const struct az_sb_size *size)
{
	az_jw_obj(w);
	az_jw_key(w, "size");
	az_jw_obj(w);
	az_jw_ki(w, "cols", size->cols);
	az_jw_ki(w, "rows", size->rows);
	az_jw_end(w, '}');
	az_jw_end(w, '}');
}

static void
resize(struct run *run, struct az_buf *b, const struct az_sb_size *size)
{
	struct az_jw w;
	enum az_code rc;

	az_buf_reset(b);
	az_jw_init(&w, b);
	az_jw_obj(&w);
	e2b_selector(&w, run->in.pid, run->tag);
	az_jw_key(&w, "pty");
	e2b_pty_size(&w, size);
	az_jw_end(&w, '}');
	rc = e2b_unary(run->e, run->ref,
	    &(struct e2b_call){.method = "process.Process/Update",
		.body = az_buf_str(b),
		.user = run->cmd->user,
		.cancelled = stopped,
		.arg = run,
		.no_probe = true},
	    NULL, NULL);
	(void)rc; /* it stays at the size it has */
}

/* What is typed while one call is under way goes out with the next. */
static void *
type(void *arg)
{
	struct run *run = arg;
	struct az_sb_typed t = {.end = false};
	struct az_buf b, b64;
	char p[TYPED];
	enum az_code rc = AZ_OK;

	az_buf_init(&b, AZ_KIB(16));
	az_buf_init(&b64, AZ_KIB(12));
	while (!t.end && !stopped(run)) {
		t = (struct az_sb_typed){.p = p, .max = sizeof p};
		run->cmd->input(run->cmd->arg, &t);
		if (run->cmd->pty && t.size.cols > 0)
			resize(run, &b, &t.size);
		/* a program may end before it has read all, and a line be cut for a moment:
		   what is typed then is lost, what comes after need not be */
		if (t.n)
			rc = send_part(run, &b, &b64, az_str_n(p, t.n));
	}
	if (!run->cmd->pty && !stopped(run))
		rc = send_part(run, &b, &b64, (struct az_str){NULL, 0});
	(void)rc;
	az_buf_release(&b);
	az_buf_release(&b64);
	return NULL;
}

enum az_code
e2b_stdin_start(struct run *run, struct az_err *err)
{
	int e;

	if (run->in.on || (!run->cmd->stdin_bytes.p && !run->cmd->input))
		return AZ_OK;
	run->in.pid = run->pid;
	atomic_init(&run->in.stop, false);
	if ((e = pthread_create(&run->in.thread, NULL, run->cmd->input ? type : feed, run)) != 0)
		return az_fail(
		    err, AZ_EIO, "sandbox.run", "cannot start a thread for standard input (%d)", e);
	run->in.on = true;
	return AZ_OK;
}

void
e2b_stdin_stop(struct run *run)
{
	if (!run->in.on)
		return;
	atomic_store(&run->in.stop, true);
	pthread_join(run->in.thread, NULL);
	run->in.on = false;
}
