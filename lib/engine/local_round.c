/*
 * The dispatcher's rounds: fold what changed, fire timers, take leases from the dead,
 * claim what is due and watch over what runs.
 */
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <azlon/log.h>
#include "local.h"

/* BATCH is also the LIMIT of the queries. */
enum { BATCH = 32, FOLD_PARTS = 8 };

void
dispatch_complain(const char *ev, const struct az_err *err)
{
	az_log(AZ_ERROR, ev, AZ_KE(err));
}

/* A failure that says something about the journal, not about the run. */
static bool
broken(enum az_code rc)
{
	return rc && rc != AZ_ECONFLICT && rc != AZ_EPRECOND;
}

/* ---- folds, timers, deadlines ---- */

struct item {
	char id[LOCAL_ID_MAX + 1];
	int64_t n;
	struct trigger t;
};

static void
item_id(struct item *it, struct az_str id)
{
	memset(it->id, 0, sizeof it->id);
	if (id.n <= LOCAL_ID_MAX)
		memcpy(it->id, id.p, id.n);
}

/* Decide all of them in as few commits as the writer makes of it. */
static void
decide_all(struct dispatch *d, struct item *it, size_t n)
{
	struct worker *w = d->w;
	struct decision *dec[BATCH];
	enum az_code rc;

	for (size_t i = 0; i < n; i++) {
		rc = decide_send(
		    w->e, w->opt->workflows, az_str_c(it[i].id), &it[i].t, &dec[i], &d->err);
		if (broken(rc))
			dispatch_complain("engine.fold", &d->err);
	}
	for (size_t i = 0; i < n; i++) {
		if (!dec[i])
			continue;
		rc = decide_wait(dec[i], &d->err);
		if (rc == AZ_ECONFLICT)
			d->more = true; /* it moved on: look again */
		else if (broken(rc))
			dispatch_complain("engine.fold", &d->err);
	}
}

static bool
folds(const struct worker *w, struct az_str type)
{
	for (const struct az_workflow *f = w->opt->workflows; f->name; f++)
		if (az_str_eqc(type, f->name))
			return true;
	return false;
}

/* A long queue is folded in parts, so that what runs is looked after in between. */
static void
do_folds(struct dispatch *d)
{
	struct item it[BATCH];
	size_t n, rows = BATCH;

	for (int part = 0; part < FOLD_PARTS && rows == BATCH; part++) {
		sqlite3_stmt *st;
		int rc = sql_step(&d->r->c, Q_DIRTY, &st, "i", d->fold_after);

		n = rows = 0;
		for (; rc == SQLITE_ROW; rc = sqlite3_step(st), rows++) {
			d->fold_after = sql_i64(st, 0);
			if (!folds(d->w, sql_str(st, 2)))
				continue;
			it[n].t = (struct trigger){.any = false};
			item_id(&it[n++], sql_str(st, 1));
		}
		sql_end(st);
		decide_all(d, it, n);
	}
	if (rows == BATCH)
		d->more = true;
	else
		d->fold_after = 0;
}

static void
do_timers(struct dispatch *d, int64_t now)
{
	struct item it[BATCH];
	sqlite3_stmt *st;
	size_t n = 0;
	int rc = sql_step(&d->r->c, Q_TIMERS_DUE, &st, "i", now);

	for (; rc == SQLITE_ROW; rc = sqlite3_step(st), n++) {
		item_id(&it[n], sql_str(st, 0));
		it[n].t = (struct trigger){.any = true,
		    .fence = FENCE_TIMER,
		    .ev = {.type = AZ_EV_TIMER_FIRED, .ref = sql_i64(st, 1)}};
	}
	sql_end(st);
	decide_all(d, it, n);
	d->more |= n == BATCH;
}

/* Waiting tasks whose time is up. */
static void
do_late(struct dispatch *d, int64_t now)
{
	struct item it[BATCH];
	sqlite3_stmt *st;
	size_t n = 0;
	int rc = sql_step(&d->r->c, Q_TASKS_LATE, &st, "i", now);

	for (; rc == SQLITE_ROW; rc = sqlite3_step(st), n++) {
		item_id(&it[n], sql_str(st, 0));
		it[n].t = (struct trigger){.any = true,
		    .fence = FENCE_FREE,
		    .attempt = (int)sql_i64(st, 2),
		    .ev = {.type = AZ_EV_FN_FAILED,
			.ref = sql_i64(st, 1),
			.attempt = (int)sql_i64(st, 2),
			.reason = AZ_S("timeout"),
			.message = AZ_S("schedule_to_close")}};
	}
	sql_end(st);
	decide_all(d, it, n);
	d->more |= n == BATCH;
}

/* ---- leases of the dead ---- */

void
dispatch_end(struct dispatch *d)
{
	for (size_t i = 0; i < d->n_peers; i++)
		close(d->peer[i].fd);
	d->n_peers = 0;
}

/* Watch the processes of other workers: their death is an event. */
static void
peers(struct dispatch *d)
{
	struct live_worker all[LIVE_WORKERS];
	uint64_t ids[LIVE_WORKERS];
	int64_t now = az_boot_ms();

	if (!live_workers(&d->w->e->live, all))
		return;
	for (int i = 0; i < LIVE_WORKERS; i++)
		ids[i] = all[i].id;
	if (memcmp(ids, d->seen, sizeof ids) == 0)
		return;
	memcpy(d->seen, ids, sizeof ids);
	dispatch_end(d);
	for (int i = 0; i < LIVE_WORKERS; i++) {
		int fd;

		if (!all[i].id || all[i].id == d->w->id || all[i].pid == getpid() ||
		    !live_ok(&all[i], now))
			continue;
		fd = (int)syscall(SYS_pidfd_open, all[i].pid, 0);
		if (fd < 0)
			continue;
		d->peer[d->n_peers++] = (struct peer){all[i].id, fd};
	}
}

static void
do_reap(struct dispatch *d)
{
	struct live_worker all[LIVE_WORKERS];
	uint64_t dead[LIVE_WORKERS];
	size_t n = 0;
	int64_t now = az_boot_ms();
	sqlite3_stmt *st;
	int rc;

	if (!live_workers(&d->w->e->live, all))
		return;
	if (fold_left(&d->w->e->live, all)) {
		struct op op;

		op_init(&op, AZ_S(""), fold_count_apply);
		if (op_run(d->w->e, &op, &d->err))
			dispatch_complain("engine.reclaim", &d->err);
	}
	rc = sql_step(&d->r->c, Q_OWNERS, &st, "");
	for (; rc == SQLITE_ROW && n < LIVE_WORKERS; rc = sqlite3_step(st)) {
		uint64_t owner = (uint64_t)sql_i64(st, 0);
		bool ok = owner == d->w->id;

		for (int i = 0; i < LIVE_WORKERS && !ok; i++)
			ok = all[i].id == owner && live_ok(&all[i], now);
		if (!ok)
			dead[n++] = owner;
	}
	sql_end(st);
	for (size_t i = 0; i < n; i++) {
		struct reclaim_op o = {.owner = dead[i]};

		op_init(&o.op, AZ_S(""), reclaim_apply);
		if (op_run(d->w->e, &o.op, &d->err))
			dispatch_complain("engine.reclaim", &d->err);
	}
}

/* ---- claims ---- */

static bool
any_due(struct dispatch *d, int64_t now)
{
	const struct az_function *f;
	sqlite3_stmt *st;
	bool yes = false;
	int rc = sql_step(&d->r->c, Q_TASK_FREE, &st, "i", now);

	for (; rc == SQLITE_ROW && !yes; rc = sqlite3_step(st))
		for (f = d->w->opt->functions; f->name && !yes; f++)
			yes = az_str_eqc(sql_str(st, 0), f->name);
	sql_end(st);
	return yes;
}

static void
do_claims(struct dispatch *d, int64_t now)
{
	struct worker *w = d->w;
	struct attempt *got[256];
	struct claim_op o = {.owner = w->id, .functions = w->opt->functions, .got = got};
	enum az_code rc;

	pthread_mutex_lock(&w->mu);
	o.max = w->slots - w->n_busy;
	pthread_mutex_unlock(&w->mu);
	if (o.max <= 0 || !any_due(d, now))
		return;
	op_init(&o.op, AZ_S(""), claim_apply);
	rc = op_run(w->e, &o.op, &d->err);
	if (rc) {
		dispatch_complain("engine.claim", &d->err);
		while (o.n > 0)
			attempt_free(got[--o.n]);
		return;
	}
	pthread_mutex_lock(&w->mu);
	for (int i = o.n - 1; i >= 0; i--) {
		got[i]->w = w;
		got[i]->next = w->queue;
		w->queue = got[i];
		w->n_busy++;
		pthread_cond_signal(&w->cond);
	}
	pthread_mutex_unlock(&w->mu);
}

/* ---- what runs ---- */

static void
look_after(struct dispatch *d, struct attempt *a, int64_t now, int64_t *next)
{
	struct failure f = {0};
	sqlite3_stmt *st;
	enum az_code rc;
	int64_t token = 0;
	int s;

	if (atomic_load(&a->over) || atomic_load(&a->lost))
		return;
	s = sql_step(&d->r->c, Q_TASK_GET, &st, "si", a->ctx.workflow_id, a->ctx.ref);
	if (s == SQLITE_ROW) {
		token = sql_i64(st, 1);
		if (sql_i64(st, 2))
			atomic_store(&a->cancel, true);
	}
	sql_end(st);
	if ((s == SQLITE_ROW || s == SQLITE_DONE) && token != a->token) {
		atomic_store(&a->lost, true);
		return;
	}
	f.message = attempt_clock(a, now, next);
	if (f.message) {
		attempt_timeout(&f);
		rc = attempt_failed(a, &f, &d->err);
		if (broken(rc))
			dispatch_complain("engine.timeout", &d->err);
		else
			atomic_store(&a->over, true);
		d->more |= rc == AZ_OK;
		return;
	}
	attempt_flush(a, now);
	pthread_mutex_lock(&a->mu);
	if (a->hb_new && now + 200 < *next)
		*next = now + 200;
	pthread_mutex_unlock(&a->mu);
}

size_t
dispatch_running(struct worker *w, struct attempt *v[256])
{
	struct attempt *done, *next;
	size_t n = 0;

	pthread_mutex_lock(&w->mu);
	for (struct attempt *a = w->running; a && n < 256; a = a->next)
		v[n++] = a;
	done = w->done;
	w->done = NULL;
	pthread_mutex_unlock(&w->mu);
	for (; done; done = next) {
		next = done->next;
		attempt_free(done);
	}
	return n;
}

int64_t
dispatch_round(struct dispatch *d)
{
	struct worker *w = d->w;
	struct attempt *v[256];
	int64_t now = az_boot_ms(), next = now + LOCAL_SWEEP_MS;
	bool idle = !atomic_load(&w->draining);
	sqlite3_stmt *st;
	size_t n;

	d->more = false;
	if (now - d->swept >= LOCAL_SWEEP_MS) {
		d->swept = now;
		d->reap = true;
	}
	peers(d);
	if (d->reap && idle)
		do_reap(d);
	d->reap = false;
	if (idle) {
		do_folds(d);
		do_timers(d, now);
		do_late(d, now);
		do_claims(d, az_boot_ms());
	}
	n = dispatch_running(w, v);
	for (size_t i = 0; i < n; i++)
		look_after(d, v[i], az_boot_ms(), &next);
	if (d->more)
		return now;
	if (sql_step(&d->r->c, Q_TASK_NEXT, &st, "i", now) == SQLITE_ROW)
		for (int i = 0; i < 3; i++)
			if (sqlite3_column_type(st, i) != SQLITE_NULL && sql_i64(st, i) < next)
				next = sql_i64(st, i);
	sql_end(st);
	return next;
}

void
dispatch_rest(struct dispatch *d, int64_t until)
{
	struct pollfd p[LIVE_WORKERS + 2];
	int64_t ms = until - az_boot_ms();
	uint64_t x;
	nfds_t n = 2;

	p[0] = (struct pollfd){.fd = d->w->poke, .events = POLLIN};
	p[1] = (struct pollfd){
	    .fd = atomic_load(&d->w->draining) ? -1 : d->w->e->stop_fd, .events = POLLIN};
	for (size_t i = 0; i < d->n_peers; i++)
		p[n++] = (struct pollfd){.fd = d->peer[i].fd, .events = POLLIN};
	if (ms < 0)
		ms = 0;
	if (poll(p, n, (int)ms) < 0)
		return;
	if (p[0].revents && read(d->w->poke, &x, sizeof x) < 0)
		return;
	for (size_t i = d->n_peers; i-- > 0;) {
		if (!p[i + 2].revents)
			continue;
		d->reap = true;
		close(d->peer[i].fd);
		d->peer[i] = d->peer[--d->n_peers];
	}
}
