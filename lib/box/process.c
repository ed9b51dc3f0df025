/* process.Process: the E2B routes that start, follow and feed commands. */
#include "box.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <azlon/crypto.h>

#define KEEPALIVE_S 90
#define LOOK_MS 1000 /* how often a silent stream asks for its client */
#define KILL_MS 10000

/* ---- events ---- */

static const char *
signal_name(int sig)
{
	switch (sig) {
	case SIGHUP:
		return "hangup";
	case SIGINT:
		return "interrupt";
	case SIGQUIT:
		return "quit";
	case SIGILL:
		return "illegal instruction";
	case SIGABRT:
		return "aborted";
	case SIGBUS:
		return "bus error";
	case SIGFPE:
		return "floating point exception";
	case SIGKILL:
		return "killed";
	case SIGSEGV:
		return "segmentation fault";
	case SIGSYS:
		return "bad system call";
	case SIGPIPE:
		return "broken pipe";
	case SIGALRM:
		return "alarm clock";
	case SIGTERM:
		return "terminated";
	case SIGXCPU:
		return "CPU time limit exceeded";
	case SIGXFSZ:
		return "file size limit exceeded";
	default:
		return NULL;
	}
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

struct follow {
	struct proc *p;
	struct sub sub;
	int64_t timeout_ms, deadline; /* 0, -1: none */
	bool kills;                   /* the deadline ends the program */
};

static int64_t
keepalive_ms(struct az_rq *rq)
{
	struct az_str t = az_rq_header(rq, "Keepalive-Ping-Interval");
	int64_t s = KEEPALIVE_S;

	if (t.p && (!az_str_to_i64(t, INT64_MIN, INT64_MAX, &s) || s > 3600))
		s = KEEPALIVE_S;
	return (s < 1 ? 1 : s) * 1000;
}

/* Copy output and the end to the client. A client that left leaves the program be. */
static enum az_code
pump(struct az_rq *rq, struct box *b, struct follow *f, struct az_err *err)
{
	int64_t every = keepalive_ms(rq), ping = az_boot_ms() + every, now, until;
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
	if (!rc)
		rc = stream_end(rq, NULL, err);
out:
	/* a timeout holds even when nobody waits for it any more */
	if (!ended && f->kills && !killing && f->deadline >= 0)
		proc_stop_later(b, f->p, f->deadline, f->timeout_ms);
	az_buf_release(&got);
	return rc;
}

static enum az_code
follow(struct az_rq *rq, struct box *b, struct follow *f, struct az_err *err)
{
	enum az_code rc = pump(rq, b, f, err);

	pthread_mutex_lock(&b->mu);
	proc_leave(b, f->p, &f->sub);
	pthread_mutex_unlock(&b->mu);
	proc_unref(b, f->p);
	return rc;
}

/* ---- selecting ---- */

static enum az_code
select_proc(
    struct box *b, const struct az_json *sel, bool ended_too, struct proc **out, struct az_err *err)
{
	struct az_str tag = az_json_gets(sel, "tag");
	const struct az_json *jp = az_json_get(sel, "pid");
	int64_t pid = 0;

	if (!az_json_i64(jp, 1, UINT32_MAX, &pid) &&
	    !az_str_to_i64(az_json_str(jp), 1, UINT32_MAX, &pid) && !tag.n)
		return az_fail(err, AZ_EINVAL, "box.process", "no process selected");
	if (pid) /* it decides, whatever the tag */
		tag = (struct az_str){NULL, 0};
	*out = proc_find(b, (uint32_t)pid, tag, ended_too);
	if (*out)
		return AZ_OK;
	if (pid)
		return az_fail(err, AZ_ENOTFOUND, "box.process", "process with pid %lld not found",
		    (long long)pid);
	return az_fail(err, AZ_ENOTFOUND, "box.process", "process with tag %.*s not found",
	    AZ_FMT(az_str_sub(tag, 0, 100)));
}

/* Basic "user:": the one user there is. */
static enum az_code
check_user(struct az_rq *rq, struct az_err *err)
{
	struct az_str h = az_rq_header(rq, "Authorization");
	struct az_str user;
	struct az_buf b;
	enum az_code rc = AZ_OK;

	if (!az_str_starts(h, AZ_S("Basic ")))
		return AZ_OK;
	az_buf_init(&b, AZ_KIB(1));
	if (!az_base64_decode(&b, az_str_trim(az_str_sub(h, 6, h.n)))) {
		rc = az_fail(err, AZ_EAUTH, "box.user", "invalid credentials");
	} else {
		struct az_str rest = az_buf_str(&b);

		if (!az_str_cut(&rest, ':', &user) || (user.n && !az_str_eqc(user, "user")))
			rc = az_fail(err, AZ_EAUTH, "box.user", "invalid username: '%.*s'",
			    AZ_FMT(az_str_sub(user, 0, 64)));
	}
	az_buf_release(&b);
	return rc;
}

/* ---- routes ---- */

enum az_code
process_start(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *msg = NULL, *pr, *size;
	struct proc_start ps = {0};
	struct follow f = {.deadline = -1, .kills = true};
	struct az_err e = AZ_ERR_INIT;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_stream(rq, &stop, err)) || stop)
		return rc;
	if (connect_message(rq, &msg, &e) || connect_timeout(rq, &f.timeout_ms, &e) ||
	    check_user(rq, &e))
		return stream_end(rq, &e, err);
	pr = az_json_get(msg, "process");
	ps.cmd = az_json_gets(pr, "cmd");
	ps.cwd = az_json_gets(pr, "cwd");
	ps.args = az_json_get(pr, "args");
	ps.envs = az_json_get(pr, "envs");
	ps.tag =
	    az_json_is_str(az_json_get(msg, "tag")) ? az_json_gets(msg, "tag") : (struct az_str){0};
	ps.pty = az_json_type(az_json_get(msg, "pty")) == AZ_JOBJ;
	/* absent means true, for old clients */
	ps.has_stdin = az_json_getb(msg, "stdin", true);
	size = az_json_get(az_json_get(msg, "pty"), "size");
	ps.cols = (uint16_t)(az_json_geti(size, "cols", 80) & 0xffff);
	ps.rows = (uint16_t)(az_json_geti(size, "rows", 24) & 0xffff);
	if (f.timeout_ms)
		f.deadline = az_boot_ms() + f.timeout_ms;
	if (proc_start(b, &ps, &f.sub, &f.p, &e))
		return stream_end(rq, &e, err);
	return follow(rq, b, &f, err);
}

enum az_code
process_connect(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *msg = NULL;
	struct follow f = {.deadline = -1};
	struct az_err e = AZ_ERR_INIT;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_stream(rq, &stop, err)) || stop)
		return rc;
	if (connect_message(rq, &msg, &e) || connect_timeout(rq, &f.timeout_ms, &e) ||
	    select_proc(b, az_json_get(msg, "process"), true, &f.p, &e))
		return stream_end(rq, &e, err);
	if (f.timeout_ms)
		f.deadline = az_boot_ms() + f.timeout_ms;
	pthread_mutex_lock(&b->mu);
	proc_follow(b, f.p, &f.sub);
	pthread_mutex_unlock(&b->mu);
	return follow(rq, b, &f, err);
}

enum az_code
process_list(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *body;
	struct az_buf out;
	struct az_jw w;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_unary(rq, &body, &stop, err)) || stop)
		return rc;
	az_buf_init(&out, AZ_MIB(16));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	az_jw_key(&w, "processes");
	az_jw_arr(&w);
	pthread_mutex_lock(&b->mu);
	for (struct proc *p = b->procs; p; p = p->next) {
		if (!p->started || p->ended)
			continue;
		az_jw_obj(&w);
		az_jw_kraw(&w, "config", az_str_c(p->config));
		az_jw_ki(&w, "pid", p->pid);
		if (p->tag)
			az_jw_kc(&w, "tag", p->tag);
		az_jw_end(&w, '}');
	}
	pthread_mutex_unlock(&b->mu);
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&out, "box.list", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

/* The common shape of small calls on one process: do() then "{}". */
static enum az_code
on_proc(struct az_rq *rq, void *app,
    enum az_code (*act)(
	struct box *b, struct proc *p, const struct az_json *body, struct az_err *err),
    struct az_err *err)
{
	const struct az_json *body;
	struct az_err e = AZ_ERR_INIT;
	struct proc *p = NULL;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_unary(rq, &body, &stop, err)) || stop)
		return rc;
	if (select_proc(b, az_json_get(body, "process"), false, &p, &e))
		return connect_fail(rq, &e);
	rc = act(b, p, body, &e);
	proc_unref(b, p);
	if (rc)
		return connect_fail(rq, &e);
	return az_rs_json(rq, 200, AZ_S("{}"), err);
}

static enum az_code
input_of(struct box *b, struct proc *p, const struct az_json *input, struct az_err *err)
{
	const struct az_json *j = az_json_get(input, p->pty ? "pty" : "stdin");
	struct az_buf raw;
	enum az_code rc;

	if (!az_json_is_str(j))
		return az_fail(
		    err, AZ_EINVAL, "box.input", "no %s input given", p->pty ? "pty" : "stdin");
	az_buf_init(&raw, CONNECT_MAX);
	if (!az_base64_decode(&raw, az_json_str(j)))
		rc = az_fail(err, AZ_EINVAL, "box.input", "input is not base64");
	else
		rc = proc_input(b, p, az_buf_str(&raw), err);
	az_buf_release(&raw);
	return rc;
}

static enum az_code
act_input(struct box *b, struct proc *p, const struct az_json *body, struct az_err *err)
{
	return input_of(b, p, az_json_get(body, "input"), err);
}

static enum az_code
act_close(struct box *b, struct proc *p, const struct az_json *body, struct az_err *err)
{
	enum az_code rc;

	(void)body;
	pthread_mutex_lock(&b->mu);
	if (!p->has_stdin)
		rc = az_fail(err, AZ_EIO, "box.input", "stdin not enabled or closed");
	else
		rc = link_send(
		    b, p->id, AW_STDIN_END, (struct az_str){0}, (struct az_str){0}, false, err);
	if (!p->pty)
		p->has_stdin = false;
	pthread_mutex_unlock(&b->mu);
	return rc;
}

static enum az_code
act_signal(struct box *b, struct proc *p, const struct az_json *body, struct az_err *err)
{
	const struct az_json *j = az_json_get(body, "signal");
	struct az_str name = az_json_str(j);
	int64_t n = 0;
	enum az_code rc;

	if (az_str_eqc(name, "SIGNAL_SIGKILL"))
		n = SIGKILL;
	else if (az_str_eqc(name, "SIGNAL_SIGTERM"))
		n = SIGTERM;
	else if (!az_json_i64(j, 1, 64, &n) || (n != SIGKILL && n != SIGTERM))
		return az_fail(err, AZ_EUNSUPPORTED, "box.signal", "signal %.*s",
		    AZ_FMT(az_str_sub(name, 0, 60)));
	pthread_mutex_lock(&b->mu);
	rc = link_send_u32(b, p->id, AW_SIGNAL, (uint32_t)n);
	pthread_mutex_unlock(&b->mu);
	return rc ? gone(err, "box.signal") : AZ_OK;
}

static enum az_code
act_update(struct box *b, struct proc *p, const struct az_json *body, struct az_err *err)
{
	const struct az_json *size = az_json_get(az_json_get(body, "pty"), "size");
	unsigned char c[4];
	enum az_code rc;

	if (!p->pty || !size)
		return az_fail(err, AZ_EINVAL, "box.update", "no pty to resize");
	aw_store(c, (uint64_t)az_json_geti(size, "cols", 80), 2);
	aw_store(c + 2, (uint64_t)az_json_geti(size, "rows", 24), 2);
	pthread_mutex_lock(&b->mu);
	rc = link_send(b, p->id, AW_RESIZE, az_str_n(c, 4), (struct az_str){0}, false, err);
	pthread_mutex_unlock(&b->mu);
	return rc;
}

enum az_code
process_input(struct az_rq *rq, void *app, struct az_err *err)
{
	return on_proc(rq, app, act_input, err);
}

enum az_code
process_close_stdin(struct az_rq *rq, void *app, struct az_err *err)
{
	return on_proc(rq, app, act_close, err);
}

enum az_code
process_signal(struct az_rq *rq, void *app, struct az_err *err)
{
	return on_proc(rq, app, act_signal, err);
}

enum az_code
process_update(struct az_rq *rq, void *app, struct az_err *err)
{
	return on_proc(rq, app, act_update, err);
}

/* One message of a client stream. */
static enum az_code
stream_message(struct box *b, struct proc **p, struct az_str text, struct az_err *err)
{
	struct az_json *j = NULL;
	const struct az_json *m;
	enum az_code rc = az_json_parse(text, &connect_limits, &j, err);

	if (rc)
		return rc;
	if ((m = az_json_get(j, "start"))) {
		if (*p)
			rc = az_fail(err, AZ_EINVAL, "box.input", "started twice");
		else
			rc = select_proc(b, az_json_get(m, "process"), false, p, err);
	} else if ((m = az_json_get(j, "data"))) {
		if (!*p)
			rc = az_fail(err, AZ_EINVAL, "box.input", "data before start");
		else
			rc = input_of(b, *p, az_json_get(m, "input"), err);
	}
	az_json_free(j);
	return rc;
}

enum az_code
process_stream_input(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;
	struct proc *p = NULL;
	struct az_buf in;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_stream(rq, &stop, err)) || stop)
		return rc;
	az_buf_init(&in, CONNECT_MAX + AZ_KIB(64));
	for (;;) {
		char chunk[16384];
		struct az_str text;
		unsigned flags;
		size_t got = 0, used;
		int k;

		while (!rc && (k = envelope_next(az_buf_str(&in), &flags, &text, &used)) != 0) {
			if (k < 0)
				rc = az_fail(&e, AZ_EINVAL, "box.input", "bad envelope");
			else if (!(flags & 2))
				rc = stream_message(b, &p, text, &e);
			if (k > 0)
				az_buf_shift(&in, used);
		}
		if (!rc)
			rc = az_rq_read(rq, chunk, sizeof chunk, &got, &e);
		if (rc || !got)
			break;
		az_buf_add(&in, chunk, got);
		rc = az_buf_check(&in, "box.input", &e);
	}
	if (!rc && in.n)
		rc = az_fail(&e, AZ_EINVAL, "box.input", "truncated envelope");
	az_buf_release(&in);
	if (p)
		proc_unref(b, p);
	if (rc)
		return stream_end(rq, &e, err);
	rc = stream_send(rq, AZ_S("{}"), err);
	return rc ? rc : stream_end(rq, NULL, err);
}

enum az_code
envd_none(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop)
		return rc;
	az_fail(&e, AZ_EUNSUPPORTED, "box.rpc", "%.*s is not offered by this server",
	    AZ_FMT(az_str_sub(az_rq_path(rq), 1, 100)));
	return connect_fail(rq, &e);
}
