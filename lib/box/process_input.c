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
	enum az_code rc = AZ_OK;

	(void)body;
	if (p->pty)
		return az_fail(err, AZ_EPRECOND, "box.input",
		    "the input of a terminal cannot be closed; send Ctrl+D (0x04)");
	pthread_mutex_lock(&b->mu);
	if (p->has_stdin) /* closing twice is closing once */
		rc = link_send(
		    b, p->id, AW_STDIN_END, (struct az_str){0}, (struct az_str){0}, false, err);
	p->has_stdin = false;
	pthread_cond_broadcast(&p->cond);
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

/* Take in whole messages from the front of *in. */
static enum az_code
take(struct box *b, struct proc **p, struct az_buf *in, struct az_err *err)
{
	struct az_str text;
	unsigned flags;
	size_t used;
	enum az_code rc = AZ_OK;
	int got = 0;

	while (!rc && (got = envelope_next(az_buf_str(in), &flags, &text, &used)) == 1) {
		if (!(flags & 2))
			rc = stream_message(b, p, text, err);
		az_buf_shift(in, used);
	}
	return rc || !got ? rc : envelope_fail(got, err);
}

/* The client is silent: is there anything left to be silent about? *over: the program
   has ended, so whatever would come is for nobody. */
static enum az_code
silence(struct az_rq *rq, struct box *b, const struct proc *p, int64_t deadline, bool *over,
    struct az_err *err)
{
	enum az_code rc = AZ_OK;

	if (deadline >= 0 && az_boot_ms() >= deadline)
		return az_fail(err, AZ_ETIMEOUT, "box.input", "context deadline exceeded");
	if (az_web_stopping(rq))
		return az_fail(err, AZ_EUNAVAIL, "box.input", "the server stops");
	pthread_mutex_lock(&b->mu);
	if (box_away(b))
		rc = away(b, "box.input", err);
	*over = p && p->ended;
	pthread_mutex_unlock(&b->mu);
	return rc;
}

/* Messages as they come, until the client ends its stream. */
static enum az_code
feed(struct az_rq *rq, struct box *b, struct proc **p, int64_t deadline, struct az_err *err)
{
	char chunk[16384];
	struct az_buf in;
	bool over = false;
	size_t got;
	enum az_code rc = AZ_OK;

	az_buf_init(&in, CONNECT_MAX + AZ_KIB(64));
	while (!rc && !over) {
		int64_t wait = deadline < 0 ? LOOK_MS : deadline - az_boot_ms();

		rc = az_rq_read_some(rq, chunk, sizeof chunk,
		    (int)(wait < 0         ? 0
			  : wait < LOOK_MS ? wait
					   : LOOK_MS),
		    &got, err);
		if (rc == AZ_ETIMEOUT) {
			rc = silence(rq, b, *p, deadline, &over, err);
			continue;
		}
		if (rc || !got)
			break;
		az_buf_add(&in, chunk, got);
		if (!(rc = az_buf_check(&in, "box.input", err)))
			rc = take(b, p, &in, err);
	}
	if (!rc && !over && in.n)
		rc = envelope_fail(0, err);
	az_buf_release(&in);
	return rc;
}

enum az_code
process_stream_input(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_err e = AZ_ERR_INIT;
	struct proc *p = NULL;
	int64_t ms = 0;
	struct box *b;
	bool stop;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_stream(rq, &stop, err)) || stop)
		return rc;
	if (!(rc = connect_timeout(rq, &ms, &e)))
		rc = feed(rq, b, &p, ms ? az_boot_ms() + ms : -1, &e);
	if (p)
		proc_unref(b, p);
	if (rc)
		return stream_end(rq, &e, err);
	rc = stream_send(rq, AZ_S("{}"), err);
	return rc ? rc : stream_end(rq, NULL, err);
}
