/* Reading: a pool of read-only connections, one to each thread that reads now. */
#include <stdio.h>
#include <stdlib.h>
#include "local.h"

/* More would not read faster. The dispatcher and the watcher keep one each. */
enum { READERS_MAX = 16, IDLE_MAX = 8 };

/* A version is the run's own, and below it the heartbeats since that changed. */
#define BEAT_BITS 20
#define BEAT_MASK ((INT64_C(1) << BEAT_BITS) - 1)

enum az_code
reader_take(struct local *e, struct reader **out, struct az_err *err)
{
	struct readers *p = &e->readers;
	struct reader *r;
	enum az_code rc;

	*out = NULL;
	pthread_mutex_lock(&p->mu);
	while (!p->idle && p->n_out == READERS_MAX)
		pthread_cond_wait(&p->cond, &p->mu);
	p->n_out++;
	r = p->idle;
	if (r) {
		p->idle = r->next;
		p->n_idle--;
	}
	pthread_mutex_unlock(&p->mu);
	if (!r) {
		r = calloc(1, sizeof *r);
		if (!r) {
			reader_give(e, NULL, true);
			az_fail(err, AZ_ENOMEM, "engine.read", "out of memory");
			return AZ_ENOMEM;
		}
		rc = schema_reader(e->path, true, &r->c, err);
		if (rc) {
			free(r);
			reader_give(e, NULL, true);
			return rc;
		}
	}
	*out = r;
	return AZ_OK;
}

void
reader_give(struct local *e, struct reader *r, bool broken)
{
	struct readers *p = &e->readers;

	pthread_mutex_lock(&p->mu);
	p->n_out--;
	pthread_cond_signal(&p->cond);
	if (r && !broken && p->n_idle < IDLE_MAX) {
		r->next = p->idle;
		p->idle = r;
		p->n_idle++;
		r = NULL;
	}
	pthread_mutex_unlock(&p->mu);
	if (r) {
		conn_close(&r->c);
		free(r);
	}
}

static enum az_code
nomem(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, "engine.read", "out of memory");
}

/* Column as text in the arena; sets *bad when there is no memory. */
static struct az_str
text(sqlite3_stmt *st, int col, struct az_arena *a, bool *bad)
{
	struct az_str s = sql_str(st, col);

	if (!s.n)
		return AZ_S("");
	s = az_arena_str(a, s);
	*bad |= s.p == NULL;
	return s;
}

enum az_code
read_version(
    struct local *e, struct reader *r, struct az_str id, int64_t *version, struct az_err *err)
{
	sqlite3_stmt *st;
	int64_t v = 0, beats = 0;
	int rc = sql_step(&r->c, Q_VERSION_OF, &st, "s", id);

	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		v = sql_i64(st, 0);
		if (sqlite3_column_type(st, 1) != SQLITE_NULL)
			beats += (int64_t)slot_seq(&e->live, (int)sql_i64(st, 1), sql_i64(st, 2));
	}
	if (rc != SQLITE_DONE)
		return sql_fail(&r->c, rc, "engine.read", err);
	sql_end(st);
	*version = v ? (v << BEAT_BITS) | (beats & BEAT_MASK) : 0;
	return AZ_OK;
}

static enum az_code
read_pending(struct local *e, struct conn *c, int64_t run, struct az_arena *a,
    struct az_run_info *out, int64_t *beats, struct az_err *err)
{
	sqlite3_stmt *st;
	bool bad = false;
	int rc = sql_step(c, Q_TASKS_OF, &st, "i", run);

	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		struct az_pending *p = &out->pending[out->n_pending++];
		int slot = (int)sql_i64(st, 6);
		int64_t token = sql_i64(st, 7);

		p->name = text(st, 0, a, &bad);
		p->attempt = (int)sql_i64(st, 1);
		p->running = sql_i64(st, 2) != 0;
		p->next_ms = p->running ? 0 : sql_i64(st, 3);
		p->last_reason = text(st, 4, a, &bad);
		p->last_message = text(st, 5, a, &bad);
		if (p->running) {
			*beats += (int64_t)slot_seq(&e->live, slot, token);
			p->heartbeat = slot_get(&e->live, slot, token, a);
		}
		if (!p->heartbeat.n)
			p->heartbeat = text(st, 8, a, &bad);
	}
	if (rc != SQLITE_DONE)
		return sql_fail(c, rc, "engine.describe", err);
	sql_end(st);
	return bad ? nomem(err) : AZ_OK;
}

enum az_code
local_describe(struct az_engine *eng, struct az_str id, struct az_arena *a, struct az_run_info *out,
    struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct reader *r = NULL;
	sqlite3_stmt *st = NULL;
	int64_t run, v, beats = 0;
	bool bad = false;
	enum az_code code = reader_take(e, &r, err);
	int rc;

	if (code)
		return code;
	out->has_worker = live_any(&e->live);
	/* the first statement stays open, so both see the same snapshot */
	rc = sql_step(&r->c, Q_RUN_GET, &st, "s", id);
	if (rc == SQLITE_DONE) {
		code = az_fail(err, AZ_ENOTFOUND, "engine.describe", "no run");
		goto out;
	}
	if (rc != SQLITE_ROW) {
		code = sql_fail(&r->c, rc, "engine.describe", err);
		goto out;
	}
	run = sql_i64(st, 0);
	out->workflow_id = az_arena_str(a, id);
	bad |= !out->workflow_id.p;
	out->uid = text(st, 1, a, &bad);
	out->type = text(st, 2, a, &bad);
	out->memo = text(st, 3, a, &bad);
	out->state = (enum az_run_state)sql_i64(st, 4);
	out->start_ms = sql_i64(st, 5);
	out->close_ms = sql_i64(st, 6);
	v = sql_i64(st, 7);
	out->last_event = sql_i64(st, 8);
	out->close_payload = text(st, 9, a, &bad);
	if (bad)
		code = nomem(err);
	else if (out->state == AZ_RUN_OPEN)
		code = read_pending(e, &r->c, run, a, out, &beats, err);
	out->version = (v << BEAT_BITS) | (beats & BEAT_MASK);
out:
	if (st)
		sql_end(st);
	reader_give(e, r, code == AZ_EIO);
	return code;
}

/* Room for one more; arenas do not grow in place, so it doubles. */
static bool
grow(void **v, size_t size, size_t n, size_t *cap, struct az_arena *a)
{
	size_t want = *cap ? *cap * 2 : 16;
	void *p;

	if (n < *cap)
		return true;
	p = az_arena_alloc(a, want * size);
	if (!p)
		return false;
	if (n)
		memcpy(p, *v, n * size);
	*v = p;
	*cap = want;
	return true;
}

enum az_code
read_history(struct local *e, struct az_str id, int64_t after, size_t max, struct az_arena *a,
    struct run_head *h, struct az_history *out, struct az_err *err)
{
	struct reader *r = NULL;
	sqlite3_stmt *head = NULL, *st = NULL;
	bool bad = false;
	void *ev = NULL;
	size_t n = 0, cap = 0;
	int64_t run, limit = max > INT64_MAX ? INT64_MAX : (int64_t)max;
	enum az_code code = reader_take(e, &r, err);
	int rc;

	if (code)
		return code;
	rc = sql_step(&r->c, Q_RUN_HEAD, &head, "s", id);
	if (rc == SQLITE_DONE) {
		code = az_fail(err, AZ_ENOTFOUND, "engine.history", "no run");
		goto out;
	}
	if (rc != SQLITE_ROW) {
		code = sql_fail(&r->c, rc, "engine.history", err);
		goto out;
	}
	run = sql_i64(head, 0);
	if (h) {
		h->n = run;
		h->state = (enum az_run_state)sql_i64(head, 1);
		h->last_event = sql_i64(head, 2);
		h->start_ms = sql_i64(head, 3);
		h->type = text(head, 4, a, &bad);
		if (bad) {
			code = nomem(err);
			goto out;
		}
	}
	rc = sql_step(&r->c, Q_EVENTS, &st, "iii", run, after, limit);
	for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		if (!grow(&ev, sizeof(struct az_event), n, &cap, a)) {
			code = nomem(err);
			goto out;
		}
		code = event_read(st, run, a, (struct az_event *)ev + n, err);
		if (code)
			goto out;
		n++;
	}
	if (rc != SQLITE_DONE)
		code = sql_fail(&r->c, rc, "engine.history", err);
	out->ev = ev;
	out->n = n;
out:
	if (st)
		sql_end(st);
	if (head)
		sql_end(head);
	reader_give(e, r, code == AZ_EIO);
	return code;
}

enum az_code
local_history(struct az_engine *eng, struct az_str id, int64_t after, size_t max,
    struct az_arena *a, struct az_history *out, struct az_err *err)
{
	return read_history((struct local *)eng, id, after, max, a, NULL, out, err);
}

/* A cursor is "<start_ms>.<id>" of the last row seen. */
static bool
cursor_parse(struct az_str s, int64_t *start_ms, struct az_str *id)
{
	struct az_str t;

	if (!s.n) {
		*start_ms = INT64_MAX;
		*id = AZ_S("");
		return true;
	}
	return s.n <= LOCAL_ID_MAX + 21 && az_str_cut(&s, '.', &t) && s.n &&
	       az_str_to_i64(t, 0, INT64_MAX, start_ms) && (*id = s, true);
}

static enum az_code
list_row(sqlite3_stmt *st, struct az_arena *a, struct az_run_info *r, struct az_err *err)
{
	bool bad = false;

	r->workflow_id = text(st, 0, a, &bad);
	r->uid = text(st, 1, a, &bad);
	r->type = text(st, 2, a, &bad);
	r->memo = text(st, 3, a, &bad);
	r->state = (enum az_run_state)sql_i64(st, 4);
	r->start_ms = sql_i64(st, 5);
	r->close_ms = sql_i64(st, 6);
	r->last_event = sql_i64(st, 7);
	r->close_payload = text(st, 8, a, &bad);
	return bad ? nomem(err) : AZ_OK;
}

enum az_code
local_list(struct az_engine *eng, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct reader *r = NULL;
	sqlite3_stmt *st = NULL;
	struct az_str id;
	int64_t start, limit = (int64_t)q->limit + 1;
	enum az_code code;
	int rc;

	if (!cursor_parse(q->cursor, &start, &id))
		return az_fail(err, AZ_EINVAL, "engine.list", "bad cursor");
	out->runs = az_arena_alloc(a, (size_t)q->limit * sizeof *out->runs);
	if (!out->runs)
		return nomem(err);
	code = reader_take(e, &r, err);
	if (code)
		return code;
	if (q->state == 0)
		rc = sql_step(&r->c, Q_LIST, &st, "sisis", q->uid, start, id, limit, q->type);
	else if (q->state == AZ_RUN_OPEN)
		rc = sql_step(&r->c, Q_LIST_OPEN, &st, "sisis", q->uid, start, id, limit, q->type);
	else
		rc = sql_step(&r->c, Q_LIST_STATE, &st, "sisisi", q->uid, start, id, limit, q->type,
		    (int64_t)q->state);
	for (; rc == SQLITE_ROW && out->n < (size_t)q->limit; rc = sqlite3_step(st)) {
		code = list_row(st, a, &out->runs[out->n], err);
		if (code)
			goto out;
		out->n++;
	}
	if (rc == SQLITE_ROW) {
		const struct az_run_info *last = &out->runs[out->n - 1];

		out->next = az_str_c(az_arena_printf(
		    a, "%lld.%.*s", (long long)last->start_ms, AZ_FMT(last->workflow_id)));
		if (!out->next.p)
			code = nomem(err);
	} else if (rc != SQLITE_DONE) {
		code = sql_fail(&r->c, rc, "engine.list", err);
	}
out:
	if (st)
		sql_end(st);
	reader_give(e, r, code == AZ_EIO);
	return code;
}

enum az_code
local_count(struct az_engine *eng, const struct az_list_query *q, int64_t *n, struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct reader *r = NULL;
	sqlite3_stmt *st = NULL;
	enum az_code code = reader_take(e, &r, err);
	int rc;

	if (code)
		return code;
	rc = sql_step(&r->c, Q_LIST_SIZE, &st, "sis", q->uid, (int64_t)q->state, q->type);
	if (rc == SQLITE_ROW)
		*n = sql_i64(st, 0);
	else
		code = sql_fail(&r->c, rc, "engine.count", err);
	if (st)
		sql_end(st);
	reader_give(e, r, code == AZ_EIO);
	return code;
}

enum az_code
local_ping(struct az_engine *eng, struct az_err *err)
{
	struct local *e = (struct local *)eng;
	struct reader *r = NULL;
	int rc, moved = 0;
	enum az_code code = reader_take(e, &r, err);

	if (code)
		return code;
	rc = sql_do(&r->c, Q_PING, "");
	if (rc != SQLITE_ROW)
		code = sql_fail(&r->c, rc, "engine.ping", err);
	sqlite3_file_control(r->c.db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (!code && moved) {
		code = az_fail(
		    err, AZ_EUNAVAIL, "engine.ping", "the journal file was moved or deleted");
		az_err_reason(err, "engine");
	}
	reader_give(e, r, code != AZ_OK);
	return code;
}
