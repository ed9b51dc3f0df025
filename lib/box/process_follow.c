/* What a client of Start or Connect gets to see: output, keepalives, the end. */
#include "process.h"

#include <signal.h>
#include <stdio.h>
#include <azlon/crypto.h>

#define KILL_MS 10000

/* ---- events ---- */

/* As the protocol's own server words them. */
static const char *
signal_name(int sig)
{
	static const char *const names[] = {
	    [SIGHUP] = "hangup",
	    [SIGINT] = "interrupt",
	    [SIGQUIT] = "quit",
	    [SIGILL] = "illegal instruction",
	    [SIGTRAP] = "trace/breakpoint trap",
	    [SIGABRT] = "aborted",
	    [SIGBUS] = "bus error",
	    [SIGFPE] = "floating point exception",
	    [SIGKILL] = "killed",
	    [SIGUSR1] = "user defined signal 1",
	    [SIGSEGV] = "segmentation fault",
	    [SIGUSR2] = "user defined signal 2",
	    [SIGPIPE] = "broken pipe",
	    [SIGALRM] = "alarm clock",
	    [SIGTERM] = "terminated",
	    [SIGXCPU] = "CPU time limit exceeded",
	    [SIGXFSZ] = "file size limit exceeded",
	    [SIGSYS] = "bad system call",
	};

	return sig > 0 && (size_t)sig < sizeof names / sizeof *names ? names[sig] : NULL;
}

static enum az_code
send_end(struct az_rq *rq, const struct proc *p, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;
	char status[64];
	const char *name = signal_name(p->code);
	enum az_code rc;

	if (!p->signalled)
		snprintf(status, sizeof status, "exit status %d", p->code);
	else if (name)
		snprintf(status, sizeof status, "signal: %s", name);
	else
		snprintf(status, sizeof status, "signal: %d", p->code);
	az_buf_init(&b, AZ_KIB(2));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_key(&w, "event");
	az_jw_obj(&w);
	az_jw_key(&w, "end");
	az_jw_obj(&w);
	/* proto3: a zero is left out */
	if (p->signalled)
		az_jw_ki(&w, "exitCode", -1);
	else if (p->code)
		az_jw_ki(&w, "exitCode", p->code);
	if (!p->signalled)
		az_jw_kb(&w, "exited", true);
	az_jw_kc(&w, "status", status);
	if (p->error[0] || p->signalled || p->code)
		az_jw_kc(&w, "error", p->error[0] ? p->error : status);
	az_jw_end(&w, '}');
	az_jw_end(&w, '}');
	az_jw_end(&w, '}');
	rc = az_buf_check(&b, "box.stream", err);
	if (!rc)
		rc = stream_send(rq, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}

static enum az_code
send_records(struct az_rq *rq, struct az_str rest, struct az_err *err)
{
	static const char *const names[] = {"", "stdout", "stderr", "pty"};
	struct az_buf msg, out;
	struct az_str bytes;
	enum az_code rc = AZ_OK;
	int stream;

	az_buf_init(&msg, 2 * AW_CHUNK);
	az_buf_init(&out, AZ_MIB(8));
	while (!rc && record_next(&rest, &stream, &bytes)) {
		az_buf_reset(&msg);
		az_buf_addf(&msg, "{\"event\":{\"data\":{\"%s\":\"", names[stream & 3]);
		az_base64(&msg, bytes);
		az_buf_addc(&msg, "\"}}}");
		envelope_add(&out, 0, az_buf_str(&msg));
		if ((rc = az_buf_check(&msg, "box.stream", err)) ||
		    (rc = az_buf_check(&out, "box.stream", err)))
			break;
		if (out.n > AZ_KIB(256)) {
			rc = az_rs_write(rq, az_buf_str(&out), err);
			az_buf_reset(&out);
		}
	}
	if (!rc && out.n)
		rc = az_rs_write(rq, az_buf_str(&out), err);
	if (!rc)
		rc = az_rs_flush(rq, err);
	az_buf_release(&msg);
	az_buf_release(&out);
	return rc;
}

/* ---- following ---- */

/* Copy output and the end to the client. A client that left leaves the program be. */
static enum az_code
pump(struct az_rq *rq, struct box *b, struct follow *f, struct az_err *err)
{
	int64_t every = connect_keepalive(rq), ping = az_boot_ms() + every, now, until;
	struct az_err e = AZ_ERR_INIT;
	struct az_buf got;
	enum az_code rc;
	bool ended = false, killing = false;
	char text[64];

	az_buf_init(&got, AZ_MIB(1));
	snprintf(text, sizeof text, "{\"event\":{\"start\":{\"pid\":%u}}}", f->p->pid);
	rc = stream_send(rq, az_str_c(text), err);
	while (!rc && !ended) {
		now = az_boot_ms();
		until = now + LOOK_MS < ping ? now + LOOK_MS : ping;
		if (f->deadline >= 0 && f->deadline < until)
			until = f->deadline;
		az_buf_reset(&got);
		/* what a client that left would not get is left for the next one */
		rc = proc_wait(b, f->p, &f->sub, until, NULL, &ended, &e);
		if ((!rc || rc == AZ_ETIMEOUT) && !az_rq_connected(rq)) {
			rc = az_fail(err, AZ_ECANCELLED, "box.stream", "the client left");
			goto out;
		}
		if (!rc && !ended)
			rc = proc_wait(b, f->p, &f->sub, until, &got, &ended, &e);
		if (rc && rc != AZ_ETIMEOUT) {
			rc = stream_end(rq, &e, err);
			goto out;
		}
		if (!rc && !ended) {
			rc = send_records(rq, az_buf_str(&got), err);
			ping = az_boot_ms() + every;
		} else if (rc) {
			rc = AZ_OK; /* nothing yet: time to look around */
		}
		now = az_boot_ms();
		if (ended || rc)
			break;
		if (az_web_stopping(rq)) {
			az_fail(&e, AZ_EUNAVAIL, "box.stream", "the server stops");
			rc = stream_end(rq, &e, err);
			goto out;
		}
		if (f->deadline >= 0 && now >= f->deadline) {
			if (!f->kills || killing) {
				az_fail(&e, AZ_ETIMEOUT, "box.stream", "context deadline exceeded");
				rc = stream_end(rq, &e, err);
				goto out;
			}
			proc_time_out(b, f->p, f->timeout_ms);
			killing = true;
			f->deadline = now + KILL_MS;
		} else if (now >= ping) {
			rc = stream_send(rq, AZ_S("{\"event\":{\"keepalive\":{}}}"), err);
			ping = now + every;
		}
	}
	if (!rc)
		rc = send_end(rq, f->p, err);
	if (!rc && killing && az_str_starts(az_str_c(f->p->error), AZ_S("timed out"))) {
		/* the end says what became of the program, this that it was the caller's limit:
		   clients have an error of its own for it */
		az_fail(&e, AZ_ETIMEOUT, "box.stream", "%s", f->p->error);
		rc = stream_end(rq, &e, err);
	} else if (!rc) {
		rc = stream_end(rq, NULL, err);
	}
out:
	/* a timeout holds even when nobody waits for it any more */
	if (!ended && f->kills && !killing && f->deadline >= 0)
		proc_stop_later(b, f->p, f->deadline, f->timeout_ms);
	az_buf_release(&got);
	return rc;
}

enum az_code
process_follow(struct az_rq *rq, struct box *b, struct follow *f, struct az_err *err)
{
	enum az_code rc = pump(rq, b, f, err);

	pthread_mutex_lock(&b->mu);
	proc_leave(b, f->p, &f->sub);
	pthread_mutex_unlock(&b->mu);
	proc_unref(b, f->p);
	return rc;
}
