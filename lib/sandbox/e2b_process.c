/*
 * Commands: the Start stream and what may go wrong with it.
 *
 * A command ends in one of four ways (az_run_end) or the call fails. The stream is
 * watched by three timers: silence (the service pings twice as often), our own
 * deadline, and the service's, which it is sent. When the stream breaks while the
 * sandbox lives, the command is still running there: it is found again by its tag once.
 * A tag has at most one command: what may have been started already is looked for first.
 */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "e2b_process.h"

static const struct az_json_limits event_limits = {E2B_FRAME_BYTES, 16, 10000};

static const struct az_json *
get2(const struct az_json *j, const char *camel, const char *snake)
{
	const struct az_json *v = az_json_get(j, camel);

	return v ? v : az_json_get(j, snake);
}

bool
e2b_json_i64(const struct az_json *j, int64_t *out)
{
	if (az_json_is_str(j))
		return az_str_to_i64(az_json_str(j), INT64_MIN, INT64_MAX, out);
	return az_json_i64(j, INT64_MIN, INT64_MAX, out);
}

static void
copy_line(char *to, size_t n, struct az_str from)
{
	size_t i, k = from.n < n - 1 ? from.n : n - 1;

	for (i = 0; i < k; i++)
		to[i] = (unsigned char)from.p[i] < ' ' ? ' ' : from.p[i];
	to[k] = '\0';
}

static enum az_code
on_end(struct run *run, const struct az_json *end)
{
	struct az_sb_result *r = run->result;
	struct az_str status = az_json_gets(end, "status");
	struct az_str error = az_json_gets(end, "error");
	int64_t code = 0; /* zero values are left out */

	run->have_end = true;
	if (!e2b_json_i64(get2(end, "exitCode", "exit_code"), &code) || code < -1 || code > 0xffff)
		code = get2(end, "exitCode", "exit_code") ? -1 : 0;
	copy_line(r->status, sizeof r->status, status);
	/* the plain repetition "exit status 3" explains nothing */
	if (!az_str_eq(error, status))
		copy_line(r->error, sizeof r->error, error);
	r->exit_code = (int)code;
	if (az_str_starts(error, AZ_S("timed out")))
		r->end = AZ_END_TIMEOUT;
	else if (az_json_getb(end, "exited", false) ||
		 (code >= 0 && !az_str_starts(status, AZ_S("signal"))))
		r->end = AZ_END_EXITED;
	else
		r->end = AZ_END_SIGNALLED;
	if (r->end != AZ_END_EXITED)
		r->exit_code = -1;
	return AZ_OK;
}

static enum az_code
on_data(struct run *run, const struct az_json *data, struct az_err *err)
{
	static const struct {
		const char *name;
		int stream;
	} names[] = {{"stdout", 1}, {"stderr", 2}, {"pty", 1}};
	enum az_code rc;
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct az_str b64 = az_json_gets(data, names[i].name);

		if (!b64.n)
			continue;
		az_buf_reset(&run->raw);
		if (!az_base64_decode(&run->raw, b64))
			return az_fail(
			    err, AZ_EUPSTREAM, "sandbox.run", "output that is not base64");
		if ((rc = az_buf_check(&run->raw, "sandbox.run", err)) != AZ_OK)
			return rc;
		if (!run->cmd->output || !run->raw.n)
			continue;
		rc = run->cmd->output(run->cmd->arg, names[i].stream, az_buf_str(&run->raw), err);
		if (rc != AZ_OK) {
			run->refused = true;
			return rc;
		}
	}
	return AZ_OK;
}

static enum az_code
on_frame(void *arg, bool end, struct az_str payload, struct az_err *err)
{
	struct run *run = arg;
	struct az_json *j = NULL;
	const struct az_json *ev, *v;
	enum az_code rc;

	if (az_json_parse(payload, &event_limits, &j, NULL) != AZ_OK) {
		rc = az_fail(err, AZ_EUPSTREAM, "sandbox.run", "a frame that is not JSON");
		goto out;
	}
	rc = AZ_OK;
	if (end) {
		if ((v = az_json_get(j, "error")) && az_json_type(v) == AZ_JOBJ) {
			run->end_error = true;
			run->end_code = e2b_rpc_fail(az_json_gets(v, "code"),
			    az_json_gets(v, "message"), "sandbox.run", &run->end_err);
		}
		goto out;
	}
	ev = az_json_get(j, "event");
	if ((v = az_json_get(ev, "start"))) {
		if (!e2b_json_i64(az_json_get(v, "pid"), &run->pid) || run->pid <= 0) {
			rc = az_fail(
			    err, AZ_EUPSTREAM, "sandbox.run", "a start without a process id");
			goto out;
		}
		run->started = true;
		rc = e2b_stdin_start(run, err);
	} else if ((v = az_json_get(ev, "data"))) {
		rc = run->started
			 ? on_data(run, v, err)
			 : az_fail(err, AZ_EUPSTREAM, "sandbox.run", "output before the start");
	} else if ((v = az_json_get(ev, "end"))) {
		rc = run->started
			 ? on_end(run, v)
			 : az_fail(err, AZ_EUPSTREAM, "sandbox.run", "an end before the start");
	}
out:
	az_json_free(j);
	return rc;
}

/* Only a real stream is read as one; anything else is kept to be explained. */
static enum az_code
on_bytes(void *arg, struct az_str chunk, struct az_err *err)
{
	struct run *run = arg;

	if (!run->typed) {
		struct az_str type = az_http_header(&run->resp, "content-type");
		struct az_str name = az_str_trim(type), part;

		az_str_cut(&name, ';', &part);
		run->typed = true;
		run->is_stream = az_str_ieq(az_str_trim(part), AZ_S("application/connect+json"));
	}
	if (run->is_stream) {
		enum az_code rc = e2b_frames_push(&run->frames, chunk, err);

		run->broken |= rc != AZ_OK;
		return rc;
	}
	if (run->other.n < AZ_KIB(64))
		az_buf_adds(&run->other, az_str_sub(chunk, 0, AZ_KIB(64) - run->other.n));
	return AZ_OK;
}

static bool
on_wait(void *arg)
{
	struct run *run = arg;

	if ((run->cmd->cancelled && run->cmd->cancelled(run->cmd->arg)) || e2b_stopped(run->e))
		run->cancelled = true;
	if (az_boot_ms() >= run->deadline)
		run->timed_out = true;
	if (run->cancelled || run->timed_out)
		return true;
	e2b_lease_keep(run->e, run->ref, &run->look_ms);
	return false;
}

/* Is the name of env[i] set again later? Then the later one wins. */
static bool
set_again(const char *const *env, size_t i, size_t name_n)
{
	size_t k;

	for (k = i + 1; env[k]; k++)
		if (strncmp(env[k], env[i], name_n + 1) == 0)
			return true;
	return false;
}

static void
start_body(struct az_buf *b, const struct run *run)
{
	const struct az_sb_cmd *c = run->cmd;
	struct az_jw w;
	size_t i;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_key(&w, "process");
	az_jw_obj(&w);
	az_jw_kc(&w, "cmd", run->bare ? c->argv[0] : "/bin/sh");
	az_jw_key(&w, "args");
	az_jw_arr(&w);
	if (!run->bare)
		e2b_session_args(&w, c->argv);
	for (i = 1; run->bare && c->argv[i]; i++)
		az_jw_cstr(&w, c->argv[i]);
	az_jw_end(&w, ']');
	az_jw_key(&w, "envs");
	az_jw_obj(&w);
	for (i = 0; c->env && c->env[i]; i++) {
		const char *eq = strchr(c->env[i], '=');

		if (!eq || eq == c->env[i] || set_again(c->env, i, (size_t)(eq - c->env[i])))
			continue;
		az_jw_keys(&w, az_str_n(c->env[i], (size_t)(eq - c->env[i])));
		az_jw_cstr(&w, eq + 1);
	}
	az_jw_end(&w, '}');
	if (c->cwd)
		az_jw_kc(&w, "cwd", c->cwd);
	az_jw_end(&w, '}');
	az_jw_kc(&w, "tag", run->tag);
	if (c->pty) { /* which is its standard input */
		az_jw_key(&w, "pty");
		e2b_pty_size(&w, c->pty);
	} else {
		az_jw_kb(&w, "stdin", c->stdin_bytes.p || c->input);
	}
	az_jw_end(&w, '}');
}

static void
connect_body(struct az_buf *b, const struct run *run)
{
	struct az_jw w;

	az_jw_init(&w, b);
	az_jw_obj(&w);
	e2b_selector(&w, run->pid, run->tag);
	az_jw_end(&w, '}');
}

/* One stream, Start or Connect, until it ends in whatever way. */
static enum az_code
stream(struct run *run, const char *method, struct az_err *err)
{
	struct az_buf url, json, body;
	struct e2b_head h;
	char ping[48], limit[48];
	int64_t left = run->deadline - run->e->grace_ms - az_boot_ms();
	enum az_code rc;

	az_buf_init(&url, 4096);
	az_buf_init(&json, AZ_MIB(2));
	az_buf_init(&body, AZ_MIB(2) + 5);
	az_http_resp_release(&run->resp);
	run->resp = (struct az_http_resp){0};
	e2b_frames_release(&run->frames);
	e2b_frames_init(&run->frames, E2B_FRAME_BYTES, on_frame, run);
	az_buf_reset(&run->other);
	run->typed = run->is_stream = run->started = run->end_error = false;

	e2b_envd_url(run->e, run->ref, &url);
	az_buf_addf(&url, "/process.Process/%s", method);
	if (strcmp(method, "Start") == 0)
		start_body(&json, run);
	else
		connect_body(&json, run);
	if ((rc = az_buf_check(&json, "sandbox.run", err)) != AZ_OK)
		goto out;
	e2b_frame_wrap(&body, az_buf_str(&json));
	if ((rc = az_buf_check(&url, "sandbox.run", err)) != AZ_OK ||
	    (rc = az_buf_check(&body, "sandbox.run", err)) != AZ_OK ||
	    (rc = e2b_head_init(&h, run->ref, run->cmd->user, err)) != AZ_OK)
		goto out;
	snprintf(ping, sizeof ping, "Keepalive-Ping-Interval: %d", E2B_KEEPALIVE_S);
	snprintf(limit, sizeof limit, "Connect-Timeout-Ms: %lld", (long long)(left > 1 ? left : 1));
	e2b_head_add(&h, "Content-Type: application/connect+json");
	e2b_head_add(&h, "Accept-Encoding: identity");
	e2b_head_add(&h, "Connect-Protocol-Version: 1");
	e2b_head_add(&h, "Connect-Accept-Encoding: identity");
	e2b_head_add(&h, ping);
	e2b_head_add(&h, limit);
	rc = az_http_call(run->e->http,
	    &(struct az_http_req){.method = "POST",
		.url = url.p,
		.headers = h.line,
		.body = az_buf_str(&body),
		.data = on_bytes,
		.cancelled = on_wait,
		.arg = run,
		.idle_ms = run->e->idle_ms},
	    &run->resp, err);
out:
	az_buf_release(&url);
	az_buf_release(&json);
	az_buf_release(&body);
	return rc;
}

/* A reply with 200 that is no stream: what is it then? */
static enum az_code
not_a_stream(const struct run *run, struct az_err *err)
{
	struct az_http_resp r = {.status = 502, .body = run->other};
	struct az_json *j = NULL;
	int64_t code = 0;
	enum az_code rc;

	if (az_json_parse(az_buf_str(&run->other), &event_limits, &j, NULL) == AZ_OK &&
	    az_json_i64(az_json_get(j, "code"), 400, 599, &code))
		r.status = (int)code;
	az_json_free(j);
	if (code)
		return e2b_envd_fail(&r, "sandbox.run", err);
	rc = az_fail(err, AZ_EUPSTREAM, "sandbox.run", "the answer is not a stream");
	return rc;
}

enum verdict { DONE, CUT }; /* CUT: it may still be running */

/* What the stream that just ended (with rc) means. */
static enum verdict
judge(struct run *run, enum az_code rc, enum az_code *out, struct az_err *err)
{
	struct az_sb_result *r = run->result;

	*out = AZ_OK;
	if (run->have_end && !run->end_error) {
		/* also when the connection dropped after it: the result is known */
		if (r->end == AZ_END_TIMEOUT)
			e2b_put_down(run);
		return DONE;
	}
	if (run->cancelled || run->timed_out) {
		r->end = run->cancelled ? AZ_END_CANCELLED : AZ_END_TIMEOUT;
		snprintf(r->status, sizeof r->status, "signal: killed");
		e2b_put_down(run);
		return DONE;
	}
	if (run->refused || run->broken) {
		e2b_put_down(run);
		*out = rc;
		return DONE;
	}
	if (run->end_error) {
		if (run->end_code == AZ_ETIMEOUT) {
			r->end = AZ_END_TIMEOUT;
			snprintf(r->status, sizeof r->status, "deadline exceeded");
			e2b_put_down(run);
			return DONE;
		}
		*err = run->end_err;
		*out = run->end_code;
		/* its service lost it; with the sandbox, or without */
		return run->end_code == AZ_EUNAVAIL ? CUT : DONE;
	}
	if (rc == AZ_OK && run->resp.status != 200) {
		*out = e2b_envd_fail(&run->resp, "sandbox.run", err);
		return DONE;
	}
	if (rc == AZ_OK && !run->is_stream) {
		*out = not_a_stream(run, err);
		return DONE;
	}
	if (rc == AZ_OK && run->frames.ended) {
		*out =
		    az_fail(err, AZ_EUPSTREAM, "sandbox.run", "the command ended without a result");
		return DONE;
	}
	if (rc == AZ_OK)
		rc = e2b_frames_done(&run->frames, err);
	*out = rc;
	return e2b_transport(rc) ? CUT : DONE;
}

/* The command of this tag is not there. */
static bool
absent(enum az_code rc, const struct az_err *err)
{
	return rc == AZ_ENOTFOUND && !az_sandbox_is_gone(err);
}

/* The stream was cut. If the sandbox lives the command may still run: attach to it
   once more. What it printed meanwhile is lost, its end is kept for a while. */
static enum az_code
resume(struct run *run, struct az_err *err)
{
	bool lives = false;
	enum az_code rc = e2b_explain(run->e, run->ref, "sandbox.run", &lives, err);

	if (!lives)
		return rc;
	run->again = true;
	rc = stream(run, "Connect", err);
	if (judge(run, rc, &rc, err) == CUT)
		return e2b_explain(run->e, run->ref, "sandbox.run", NULL, err);
	if (absent(rc, err) && run->pid == 0) {
		/* the request never came through: nothing was started */
		run->again = run->earlier = false;
		rc = stream(run, "Start", err);
		if (judge(run, rc, &rc, err) == CUT)
			return e2b_explain(run->e, run->ref, "sandbox.run", NULL, err);
	} else if (absent(rc, err)) {
		rc = az_fail(err, AZ_EUNAVAIL, "sandbox.run",
		    "the connection was cut and the command's result is lost");
		az_err_reason(err, E2B_AWAY);
	}
	return rc;
}

/* Start it, or take up what an earlier try started. */
static enum az_code
begin(struct run *run, struct az_err *err)
{
	enum az_code rc;

	if (run->cmd->maybe_started) {
		run->again = run->earlier = true;
		rc = stream(run, "Connect", err);
		if (judge(run, rc, &rc, err) == CUT)
			return resume(run, err);
		if (!absent(rc, err))
			return rc;
		run->again = run->earlier = false;
	}
	rc = stream(run, "Start", err);
	return judge(run, rc, &rc, err) == CUT ? resume(run, err) : rc;
}

enum az_code
e2b_run(struct az_sandbox *s, const struct az_box_ref *ref, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err)
{
	return e2b_run_as(e2b_of(s), ref, c, e2b_of(s)->kills_trees, r, err);
}

enum az_code
e2b_run_as(struct e2b *e, const struct az_box_ref *ref, const struct az_sb_cmd *c, bool bare,
    struct az_sb_result *r, struct az_err *err)
{
	/* who has a terminal leads a session already */
	struct run run = {.e = e, .ref = ref, .cmd = c, .result = r, .bare = bare || c->pty};
	int64_t t0 = az_boot_ms();
	struct az_err own = AZ_ERR_INIT;
	struct az_buf tag;
	enum az_code rc;

	if (!err)
		err = &own;
	if (c->tag && strlen(c->tag) >= sizeof run.tag)
		return az_fail(err, AZ_EINVAL, "sandbox.run", "tag too long");
	az_buf_init(&tag, sizeof run.tag);
	if (c->tag) {
		az_buf_addc(&tag, c->tag);
	} else { /* without a tag a lost stream could not be found again */
		az_buf_addc(&tag, "azlon-");
		az_random_id(&tag, 20);
	}
	if ((rc = az_buf_check(&tag, "sandbox.run", err)) != AZ_OK) {
		az_buf_release(&tag);
		return rc;
	}
	memcpy(run.tag, tag.p, tag.n + 1);
	az_buf_release(&tag);
	run.deadline = t0 + (int64_t)c->timeout_s * 1000 + run.e->grace_ms;
	az_buf_init(&run.raw, E2B_FRAME_BYTES);
	az_buf_init(&run.other, AZ_KIB(64));

	rc = begin(&run, err);
	e2b_stdin_stop(&run);
	if (rc == AZ_ENOTFOUND)
		e2b_cause(e, ref->id, err);
	if (rc == AZ_OK && run.again && !*r->error)
		snprintf(r->error, sizeof r->error,
		    "the connection was cut for a moment; output may be missing");
	r->ms = az_boot_ms() - t0;
	e2b_frames_release(&run.frames);
	az_http_resp_release(&run.resp);
	az_buf_release(&run.raw);
	az_buf_release(&run.other);
	return rc;
}
