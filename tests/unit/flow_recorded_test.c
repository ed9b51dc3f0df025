/*
 * Histories that real runs left behind, of both engines, still replay: the fold refuses none of
 * their beginnings, wants at each what was done next, and readers see the same run in both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <glob.h>
#include <stdlib.h>
#include <cmocka.h>

#include <azlon/flow.h>
#include <azlon/path.h>

#include "engine/restack.h"
#include "engine/temporal.h"

#define DIR AZ_SRC "/tests/recordings/histories/"
#define LOCAL DIR "human-eval-065.local.jsonl"
#define TEMPORAL DIR "human-eval-065.temporal.pb"

enum { EVENTS_MAX = 100 };

static struct az_arena *A;
static struct restack R;
static ProtobufCAllocator mem;
static struct az_err err;

static int
setup(void **state)
{
	(void)state;
	memset(&R, 0, sizeof R);
	A = az_arena_new(AZ_MIB(64));
	mem = rpc_allocator(A);
	err = (struct az_err)AZ_ERR_INIT;
	return A ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	az_arena_free(A);
	return 0;
}

static void
ok(enum az_code rc)
{
	if (rc != AZ_OK)
		fail_msg("%s", err.text);
}

/* ---- reading them ---- */

static struct az_str
file(const char *path)
{
	struct az_str s;
	struct az_buf b;

	az_buf_init(&b, AZ_MIB(1));
	ok(az_read_file(path, AZ_MIB(1), &b, &err));
	s = az_arena_str(A, az_buf_str(&b));
	az_buf_release(&b);
	assert_true(s.n > 0);
	return s;
}

static const struct az_json *
json(struct az_str text)
{
	const struct az_json *j = NULL;

	ok(az_json_parse_in(A, text, &az_json_own_limits, &j, &err));
	return j;
}

/* The embedded engine's: a row of its journal per line. */
static struct az_history
local_of(const char *path, struct az_event **ev)
{
	struct az_str rest = file(path), line;
	struct az_history h = {0};

	*ev = az_arena_alloc(A, sizeof(**ev) * EVENTS_MAX);
	assert_non_null(*ev);
	while (az_str_line(&rest, &line)) {
		const struct az_json *j = json(line);

		assert_true(h.n < EVENTS_MAX);
		(*ev)[h.n++] = (struct az_event){
		    .type = az_ev_by_name(az_json_gets(j, "type")),
		    .id = az_json_geti(j, "id", 0),
		    .ref = az_json_geti(j, "ref", -1),
		    .t_ms = az_json_geti(j, "t_ms", 0),
		    .attempt = (int)az_json_geti(j, "attempt", -1),
		    .name = az_json_gets(j, "name"),
		    .payload = az_json_gets(j, "payload"),
		    .reason = az_json_gets(j, "reason"),
		    .message = az_json_gets(j, "message"),
		};
	}
	h.ev = *ev;
	return h;
}

static struct az_history
local(struct az_event **ev)
{
	return local_of(LOCAL, ev);
}

static Azt__History *
temporal(void)
{
	struct az_str bytes = file(TEMPORAL);
	Azt__History *m =
	    (Azt__History *)temporal_unpack(&azt__history__descriptor, &mem, bytes.p, bytes.n);

	assert_non_null(m);
	return m;
}

/* The first n events of it, as a worker is handed them. */
static struct az_history
mapped(const Azt__History *m, size_t n)
{
	Azt__History page = *m;
	struct events e;

	events_init(&e, A);
	page.n_events = n;
	ok(events_add(&R, &e, &page, &err));
	assert_true(az_str_eqc(e.uid, "alice"));
	assert_true(az_str_eqc(e.type, az_flow_coding.name));
	return (struct az_history){e.v, e.n};
}

/* ---- folding them ---- */

/* What a command becomes in a history; 0 for an event that no command makes. */
static enum az_ev_type
made_by(enum az_cmd_type t)
{
	switch (t) {
	case AZ_CMD_SCHEDULE_FN:
		return AZ_EV_FN_SCHEDULED;
	case AZ_CMD_CANCEL_FN:
		return AZ_EV_FN_CANCEL_REQUESTED;
	case AZ_CMD_START_TIMER:
		return AZ_EV_TIMER_STARTED;
	case AZ_CMD_COMPLETE:
		return AZ_EV_COMPLETED;
	case AZ_CMD_FAIL:
		return AZ_EV_FAILED;
	case AZ_CMD_CANCELED:
		return AZ_EV_CANCELED;
	case AZ_CMD_CONTINUE: /* leaves no history behind */
		break;
	}
	return 0;
}

static bool
is_commanded(enum az_ev_type t)
{
	for (int c = AZ_CMD_SCHEDULE_FN; c <= AZ_CMD_CANCELED; c++)
		if (made_by((enum az_cmd_type)c) == t)
			return true;
	return false;
}

/* The fold of h's first n events wants what stands there next, up to the next fact. Inputs
   may have got members since, so that names and kinds are compared. How many it wants. */
static size_t
check_prefix(const struct az_history *h, size_t n)
{
	struct az_history begun = {h->ev, n};
	struct az_cmds c;

	if (az_flow_coding.fold(&begun, A, &c, &err) != AZ_OK)
		fail_msg("the first %zu events are refused: %s", n, err.text);
	for (size_t i = 0; i < c.n; i++) {
		if (n + i >= h->n || h->ev[n + i].type != made_by(c.v[i].type))
			fail_msg("after %zu events: not what was done", n);
		if (c.v[i].type == AZ_CMD_SCHEDULE_FN)
			assert_true(az_str_eq(c.v[i].name, h->ev[n + i].name));
	}
	if (n + c.n < h->n && is_commanded(h->ev[n + c.n].type))
		fail_msg("after %zu events: less than what was done", n);
	return c.n;
}

static void
check_all(const struct az_history *h)
{
	size_t wanted = 0;

	assert_true(az_ev_is_close(h->ev[h->n - 1].type));
	for (size_t n = 1; n <= h->n; n++)
		wanted += check_prefix(h, n);
	assert_true(wanted > 0);
	assert_int_equal(check_prefix(h, h->n), 0);
}

static void
the_embedded_engines_histories_replay(void **state)
{
	glob_t g;

	(void)state;
	assert_int_equal(glob(DIR "*.local.jsonl", 0, NULL, &g), 0);
	assert_true(g.gl_pathc >= 4);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct az_event *ev;
		struct az_history h = local_of(g.gl_pathv[i], &ev);

		print_message("# %s\n", strrchr(g.gl_pathv[i], '/') + 1);
		check_all(&h);
	}
	globfree(&g);
}

static void
temporals_history_replays(void **state)
{
	Azt__History *m = temporal();
	struct az_history h = mapped(m, m->n_events), begun;
	size_t tasks = 0;

	(void)state;
	check_all(&h);
	/* cut where the server did: at each workflow task */
	for (size_t i = 0; i < m->n_events; i++) {
		if (m->events[i]->event_type != AZT__EVENT_TYPE__E__WORKFLOW_TASK_STARTED)
			continue;
		begun = mapped(m, i + 1);
		for (size_t k = 0; k < begun.n; k++)
			assert_int_equal(begun.ev[k].id, h.ev[k].id);
		assert_true(check_prefix(&h, begun.n) > 0);
		tasks++;
	}
	/* the start, and the end of each function */
	assert_int_equal(tasks, 8);
}

/* ---- what readers see ---- */

static void
strip(struct az_jw *w, const struct az_json *j)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	if (az_json_type(j) == AZ_JOBJ) {
		az_jw_obj(w);
		while (az_json_each(j, &it, &key, &v)) {
			if (az_str_eqc(key, "t") || az_str_eqc(key, "ms") ||
			    az_str_ends(key, AZ_S("_ms")))
				continue;
			az_jw_keys(w, key);
			strip(w, v);
		}
		az_jw_end(w, '}');
	} else if (az_json_type(j) == AZ_JARR) {
		az_jw_arr(w);
		for (size_t i = 0; i < az_json_len(j); i++)
			strip(w, az_json_at(j, i));
		az_jw_end(w, ']');
	} else {
		az_jw_value(w, j);
	}
}

static bool
tell(void *arg, const struct az_flow_event *e)
{
	struct az_buf *b = arg;
	struct az_jw w;

	az_buf_adds(b, e->type);
	az_buf_addc(b, " ");
	az_jw_init(&w, b);
	strip(&w, json(e->data));
	az_buf_addc(b, "\n");
	return true;
}

/* The public events without times and durations, a line each. */
static const char *
told(const struct az_history *h)
{
	struct az_buf b;
	char *text;

	az_buf_init(&b, AZ_MIB(1));
	ok(az_flow_events(h, 0, A, tell, &b, &err));
	ok(az_buf_check(&b, "test", &err));
	text = az_arena_cstr(A, az_buf_str(&b));
	az_buf_release(&b);
	assert_non_null(text);
	return text;
}

static void
both_tell_the_same_run(void **state)
{
	struct az_event *ev;
	struct az_history h[] = {local(&ev), {0}};
	Azt__History *m = temporal();

	(void)state;
	h[1] = mapped(m, m->n_events);
	assert_non_null(strstr(told(&h[0]), "run.finished {"));
	assert_string_equal(told(&h[0]), told(&h[1]));
	for (size_t i = 0; i < 2; i++) {
		struct az_flow_view v;

		ok(az_flow_view(&h[i], A, &v, &err));
		assert_string_equal(v.status, "succeeded");
		assert_int_equal(v.iteration, 2);
		assert_int_equal(v.best_iteration, 2);
	}
}

/* ---- histories that it could not have made ---- */

static void
assert_refused(const struct az_history *h, size_t tampered)
{
	struct az_history before = {h->ev, tampered};
	struct az_cmds c;

	ok(az_flow_coding.fold(&before, A, &c, &err));
	assert_int_equal(az_flow_coding.fold(h, A, &c, &err), AZ_EINTERNAL);
}

/* Each function in turn under another's name, one that this run never called. */
static void
a_changed_name_is_refused(void **state)
{
	struct az_event *ev;
	struct az_history h = local(&ev);
	Azt__History *m = temporal();
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < h.n; i++) {
		struct az_str name = ev[i].name;

		if (ev[i].type != AZ_EV_FN_SCHEDULED)
			continue;
		ev[i].name = AZ_S(AZ_FN_PREFLIGHT);
		assert_refused(&h, i);
		ev[i].name = name;
		n++;
	}
	assert_int_equal(n, 7);
	check_all(&h);
	for (size_t i = 0; i < m->n_events; i++) {
		Azt__HistoryEvent *e = m->events[i];
		Azt__ActivityType *t;
		const char *name;

		if (e->event_type != AZT__EVENT_TYPE__E__ACTIVITY_TASK_SCHEDULED)
			continue;
		t = e->activity_task_scheduled->activity_type;
		name = t->name;
		t->name = AZ_FN_PREFLIGHT;
		h = mapped(m, m->n_events);
		assert_refused(&h, mapped(m, i).n);
		t->name = name;
		n--;
	}
	assert_int_equal(n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(the_embedded_engines_histories_replay),
	    T(temporals_history_replays),
	    T(both_tell_the_same_run),
	    T(a_changed_name_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
