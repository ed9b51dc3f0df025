/* What callers ask of a run: start, signal, cancel, terminate, remove. */
#include "local.h"

enum az_code
head_get(struct conn *c, struct op *op, const char *id, struct run_head *h)
{
	sqlite3_stmt *st;
	int rc = sql_step(c, Q_RUN_HEAD, &st, "s", az_str_c(id));

	*h = (struct run_head){0};
	if (rc == SQLITE_DONE) {
		sql_end(st);
		return az_fail(&op->err, AZ_ENOTFOUND, "engine.run", "no run %s", id);
	}
	if (rc != SQLITE_ROW)
		return op_sql(op, c, rc, "engine.run");
	h->n = sql_i64(st, 0);
	h->state = (enum az_run_state)sql_i64(st, 1);
	h->last_event = sql_i64(st, 2);
	h->start_ms = sql_i64(st, 3);
	sql_end(st);
	return AZ_OK;
}

static enum az_code
head_open(struct conn *c, struct op *op, struct run_head *h)
{
	enum az_code rc = head_get(c, op, op->id, h);

	if (!rc && h->state != AZ_RUN_OPEN)
		rc = az_fail(&op->err, AZ_ECONFLICT, "engine.run", "the run is over");
	return rc;
}

static enum az_code
append(struct conn *c, struct op *op, int64_t run, const struct az_event *ev)
{
	enum az_code rc = event_add(c, run, ev, &op->err);

	op->sql = rc != AZ_OK;
	return rc;
}

enum az_code
append_apply(struct conn *c, struct op *op, const char *id, struct az_event *ev)
{
	struct run_head h;
	enum az_code code = head_get(c, op, id, &h);
	int rc;

	if (code)
		return code;
	ev->id = h.last_event + 1;
	ev->t_ms = az_wall_ms();
	code = append(c, op, h.n, ev);
	if (code)
		return code;
	rc = sql_do(
	    c, Q_RUN_PUT, "iiiii", h.n, (int64_t)AZ_RUN_OPEN, (int64_t)0, ev->id, (int64_t)1);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.append");
	op->touched = true;
	return AZ_OK;
}

static enum az_code
do_all(struct op *op, struct conn *c, const enum query *q, size_t n, int64_t run)
{
	for (size_t i = 0; i < n; i++) {
		int rc = sql_do(c, q[i], "i", run);

		if (rc != SQLITE_DONE)
			return op_sql(op, c, rc, "engine.run");
	}
	return AZ_OK;
}

enum az_code
renew_apply(struct conn *c, struct op *op, const struct run_head *h, const struct az_event *started)
{
	static const enum query q[] = {Q_TASKS_DEL, Q_TIMERS_DEL, Q_EVENTS_DEL};
	int64_t start_ms = started->t_ms > h->start_ms ? started->t_ms : h->start_ms + 1;
	struct az_event ev = *started;
	enum az_code code;
	int rc;

	ev.id = 1;
	if ((code = do_all(op, c, q, 3, h->n)) || (code = append(c, op, h->n, &ev)))
		return code;
	rc = sql_do(c, Q_RUN_RENEW, "ii", h->n, start_ms);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.run");
	op->touched = true;
	return AZ_OK;
}

/* ---- start ---- */

struct start_op {
	struct op op;
	const struct az_start *s;
	bool existed;
};

static enum az_code
start_apply(struct local *e, struct conn *c, struct op *op)
{
	struct start_op *o = (struct start_op *)op;
	int64_t now = az_wall_ms();
	struct az_event ev = {.type = AZ_EV_STARTED, .id = 1, .t_ms = now};
	enum az_code code;
	int rc;

	(void)e;
	o->existed = false;
	rc = sql_do(c, Q_RUN_ADD, "ssssi", o->s->workflow_id, o->s->uid, az_str_c(o->s->type),
	    o->s->memo, now);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.start");
	if (sqlite3_changes(c->db) == 0) {
		o->existed = true;
		return AZ_OK;
	}
	ev.name = az_str_c(o->s->type);
	ev.payload = o->s->input;
	code = append(c, op, sqlite3_last_insert_rowid(c->db), &ev);
	op->touched = code == AZ_OK;
	return code;
}

enum az_code
local_start(struct az_engine *eng, const struct az_start *s, bool *existed, struct az_err *err)
{
	struct start_op o = {.s = s};
	enum az_code rc;

	op_init(&o.op, s->workflow_id, start_apply);
	rc = op_run((struct local *)eng, &o.op, err);
	*existed = o.existed;
	return rc;
}

/* ---- signal, cancel ---- */

struct tell_op {
	struct op op;
	enum az_ev_type type;
	struct az_str name, payload;
};

/* Each thing that a run is told is a fold of all it was told before. */
static enum az_code
too_long(struct op *op)
{
	az_fail(&op->err, AZ_EQUOTA, "engine.tell",
	    "the run has %d events, after which it is told nothing more", LOCAL_TOLD_MAX);
	return az_err_reason(&op->err, "too_many_signals");
}

/* Was it cancelled before, and, *yes, in just these words? */
static enum az_code
told(struct conn *c, struct tell_op *o, int64_t run, bool *before, bool *yes)
{
	sqlite3_stmt *st;
	int rc = sql_step(c, Q_LAST_CANCEL, &st, "i", run);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return op_sql(&o->op, c, rc, "engine.cancel");
	*before = rc == SQLITE_ROW;
	*yes = *before && az_str_eq(sql_str(st, 0), o->payload);
	sql_end(st);
	return AZ_OK;
}

static enum az_code
tell_apply(struct local *e, struct conn *c, struct op *op)
{
	struct tell_op *o = (struct tell_op *)op;
	struct az_event ev = {.type = o->type, .name = o->name, .payload = o->payload};
	struct run_head h;
	bool before = true, yes = false;
	enum az_code rc = head_open(c, op, &h);

	(void)e;
	if (!rc && o->type == AZ_EV_CANCEL_REQUESTED)
		rc = told(c, o, h.n, &before, &yes);
	if (rc || yes)
		return rc;
	if (before && h.last_event >= LOCAL_TOLD_MAX)
		return too_long(op);
	return append_apply(c, op, op->id, &ev);
}

static enum az_code
tell(struct az_engine *eng, struct az_str id, enum az_ev_type type, struct az_str name,
    struct az_str payload, struct az_err *err)
{
	struct tell_op o = {.type = type, .name = name, .payload = payload};

	op_init(&o.op, id, tell_apply);
	return op_run((struct local *)eng, &o.op, err);
}

enum az_code
local_signal(struct az_engine *eng, struct az_str id, const char *name, struct az_str payload,
    struct az_err *err)
{
	return tell(eng, id, AZ_EV_SIGNALED, az_str_c(name), payload, err);
}

enum az_code
local_cancel(struct az_engine *eng, struct az_str id, struct az_str payload, struct az_err *err)
{
	return tell(eng, id, AZ_EV_CANCEL_REQUESTED, AZ_S(""), payload, err);
}

/* ---- signal, with a start before if there is none to tell ---- */

struct signal_start_op {
	struct start_op start; /* its op is ours */
	struct az_event signal;
};

static enum az_code
start_again(struct conn *c, struct op *op, const struct az_start *s, const struct run_head *h)
{
	struct az_event ev = {.type = AZ_EV_STARTED,
	    .t_ms = az_wall_ms(),
	    .name = az_str_c(s->type),
	    .payload = s->input};
	int rc = sql_do(c, Q_RUN_OWNER, "isss", h->n, s->uid, az_str_c(s->type), s->memo);

	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.start");
	return renew_apply(c, op, h, &ev);
}

static enum az_code
signal_start_apply(struct local *e, struct conn *c, struct op *op)
{
	struct signal_start_op *o = (struct signal_start_op *)op;
	struct run_head h;
	enum az_code rc = start_apply(e, c, op);

	if (!rc && o->start.existed) {
		rc = head_get(c, op, op->id, &h);
		if (!rc && h.state != AZ_RUN_OPEN)
			rc = start_again(c, op, o->start.s, &h);
	}
	return rc ? rc : append_apply(c, op, op->id, &o->signal);
}

enum az_code
local_signal_start(struct az_engine *eng, const struct az_start *s, const char *name,
    struct az_str payload, struct az_err *err)
{
	struct signal_start_op o = {.start = {.s = s},
	    .signal = {.type = AZ_EV_SIGNALED, .name = az_str_c(name), .payload = payload}};

	op_init(&o.start.op, s->workflow_id, signal_start_apply);
	return op_run((struct local *)eng, &o.start.op, err);
}

/* ---- terminate, remove ---- */

struct end_op {
	struct op op;
	struct az_str reason;
};

static enum az_code
terminate_apply(struct local *e, struct conn *c, struct op *op)
{
	static const enum query q[] = {Q_TASKS_DEL, Q_TIMERS_DEL};
	struct end_op *o = (struct end_op *)op;
	struct az_event ev = {.type = AZ_EV_TERMINATED, .reason = o->reason, .t_ms = az_wall_ms()};
	struct run_head h;
	enum az_code code = head_open(c, op, &h);
	int rc;

	(void)e;
	if (code)
		return code;
	ev.id = h.last_event + 1;
	if ((code = append(c, op, h.n, &ev)) || (code = do_all(op, c, q, 2, h.n)))
		return code;
	rc = sql_do(
	    c, Q_RUN_PUT, "iiiii", h.n, (int64_t)AZ_RUN_TERMINATED, ev.t_ms, ev.id, (int64_t)0);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.terminate");
	op->touched = true;
	return AZ_OK;
}

enum az_code
local_terminate(struct az_engine *eng, struct az_str id, const char *reason, struct az_err *err)
{
	struct end_op o = {.reason = az_str_c(reason)};

	op_init(&o.op, id, terminate_apply);
	return op_run((struct local *)eng, &o.op, err);
}

static enum az_code
remove_apply(struct local *e, struct conn *c, struct op *op)
{
	static const enum query q[] = {Q_EVENTS_DEL, Q_RUN_DEL};
	struct run_head h;
	enum az_code code = head_get(c, op, op->id, &h);

	(void)e;
	if (code)
		return code;
	if (h.state == AZ_RUN_OPEN)
		return az_fail(&op->err, AZ_ECONFLICT, "engine.remove", "the run is not over");
	op->touched = true;
	return do_all(op, c, q, 2, h.n);
}

enum az_code
local_remove(struct az_engine *eng, struct az_str id, struct az_err *err)
{
	struct op op;

	op_init(&op, id, remove_apply);
	return op_run((struct local *)eng, &op, err);
}
