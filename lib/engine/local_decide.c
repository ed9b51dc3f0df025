/*
 * Deciding: read the whole history outside any lock, fold it, and commit the trigger
 * and what follows in one go, if the run has not moved on meanwhile. So the
 * write transaction stays short however long a fold takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include "local.h"

struct step {
	struct az_event ev;
	struct az_fn_opts opts;
	int64_t delay_ms;
};

struct decision {
	struct op op;
	struct az_arena *arena, *fold_arena;
	struct run_head head; /* as it was read */
	struct trigger t;
	struct step step[AZ_CMDS_MAX + 2];
	size_t n;
	enum az_run_state state;
	bool renew;      /* the one step is another start, all that was is dropped */
	bool fold_later; /* the fold is not ours to run */
};

static void
decision_free(struct decision *d)
{
	az_arena_free(d->arena);
	az_arena_free(d->fold_arena);
	free(d);
}

/* ---- inside the transaction ---- */

static enum az_code
fence(struct conn *c, struct decision *d)
{
	const struct trigger *t = &d->t;
	int rc = SQLITE_DONE;

	switch (t->fence) {
	case FENCE_HELD:
		rc = sql_do(
		    c, Q_TASK_TAKE, "iiii", d->head.n, t->ev.ref, (int64_t)t->attempt, t->token);
		break;
	case FENCE_FREE:
		rc = sql_do(c, Q_TASK_DROP_FREE, "iiii", d->head.n, t->ev.ref, (int64_t)t->attempt,
		    az_boot_ms());
		break;
	case FENCE_TIMER:
		/* one that is due: its number may be another's in a history begun anew */
		rc = sql_do(c, Q_TIMER_DEL, "iii", d->head.n, t->ev.ref, az_boot_ms());
		break;
	case FENCE_NONE:
		return AZ_OK;
	}
	if (rc != SQLITE_DONE)
		return op_sql(&d->op, c, rc, "engine.advance");
	if (sqlite3_changes(c->db) == 0)
		return az_fail(&d->op.err, AZ_EPRECOND, "engine.advance", "the lease is lost");
	return AZ_OK;
}

static int
add_task(struct conn *c, int64_t run, const struct step *s)
{
	const struct az_fn_opts *o = &s->opts;
	int64_t now = az_boot_ms(), wall = az_wall_ms();
	int64_t total = o->schedule_to_close_ms;
	int64_t initial = o->retry_initial_ms > 0 ? o->retry_initial_ms : 1000;

	return sql_do(c, Q_TASK_ADD, "iisiiiiiiiidi", run, s->ev.id, s->ev.name, now, wall,
	    total > 0 ? now + total : LOCAL_NEVER, total > 0 ? wall + total : 0,
	    o->start_to_close_ms, o->heartbeat_ms, initial,
	    o->retry_max_ms > 0 ? o->retry_max_ms : initial * 100,
	    o->retry_coefficient >= 1 ? o->retry_coefficient : 2.0, (int64_t)o->retry_attempts);
}

/* A task that nobody runs is cancelled at once; *idle says so. */
static int
cancel_task(struct conn *c, int64_t run, int64_t ref, bool *idle)
{
	int rc = sql_do(c, Q_TASK_DROP_IDLE, "ii", run, ref);

	*idle = rc == SQLITE_DONE && sqlite3_changes(c->db) > 0;
	if (rc == SQLITE_DONE && !*idle)
		rc = sql_do(c, Q_TASK_CANCEL, "ii", run, ref);
	return rc;
}

static enum az_code
decision_apply(struct local *e, struct conn *c, struct op *op)
{
	struct decision *d = (struct decision *)op;
	struct az_event canceled[AZ_CMDS_MAX];
	size_t n_canceled = 0;
	struct run_head now;
	int64_t run, last;
	enum az_code code = head_get(c, op, op->id, &now);
	int rc = SQLITE_DONE;

	(void)e;
	if (code == AZ_ENOTFOUND || (!code && (now.state != AZ_RUN_OPEN || now.n != d->head.n ||
						  now.start_ms != d->head.start_ms)))
		return az_fail(&op->err, AZ_EPRECOND, "engine.advance", "the run is over");
	if (!code && now.last_event != d->head.last_event)
		return az_fail(&op->err, AZ_ECONFLICT, "engine.advance", "the run moved on");
	if (!code)
		code = fence(c, d);
	if (code)
		return code;
	if (d->renew)
		return renew_apply(c, op, &now, &d->step[d->n - 1].ev);
	run = now.n;
	last = now.last_event;
	for (size_t i = 0; i < d->n && rc == SQLITE_DONE; i++) {
		struct step *s = &d->step[i];
		bool idle = false;

		last = s->ev.id;
		code = event_add(c, run, &s->ev, &op->err);
		if (code) {
			op->sql = true;
			return code;
		}
		if (s->ev.type == AZ_EV_FN_SCHEDULED)
			rc = add_task(c, run, s);
		else if (s->ev.type == AZ_EV_TIMER_STARTED)
			rc = sql_do(c, Q_TIMER_ADD, "iiii", run, s->ev.id,
			    az_boot_ms() + s->delay_ms, az_wall_ms() + s->delay_ms);
		else if (s->ev.type == AZ_EV_FN_CANCEL_REQUESTED)
			rc = cancel_task(c, run, s->ev.ref, &idle);
		if (idle && n_canceled < AZ_CMDS_MAX)
			canceled[n_canceled++] = (struct az_event){
			    .type = AZ_EV_FN_CANCELED, .ref = s->ev.ref, .t_ms = s->ev.t_ms};
	}
	if (d->state != AZ_RUN_OPEN) {
		n_canceled = 0;
		if (rc == SQLITE_DONE)
			rc = sql_do(c, Q_TASKS_DEL, "i", run);
		if (rc == SQLITE_DONE)
			rc = sql_do(c, Q_TIMERS_DEL, "i", run);
	}
	for (size_t i = 0; i < n_canceled && rc == SQLITE_DONE; i++) {
		canceled[i].id = ++last;
		code = event_add(c, run, &canceled[i], &op->err);
		if (code) {
			op->sql = true;
			return code;
		}
	}
	if (rc == SQLITE_DONE)
		rc = sql_do(c, Q_RUN_PUT, "iiiii", run, (int64_t)d->state,
		    d->state == AZ_RUN_OPEN ? (int64_t)0 : d->step[d->n - 1].ev.t_ms, last,
		    (int64_t)(d->fold_later || n_canceled > 0));
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.advance");
	op->touched = true;
	return AZ_OK;
}

/* ---- outside ---- */

static struct step *
add(struct decision *d, int64_t now, enum az_ev_type type)
{
	struct step *s = &d->step[d->n];

	memset(s, 0, sizeof *s);
	s->ev.type = type;
	s->ev.id = d->head.last_event + 1 + (int64_t)d->n;
	s->ev.t_ms = now;
	d->n++;
	return s;
}

static void
fail_run(struct decision *d, int64_t now, const char *reason, const char *message)
{
	struct step *s;

	d->n = d->t.any ? 1 : 0; /* none of the commands */
	d->renew = false;
	s = add(d, now, AZ_EV_FAILED);
	s->ev.reason = az_str_c(az_arena_printf(d->arena, "%s", reason));
	s->ev.message = az_str_c(az_arena_printf(d->arena, "%s", message));
	d->state = AZ_RUN_FAILED;
}

static bool
scheduled(const struct az_history *h, int64_t ref)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->ev[i].id == ref)
			return h->ev[i].type == AZ_EV_FN_SCHEDULED;
	return false;
}

/* One command as an event; NULL or what is wrong with it. */
static const char *
command(struct decision *d, const struct az_history *h, const struct az_cmd *cmd, int64_t now)
{
	struct step *s;

	if (cmd->payload.n > AZ_LIM_PAYLOAD_BYTES)
		return "a payload is too large";
	switch (cmd->type) {
	case AZ_CMD_SCHEDULE_FN:
		if (!cmd->name.n || cmd->name.n > 100 || cmd->opts.start_to_close_ms <= 0)
			return "a function without name or timeout";
		s = add(d, now, AZ_EV_FN_SCHEDULED);
		s->ev.name = cmd->name;
		s->ev.payload = cmd->payload;
		s->opts = cmd->opts;
		return NULL;
	case AZ_CMD_CANCEL_FN:
		if (!scheduled(h, cmd->ref))
			return "cancels what was not scheduled";
		s = add(d, now, AZ_EV_FN_CANCEL_REQUESTED);
		s->ev.ref = cmd->ref;
		return NULL;
	case AZ_CMD_START_TIMER:
		s = add(d, now, AZ_EV_TIMER_STARTED);
		s->delay_ms = cmd->delay_ms > 0 ? cmd->delay_ms : 0;
		s->ev.payload = az_str_c(az_arena_printf(d->arena, "%lld", (long long)s->delay_ms));
		return NULL;
	case AZ_CMD_COMPLETE:
		s = add(d, now, AZ_EV_COMPLETED);
		d->state = AZ_RUN_COMPLETED;
		break;
	case AZ_CMD_FAIL:
		s = add(d, now, AZ_EV_FAILED);
		s->ev.reason = cmd->reason;
		s->ev.message = cmd->message;
		d->state = AZ_RUN_FAILED;
		break;
	case AZ_CMD_CANCELED:
		s = add(d, now, AZ_EV_CANCELED);
		d->state = AZ_RUN_CANCELED;
		break;
	case AZ_CMD_CONTINUE:
		s = add(d, now, AZ_EV_STARTED);
		s->ev.name = d->head.type;
		d->renew = true;
		break;
	default:
		return "an unknown command";
	}
	s->ev.payload = cmd->payload;
	return NULL;
}

static enum az_code
fold(struct local *e, struct decision *d, const struct az_workflow *wf, const struct az_history *h,
    int64_t now, struct az_err *err)
{
	/* a fold that wants more memory gets more, once */
	const size_t mem[] = {AZ_MIB(64), AZ_MIB(256)};
	struct az_cmds cmds;
	enum az_code rc = AZ_ENOMEM;
	struct az_err why = AZ_ERR_INIT;
	const char *wrong = NULL;
	struct fold_mark mark;

	for (size_t i = 0; i < 2 && rc == AZ_ENOMEM; i++) {
		az_arena_free(d->fold_arena);
		d->fold_arena = az_arena_new(mem[i]);
		if (!d->fold_arena)
			return az_fail(err, AZ_ENOMEM, "engine.fold", "out of memory");
		memset(&cmds, 0, sizeof cmds);
		why = (struct az_err)AZ_ERR_INIT;
		if (!fold_begin(e, &d->head, &mark)) {
			fail_run(d, now, "poison", "its worker died every time it was folded");
			return AZ_OK;
		}
		rc = wf->fold(h, d->fold_arena, &cmds, &why);
		fold_end(e, &mark);
	}
	if (rc) {
		fail_run(d, now,
		    why.reason[0]        ? why.reason
		    : rc == AZ_EINTERNAL ? "nondeterminism"
					 : "internal",
		    why.text);
		return AZ_OK;
	}
	if (cmds.n > AZ_CMDS_MAX)
		wrong = "too many commands";
	for (size_t i = 0; !wrong && i < cmds.n; i++)
		wrong = d->state == AZ_RUN_OPEN && !d->renew ? command(d, h, &cmds.v[i], now)
							     : "goes on after its end";
	if (wrong)
		fail_run(d, now, "internal", wrong);
	return AZ_OK;
}

static const struct az_workflow *
hosted(const struct az_workflow *w, struct az_str type)
{
	for (; w && w->name; w++)
		if (az_str_eqc(type, w->name))
			return w;
	return NULL;
}

static enum az_code
prepare(struct local *e, struct decision *d, const struct az_workflow *all, struct az_str id,
    struct az_err *err)
{
	struct az_history h = {0};
	const struct az_workflow *wf;
	struct az_event *ev;
	int64_t now = az_wall_ms();
	struct az_err why = AZ_ERR_INIT;
	bool damaged;
	enum az_code rc = read_history(e, id, 0, SIZE_MAX, d->arena, &d->head, &h, &why);

	damaged = rc == AZ_EIO && d->head.n && strcmp(why.reason, "journal_damaged") == 0;
	if (rc && !damaged) {
		if (err)
			*err = why;
		return rc == AZ_ENOTFOUND
			   ? az_fail(err, AZ_EPRECOND, "engine.advance", "the run is gone")
			   : rc;
	}
	if (d->head.state != AZ_RUN_OPEN)
		return az_fail(err, AZ_EPRECOND, "engine.advance", "the run is over");
	/* time does not run backwards within a run */
	if (h.n && now < h.ev[h.n - 1].t_ms)
		now = h.ev[h.n - 1].t_ms;
	if (d->t.any)
		add(d, now, d->t.ev.type);
	if (d->t.any) {
		struct az_event *x = &d->step[0].ev;

		d->t.ev.id = x->id;
		d->t.ev.t_ms = x->t_ms;
		*x = d->t.ev;
	}
	if (damaged) {
		fail_run(d, now, "journal_damaged", why.text);
		return AZ_OK;
	}
	wf = hosted(all, d->head.type);
	if (!wf) {
		d->fold_later = true;
		return AZ_OK;
	}
	ev = az_arena_alloc(d->arena, (h.n + 1) * sizeof *ev);
	if (!ev)
		return az_fail(err, AZ_ENOMEM, "engine.fold", "out of memory");
	if (h.n)
		memcpy(ev, h.ev, h.n * sizeof *ev);
	if (d->t.any)
		ev[h.n++] = d->step[0].ev;
	h.ev = ev;
	return fold(e, d, wf, &h, now, err);
}

enum az_code
decide_send(struct local *e, const struct az_workflow *workflows, struct az_str id,
    const struct trigger *t, struct decision **out, struct az_err *err)
{
	struct decision *d = calloc(1, sizeof *d);
	enum az_code rc;

	*out = NULL;
	if (!d)
		return az_fail(err, AZ_ENOMEM, "engine.fold", "out of memory");
	d->t = *t;
	d->state = AZ_RUN_OPEN;
	d->arena = az_arena_new(AZ_MIB(512));
	rc = d->arena ? prepare(e, d, workflows, id, err)
		      : az_fail(err, AZ_ENOMEM, "engine.fold", "out of memory");
	if (!rc) {
		op_init(&d->op, id, decision_apply);
		rc = op_send(e, &d->op, err);
	}
	if (rc)
		decision_free(d);
	else
		*out = d;
	return rc;
}

enum az_code
decide_wait(struct decision *d, struct az_err *err)
{
	enum az_code rc = op_wait(&d->op, err);

	decision_free(d);
	return rc;
}

enum az_code
decide(struct local *e, const struct az_workflow *workflows, struct az_str id,
    const struct trigger *t, struct az_err *err)
{
	struct decision *d;
	enum az_code rc;

	do {
		rc = decide_send(e, workflows, id, t, &d, err);
		if (!rc && d)
			rc = decide_wait(d, err);
	} while (rc == AZ_ECONFLICT);
	return rc;
}
