/*
 * What a user's workflow has in hand, read off its history: the runs that have a place,
 * those that wait for one, what they may use up today, and webhooks to deliver.
 *
 * The history says what was done, not what this code would have done: which runs were
 * admitted stands in the input of the function that told them.
 */
#ifndef AZ_FLOW_USER_H
#define AZ_FLOW_USER_H

#include <azlon/flow.h>
#include <azlon/json.h>

enum {
	USER_WAITING_MAX = 500, /* runs that wait; with all else they fit into one payload */
	USER_RUNNING_MAX = 500, /* runs with a place, where the caps set no number */
	USER_REFUSED_MAX = 300, /* to be told that too many wait; who is not told asks again */
	USER_HOOKS_MAX = 200,   /* webhooks; of more the oldest are tried once more, at once */
	USER_HOOKS_HARD = 400,  /* those included; beyond it they are dropped */
	USER_BATCH = 32,        /* runs that one call speaks to */
	USER_DAY_MS = 86400 * 1000,
	USER_CHECK_MS = 300 * 1000, /* how long a run that vanished keeps its place, at most */
	USER_NAP_MS = 5 * 1000,     /* after a failure of ours */
};

struct user_run {
	struct az_str wid;
	int64_t want[AZ_MEASURES]; /* of one with a place: what is reserved for it */
	bool hook;                 /* it has a webhook */
	int told;   /* the position it knows, 0 = none; if refused: 1 = too many waited */
	bool again; /* to be told once more that it is admitted */
	bool begun; /* it may have heard that it is, and used something */
};

struct user_list {
	struct user_run *v;
	size_t n, cap;
};

struct user_hook {
	struct az_str wid;
	int tries;
	int64_t first_ms, next_ms;
};

struct user_timer {
	int64_t id, due_ms;
};

struct user_state {
	struct az_arena *a;
	const struct az_event *started, *close;
	int64_t now_ms; /* time of the last event */

	/* as the run brought them that came last; 0 = none */
	int64_t places;
	int64_t caps[AZ_MEASURES];
	int64_t day; /* since 1970, in UTC */
	int64_t used[AZ_MEASURES];

	struct user_list running, waiting;
	struct user_list refused; /* to be told so */
	struct user_hook *hooks;
	size_t n_hooks, cap_hooks;

	/* functions under way: ids of their SCHEDULED events, 0 = none */
	int64_t admit, check, deliver;
	const struct az_json *admit_in; /* its input */
	struct az_str deliver_wid;
	bool deliver_last; /* no try follows it */
	int64_t check_ms;  /* since when the places are as checked */
	int64_t nap_ms;    /* nothing is told before */

	struct user_timer *timers;
	size_t n_timers, cap_timers;
};

/* Fails with AZ_EINTERNAL for a history that is not one of this workflow, and AZ_ENOMEM. */
enum az_code user_walk(
    struct user_state *st, const struct az_history *h, struct az_arena *a, struct az_err *err);
/* user_saved.c: what the history begins with; and the state as input of a history that begins anew,
 * which user_walk() reads. */
enum az_code user_take_start(struct user_state *st, const struct az_event *e, struct az_err *err);
void user_write(const struct user_state *st, struct az_jw *w);

/* ---- user_parts.c ---- */
enum az_code user_no_memory(struct az_err *err);
/* v with room for element n; the old array stays behind in the arena. */
void *user_room(struct az_arena *a, void *v, size_t n, size_t *cap, size_t size);
/* -1 when it is not there. */
ptrdiff_t user_find(const struct user_list *l, struct az_str wid);
enum az_code user_push(
    struct user_state *st, struct user_list *l, const struct user_run *r, struct az_err *err);
bool user_take_out(struct user_list *l, struct az_str wid, struct user_run *out);
/* One of the list as it was saved. */
enum az_code user_push_hook(struct user_state *st, const struct user_hook *h, struct az_err *err);
/* A webhook to deliver now, once; and one try of it came to its end, over: the last. */
enum az_code user_add_hook(struct user_state *st, struct az_str wid, struct az_err *err);
void user_tried(struct user_state *st, struct az_str wid, bool over);
/* When a webhook is given up. */
#define USER_HOOK_MS (INT64_C(25) * 3600 * 1000)
/* Sums of these stay far from overflow. */
#define USER_MEASURE_MAX (INT64_C(1) << 50)
int64_t user_clamp(int64_t v);
struct az_str user_text_at(const struct az_json *arr, size_t i);
/* {"iterations":…,"tokens":…,"wall_s":…,"sandbox_s":…} */
void user_read_measures(const struct az_json *j, int64_t out[AZ_MEASURES]);
void user_write_measures(struct az_jw *w, const int64_t m[AZ_MEASURES]);
void user_read_caps(struct user_state *st, const struct az_json *caps);

#endif
