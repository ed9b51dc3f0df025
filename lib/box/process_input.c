/* SendInput, StreamInput and CloseStdin: what a client feeds a command. */
#include "process.h"

#include <azlon/crypto.h>

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

enum az_code
process_input(struct az_rq *rq, void *app, struct az_err *err)
{
	return process_act(rq, app, act_input, err);
}

enum az_code
process_close_stdin(struct az_rq *rq, void *app, struct az_err *err)
{
	return process_act(rq, app, act_close, err);
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
			rc = process_select(b, az_json_get(m, "process"), false, p, err);
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
