/*
 * What happened to a box, in a bounded list that outlives it for a while. Life events,
 * beginnings and ends of commands, refused connections; never what a program writes, its
 * arguments or its environment.
 */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>

#define VALUE_MAX 160
#define LOGS_MAX 1000
#define SEARCH_MAX 256

/* ---- writing ---- */

void
journal_free(struct journal *j)
{
	while (j->head) {
		struct note *n = j->head;

		j->head = n->next;
		free(n);
	}
	*j = (struct journal){0};
}

static void
add(struct journal *j, struct note *n)
{
	if (j->tail)
		j->tail->next = n;
	else
		j->head = n;
	j->tail = n;
	j->bytes += sizeof *n + n->n;
	while (j->bytes > JOURNAL_MAX && j->head != n) {
		struct note *old = j->head;

		j->head = old->next;
		j->bytes -= sizeof *old + old->n;
		free(old);
	}
}

static void
fields_json(struct az_buf *b, const struct az_kv *kv)
{
	struct az_jw w;
	char num[24];

	az_jw_init(&w, b);
	az_jw_obj(&w);
	for (; kv->kind; kv++) {
		struct az_str v = kv->s;

		if (kv->kind == 'n')
			v = az_str_n(
			    num, (size_t)snprintf(num, sizeof num, "%lld", (long long)kv->i));
		if (v.n)
			az_jw_ks(&w, kv->k, az_str_sub(v, 0, VALUE_MAX));
	}
	az_jw_end(&w, '}');
}

void
note_kv(struct box *b, enum az_level level, const char *message, const struct az_kv *kv)
{
	struct az_buf fields;
	struct note *n = NULL;

	az_buf_init(&fields, AZ_KIB(4));
	fields_json(&fields, kv);
	if (!fields.fail)
		n = malloc(sizeof *n + fields.n);
	/* without memory the event is lost, not what it tells of */
	if (n) {
		*n = (struct note){
		    .ms = az_wall_ms(), .level = level, .message = message, .n = fields.n};
		memcpy(n->fields, fields.p, fields.n);
		add(&b->journal, n);
	}
	az_buf_release(&fields);
}

void
journal_keep(struct box *b)
{
	struct az_box_server *s = b->srv;

	pthread_mutex_lock(&s->mu);
	pthread_mutex_lock(&b->mu);
	/* one that was nobody's has none */
	if (b->journal.head) {
		struct past *p = &s->past[s->past_next++ % PAST_MAX];

		note(b, AZ_INFO, "sandbox ended", AZ_KC("reason", b->why));
		journal_free(&p->journal);
		memcpy(p->id, b->id, sizeof p->id);
		memcpy(p->why, b->why, sizeof p->why);
		p->journal = b->journal;
		b->journal = (struct journal){0};
	}
	pthread_mutex_unlock(&b->mu);
	pthread_mutex_unlock(&s->mu);
}

bool
past_why(struct az_box_server *s, struct az_str id, char out[128])
{
	bool known = false;

	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < PAST_MAX && !known; i++)
		if ((known = s->past[i].id[0] && az_str_eqc(id, s->past[i].id)))
			memcpy(out, s->past[i].why, sizeof s->past[i].why);
	pthread_mutex_unlock(&s->mu);
	return known;
}

/* ---- reading ---- */

struct wish {
	int64_t from, limit; /* from: ms; -1: where the direction begins */
	bool backward;
	enum az_level level;
	struct az_str search;
	bool v1;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static enum az_code
parse_wish(struct az_rq *rq, struct wish *q, struct az_err *err)
{
	struct az_str s;
	enum az_code rc;

	if ((rc = az_rq_query_i64(rq, "limit", 0, LOGS_MAX, LOGS_MAX, &q->limit, err)) ||
	    (rc = az_rq_query_i64(
		 rq, q->v1 ? "start" : "cursor", 0, INT64_MAX, -1, &q->from, err)) ||
	    q->v1)
		return rc;
	s = az_rq_query(rq, "direction");
	q->backward = az_str_eqc(s, "backward");
	if (s.n && !q->backward && !az_str_eqc(s, "forward"))
		return az_fail(err, AZ_EINVAL, "box.logs", "direction: forward or backward");
	s = az_rq_query(rq, "level");
	while (s.n && !az_str_eqc(s, level_names[q->level]))
		if (q->level++ == AZ_ERROR)
			return az_fail(
			    err, AZ_EINVAL, "box.logs", "level: debug, info, warn or error");
	q->search = az_rq_query(rq, "search");
	if (q->search.n > SEARCH_MAX)
		return az_fail(
		    err, AZ_EINVAL, "box.logs", "search: more than %d bytes", SEARCH_MAX);
	return AZ_OK;
}

static bool
wanted(const struct note *n, const struct wish *q)
{
	if (n->level < q->level ||
	    (q->from >= 0 && (q->backward ? n->ms > q->from : n->ms < q->from)))
		return false;
	return !q->search.n || az_str_find(az_str_c(n->message), q->search, 0) >= 0 ||
	       az_str_find(az_str_n(n->fields, n->n), q->search, 0) >= 0;
}

static void
entry_json(struct az_jw *w, const struct note *n)
{
	az_jw_obj(w);
	jw_time(w, "timestamp", n->ms);
	az_jw_kc(w, "level", level_names[n->level]);
	az_jw_kc(w, "message", n->message);
	az_jw_kraw(w, "fields", az_str_n(n->fields, n->n));
	az_jw_end(w, '}');
}

static void
line_json(struct az_jw *w, const struct note *n)
{
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(8));
	az_buf_addf(&b, "%s %s ", level_names[n->level], n->message);
	az_buf_add(&b, n->fields, n->n);
	az_jw_obj(w);
	jw_time(w, "timestamp", n->ms);
	az_jw_ks(w, "line", az_buf_str(&b));
	az_jw_end(w, '}');
	if (b.fail)
		w->b->fail = b.fail;
	az_buf_release(&b);
}

/* The notes asked for, in order; at most cap, which bounds what a journal can hold. */
static size_t
choose(const struct journal *j, const struct wish *q, const struct note **v, size_t cap)
{
	size_t n = 0;

	for (const struct note *x = j->head; x && n < cap; x = x->next)
		if (wanted(x, q))
			v[n++] = x;
	for (size_t i = 0; q->backward && i < n / 2; i++) {
		const struct note *t = v[i];

		v[i] = v[n - 1 - i];
		v[n - 1 - i] = t;
	}
	return n < (size_t)q->limit ? n : (size_t)q->limit;
}

static void
journal_json(struct az_jw *w, const struct journal *j, const struct wish *q)
{
	const struct note *v[JOURNAL_MAX / sizeof(struct note)];
	size_t n = choose(j, q, v, sizeof v / sizeof *v);

	az_jw_obj(w);
	az_jw_key(w, "logs");
	az_jw_arr(w);
	for (size_t i = 0; i < n; i++)
		if (q->v1)
			line_json(w, v[i]);
		else
			entry_json(w, v[i]);
	az_jw_end(w, ']');
	if (q->v1) {
		az_jw_key(w, "logEntries");
		az_jw_arr(w);
		for (size_t i = 0; i < n; i++)
			entry_json(w, v[i]);
		az_jw_end(w, ']');
	}
	az_jw_end(w, '}');
}

/* Of one that is gone; false: never heard of. */
static bool
past_json(struct az_box_server *s, struct az_str id, struct az_jw *w, const struct wish *q)
{
	bool found = false;

	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < PAST_MAX && !found; i++)
		if (s->past[i].id[0] && az_str_eqc(id, s->past[i].id)) {
			journal_json(w, &s->past[i].journal, q);
			found = true;
		}
	pthread_mutex_unlock(&s->mu);
	return found;
}

static enum az_code
logs(struct az_rq *rq, struct az_box_server *s, struct wish *q, struct az_err *err)
{
	struct az_str id = az_rq_param(rq, "id");
	struct az_buf out;
	struct az_jw w;
	struct box *b;
	bool found = false;
	enum az_code rc;

	if ((rc = check_key(rq, s, err)) || (rc = parse_wish(rq, q, err)))
		return rc;
	az_buf_init(&out, AZ_MIB(1));
	az_jw_init(&w, &out);
	if ((b = box_find(s, id))) {
		pthread_mutex_lock(&b->mu);
		found = b->journal.head;
		if (found)
			journal_json(&w, &b->journal, q);
		pthread_mutex_unlock(&b->mu);
		box_unref(b);
	}
	/* one that dies just now has handed it over */
	if (!found && !past_json(s, id, &w, q))
		rc = control_unknown(id, err);
	if (!rc && !(rc = az_buf_check(&out, "box.logs", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

enum az_code
control_logs_v1(struct az_rq *rq, void *app, struct az_err *err)
{
	return logs(rq, app, &(struct wish){.v1 = true}, err);
}

enum az_code
control_logs_v2(struct az_rq *rq, void *app, struct az_err *err)
{
	return logs(rq, app, &(struct wish){0}, err);
}
