/* Tasks: claiming with a lease, giving back, taking from the dead. */
#include <stdlib.h>
#include "local.h"

static const struct az_function *
hosted(const struct az_function *f, struct az_str name)
{
	for (; f->name; f++)
		if (az_str_eqc(name, f->name))
			return f;
	return NULL;
}

void
attempt_free(struct attempt *a)
{
	if (!a)
		return;
	az_buf_release(&a->hb);
	pthread_mutex_destroy(&a->mu);
	az_arena_free(a->arena);
	free(a);
}

static bool
keep(struct attempt *a, sqlite3_stmt *st, int col, struct az_str *out)
{
	struct az_str s = sql_str(st, col);

	*out = AZ_S("");
	if (s.n)
		*out = az_arena_str(a->arena, s);
	return out->p != NULL;
}

/* A row of Q_TASKS_DUE as an attempt; NULL without memory. */
static struct attempt *
attempt_new(sqlite3_stmt *st, const struct az_function *fn)
{
	struct attempt *a = calloc(1, sizeof *a);
	int64_t now = az_boot_ms();

	if (!a)
		return NULL;
	pthread_mutex_init(&a->mu, NULL);
	az_buf_init(&a->hb, LOCAL_HEARTBEAT_BYTES);
	a->fn = fn;
	a->started = now;
	atomic_init(&a->beat, now);
	a->arena = az_arena_new(AZ_MIB(256));
	if (!a->arena || !keep(a, st, 0, &a->ctx.name) || !keep(a, st, 6, &a->ctx.last_heartbeat) ||
	    !keep(a, st, 13, &a->ctx.workflow_id) || !keep(a, st, 14, &a->ctx.uid) ||
	    !keep(a, st, 15, &a->input)) {
		attempt_free(a);
		return NULL;
	}
	a->ctx.ref = sql_i64(st, 2);
	a->ctx.attempt = (int)sql_i64(st, 3);
	a->ctx.arena = a->arena;
	a->lost_tries = (int)sql_i64(st, 4);
	a->dead = sql_i64(st, 5);
	a->opts.start_to_close_ms = sql_i64(st, 7);
	a->opts.heartbeat_ms = sql_i64(st, 8);
	a->opts.retry_initial_ms = sql_i64(st, 9);
	a->opts.retry_max_ms = sql_i64(st, 10);
	a->opts.retry_coefficient = sqlite3_column_double(st, 11);
	a->opts.retry_attempts = (int)sql_i64(st, 12);
	/* what an attempt without a sign of life leaves is what it found */
	az_buf_adds(&a->hb, a->ctx.last_heartbeat);
	return a;
}

/* Slots of leases in force, as a set of bits. */
static int
used_slots(struct conn *c, uint64_t used[LIVE_SLOTS / 64])
{
	sqlite3_stmt *st;
	int rc = sql_step(c, Q_SLOTS, &st, "");

	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		int64_t s = sql_i64(st, 0);

		if (s >= 0 && s < LIVE_SLOTS)
			used[s / 64] |= UINT64_C(1) << (s % 64);
	}
	if (rc == SQLITE_DONE)
		sql_end(st);
	return rc;
}

static int
free_slot(uint64_t used[LIVE_SLOTS / 64])
{
	for (int s = 0; s < LIVE_SLOTS; s++) {
		uint64_t bit = UINT64_C(1) << (s % 64);

		if (used[s / 64] & bit)
			continue;
		used[s / 64] |= bit;
		return s;
	}
	return -1; /* such a function has no heartbeat to show, but runs */
}

static int64_t
new_token(void)
{
	uint64_t t;

	do {
		az_random(&t, sizeof t);
		t >>= 1;
	} while (!t);
	return (int64_t)t;
}

enum az_code
claim_apply(struct local *e, struct conn *c, struct op *op)
{
	struct claim_op *o = (struct claim_op *)op;
	uint64_t used[LIVE_SLOTS / 64] = {0};
	int64_t runs[256];
	sqlite3_stmt *st;
	int rc;

	while (o->n > 0) /* of a try that was rolled back */
		attempt_free(o->got[--o->n]);
	rc = used_slots(c, used);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.claim");
	rc = sql_step(c, Q_TASKS_DUE, &st, "i", az_boot_ms());
	for (; rc == SQLITE_ROW && o->n < o->max; rc = sqlite3_step(st)) {
		const struct az_function *fn = hosted(o->functions, sql_str(st, 0));

		if (!fn || sql_i64(st, 5) <= az_boot_ms())
			continue;
		runs[o->n] = sql_i64(st, 1);
		o->got[o->n] = attempt_new(st, fn);
		if (!o->got[o->n])
			break; /* there is memory for fewer */
		o->n++;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.claim");
	sql_end(st);
	for (int i = 0; i < o->n; i++) {
		struct attempt *a = o->got[i];

		a->token = new_token();
		a->slot = free_slot(used);
		if (!slot_clear(&e->live, a->slot, a->token))
			a->slot = -1;
		rc = sql_do(c, Q_TASK_CLAIM, "iiiii", runs[i], a->ctx.ref, (int64_t)o->owner,
		    a->token, (int64_t)a->slot);
		if (rc == SQLITE_DONE)
			rc = sql_do(c, Q_RUN_TOUCH, "i", runs[i]);
		if (rc != SQLITE_DONE)
			return op_sql(op, c, rc, "engine.claim");
		op->touched = true;
	}
	return AZ_OK;
}

/* ---- giving back ---- */

static int
give_back(struct conn *c, int64_t run, int64_t ref, int64_t token, bool lost, bool death,
    int64_t delay_ms, struct az_str reason, struct az_str message, struct az_str hb)
{
	int rc = sql_do(c, Q_TASK_RETRY, "iiiiiiisss", run, ref, token, (int64_t)lost,
	    (int64_t)death, az_boot_ms() + delay_ms, az_wall_ms() + delay_ms, reason, message, hb);

	if (rc == SQLITE_DONE)
		rc = sql_do(c, Q_RUN_TOUCH, "i", run);
	return rc;
}

enum az_code
retry_apply(struct local *e, struct conn *c, struct op *op)
{
	struct retry_op *o = (struct retry_op *)op;
	int64_t run = 0, token = 0, cancel = 0;
	sqlite3_stmt *st;
	int rc = sql_step(c, Q_TASK_GET, &st, "si", az_str_c(op->id), o->ref);

	(void)e;
	if (rc == SQLITE_ROW) {
		run = sql_i64(st, 0);
		token = sql_i64(st, 1);
		cancel = sql_i64(st, 2);
	} else if (rc != SQLITE_DONE) {
		return op_sql(op, c, rc, "engine.retry");
	}
	sql_end(st);
	if (token != o->token)
		return az_fail(&op->err, AZ_EPRECOND, "engine.retry", "the lease is lost");
	if (cancel)
		return az_fail(&op->err, AZ_ECONFLICT, "engine.retry", "cancelled meanwhile");
	rc = give_back(c, run, o->ref, o->token, o->lost, o->death, o->delay_ms, o->reason,
	    o->message, o->heartbeat);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.retry");
	op->touched = true;
	return AZ_OK;
}

/* ---- from the dead ---- */

struct orphan {
	char id[LOCAL_ID_MAX + 1];
	int64_t run, ref, token, deaths;
	int slot, attempt;
	bool cancel;
};

static int
orphans(struct conn *c, uint64_t owner, struct orphan o[16], size_t *n)
{
	sqlite3_stmt *st;
	int rc = sql_step(c, Q_TASKS_OWNED, &st, "i", (int64_t)owner);

	for (*n = 0; rc == SQLITE_ROW && *n < 16; rc = sqlite3_step(st)) {
		struct orphan *x = &o[(*n)++];
		struct az_str id = sql_str(st, 0);

		memset(x, 0, sizeof *x);
		if (id.n <= LOCAL_ID_MAX)
			memcpy(x->id, id.p, id.n);
		x->run = sql_i64(st, 1);
		x->ref = sql_i64(st, 2);
		x->token = sql_i64(st, 3);
		x->slot = (int)sql_i64(st, 4);
		x->cancel = sql_i64(st, 5) != 0;
		x->deaths = sql_i64(st, 6);
		x->attempt = (int)sql_i64(st, 7);
	}
	if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
		sql_end(st);
		rc = SQLITE_DONE;
	}
	return rc;
}

static enum az_code
reclaim_one(struct local *e, struct conn *c, struct op *op, const struct orphan *x)
{
	struct az_event ev = {.ref = x->ref, .attempt = x->attempt};
	struct az_arena *a;
	struct az_str hb;
	int rc;

	if (x->cancel || x->deaths + 1 >= LOCAL_DEATHS_MAX) {
		rc = sql_do(c, Q_TASK_TAKE, "iiii", x->run, x->ref, (int64_t)x->attempt, x->token);
		if (rc != SQLITE_DONE)
			return op_sql(op, c, rc, "engine.reclaim");
		ev.type = x->cancel ? AZ_EV_FN_CANCELED : AZ_EV_FN_FAILED;
		if (!x->cancel) {
			ev.reason = AZ_S("poison");
			ev.message = AZ_S("its worker died every time");
		}
		return append_apply(c, op, x->id, &ev);
	}
	a = az_arena_new(AZ_KIB(64));
	hb = a ? slot_get(&e->live, x->slot, x->token, a) : AZ_S("");
	rc = give_back(c, x->run, x->ref, x->token, true, true, 0, AZ_S("worker_lost"),
	    AZ_S("the worker is gone"), hb);
	az_arena_free(a);
	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.reclaim");
	op->touched = true;
	return AZ_OK;
}

enum az_code
reclaim_apply(struct local *e, struct conn *c, struct op *op)
{
	struct reclaim_op *o = (struct reclaim_op *)op;
	struct orphan x[16];
	size_t n;
	enum az_code code;

	do {
		int rc = orphans(c, o->owner, x, &n);

		if (rc != SQLITE_DONE)
			return op_sql(op, c, rc, "engine.reclaim");
		for (size_t i = 0; i < n; i++) {
			code = reclaim_one(e, c, op, &x[i]);
			if (code)
				return code;
		}
	} while (n == 16);
	return AZ_OK;
}

/* ---- a worker enters ---- */

/* All boot-clock times in the journal belong to the boot named in meta. */
static int
rebase(struct conn *c, struct op *op)
{
	struct az_str boot = az_str_c(az_boot_id());
	int64_t now = az_boot_ms(), wall = az_wall_ms();
	sqlite3_stmt *st;
	bool same = false;
	int rc = sql_step(c, Q_META_GET, &st, "s", AZ_S("boot"));

	if (rc == SQLITE_ROW)
		same = az_str_eq(sql_str(st, 0), boot);
	else if (rc != SQLITE_DONE)
		return rc;
	sql_end(st);
	if (same)
		return SQLITE_DONE;
	rc = sql_do(c, Q_TASKS_REBASE, "ii", now, wall);
	if (rc == SQLITE_DONE)
		rc = sql_do(c, Q_TIMERS_REBASE, "ii", now, wall);
	if (rc == SQLITE_DONE)
		rc = sql_do(c, Q_META_PUT, "ss", AZ_S("boot"), boot);
	op->touched = true;
	return rc;
}

enum az_code
enter_apply(struct local *e, struct conn *c, struct op *op)
{
	struct enter_op *o = (struct enter_op *)op;
	int rc = rebase(c, op);

	if (rc != SQLITE_DONE)
		return op_sql(op, c, rc, "engine.work");
	/* before it takes the place of a dead one */
	fold_count(&e->live);
	o->index = live_enter(&e->live, o->owner);
	if (o->index < 0) {
		az_fail(&op->err, AZ_EUNAVAIL, "engine.work", "no room for one more worker");
		return az_err_reason(&op->err, "engine");
	}
	return AZ_OK;
}
