/* process.Process: start, connect, list, signal; the rest is in process_*.c. */
#include "process.h"

#include <signal.h>
#include <azlon/crypto.h>

/* ---- selecting ---- */

enum az_code
process_select(
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
	    envd_user(rq, &e))
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
	return process_follow(rq, b, &f, err);
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
	    process_select(b, az_json_get(msg, "process"), true, &f.p, &e))
		return stream_end(rq, &e, err);
	if (f.timeout_ms)
		f.deadline = az_boot_ms() + f.timeout_ms;
	pthread_mutex_lock(&b->mu);
	proc_follow(b, f.p, &f.sub);
	pthread_mutex_unlock(&b->mu);
	return process_follow(rq, b, &f, err);
}

enum az_code
process_list(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct az_json *body;
	struct az_err e = AZ_ERR_INIT;
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
	if (az_buf_check(&out, "box.list", &e))
		rc = connect_fail(rq, &e);
	else
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

enum az_code
process_act(struct az_rq *rq, void *app, process_fn *act, struct az_err *err)
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
	if (process_select(b, az_json_get(body, "process"), false, &p, &e) || !p)
		return connect_fail(rq, &e);
	rc = act(b, p, body, &e);
	proc_unref(b, p);
	if (rc)
		return connect_fail(rq, &e);
	return az_rs_json(rq, 200, AZ_S("{}"), err);
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
	rc = link_send_u32(b, p->id, AW_SIGNAL, (uint32_t)n) ? gone(b, err, "box.signal") : AZ_OK;
	pthread_mutex_unlock(&b->mu);
	return rc;
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
process_signal(struct az_rq *rq, void *app, struct az_err *err)
{
	return process_act(rq, app, act_signal, err);
}

enum az_code
process_update(struct az_rq *rq, void *app, struct az_err *err)
{
	return process_act(rq, app, act_update, err);
}
