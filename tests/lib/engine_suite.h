/*
 * The contract of the engine port: what every engine does, whichever it is. A program names
 * the adapter in engine_adapter and runs ENGINE_TESTS with engine_setup and engine_teardown.
 */
#ifndef ENGINE_SUITE_H
#define ENGINE_SUITE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <azlon/engine.h>

/* Where engines may differ, and how this one does. What is not here is the same on all. */
struct engine_adapter {
	const char *name;
	struct az_engine *(*open)(const char *dir);
	int64_t patience_ms; /* how long a test waits for what must happen */
	/* times are ours alone, so that a test may say how soon; a server's are not */
	bool prompt;
	/* event ids are 1, 2, 3 …, and last_event is one of them; else they only rise, and
	   the engine counts bookkeeping of its own between them */
	bool gapless;
	/* lists are up to date, newest first, and counts are by owner; else an index
	   trails, and a count goes by the hints */
	bool exact_lists;
	bool removes_at_once; /* else some time after it said yes */
	/* a history that the fold cannot have made fails the run; else the run stays open
	   for a worker that knows better */
	bool fails_bad_history;
	bool knows_no_worker; /* has_worker ends with the worker; else a minute later */
	bool stop_is_free;    /* a worker that stops uses up no try of its functions */
	bool cancels_once;    /* a repeated cancel leaves no second event */
};

extern const struct engine_adapter *engine_adapter;

struct engine_app {
	_Atomic int calls, running;
	_Atomic bool go;
	_Atomic int64_t t[8]; /* when the attempts began */
};

/* by the names echo, flaky, later, denied, big, hang, beat, heir */
extern const struct az_function engine_functions[];

struct engine_host {
	struct az_engine *e;
	pthread_t thread;
	struct az_worker opt;
	enum az_code rc;
	struct az_err err;
};

struct engine_fx {
	char dir[64];
	struct az_engine *e;
	struct engine_app app;
	struct engine_host host[2];
	struct az_arena *a;
};

int engine_setup(void **state);
int engine_teardown(void **state);

/* Wait a moment without waking for nothing too often. */
void engine_moment(void);
/* Start and stop worker 0 or 1. */
void engine_hire(struct engine_fx *f, int i);
void engine_dismiss(struct engine_fx *f, int i);
/* A new run of this script (toy_flow.h), of alice. */
void engine_begin(struct engine_fx *f, const char *id, const char *script);

struct az_run_info engine_info(struct engine_fx *f, const char *id);
/* Follow the run until test says so; fails when the adapter's patience ends. */
struct az_run_info engine_until(struct engine_fx *f, const char *id,
    bool (*test)(const struct az_run_info *r, int64_t arg), int64_t arg);
struct az_run_info engine_done(struct engine_fx *f, const char *id, enum az_run_state state);
bool engine_in_state(const struct az_run_info *r, int64_t state);
bool engine_runs_fn(const struct az_run_info *r, int64_t attempt);
/* How often fn_beat did, as its run shows it; 0 before the first one is seen. */
int64_t engine_beat_of(const struct az_run_info *r);
bool engine_beats(const struct az_run_info *r, int64_t n);

/* All of it, checked for order and for its end. */
struct az_history engine_history(struct engine_fx *f, const char *id);
/* The first of this type; fails when there is none. */
const struct az_event *engine_event(const struct az_history *h, enum az_ev_type type);
/* The whole history as text: types, names, and what they refer to by its place:
   "started fn_scheduled:echo fn_completed@2 completed". */
void assert_told(const struct az_history *h, const char *want);

#define assert_str(s, c)                                                                           \
	do {                                                                                       \
		struct az_str s_ = (s);                                                            \
		if (!az_str_eqc(s_, c))                                                            \
			fail_msg("\"%.*s\" is not \"%s\"", AZ_FMT(s_), c);                         \
	} while (0)

#define ENGINE_TESTS(T)                                                                            \
	T(start_is_seen_at_once_and_only_once)                                                     \
	T(bad_arguments_are_refused)                                                               \
	T(a_run_goes_from_function_to_function)                                                    \
	T(history_is_read_in_parts)                                                                \
	T(what_is_not_retryable_fails_at_once)                                                     \
	T(retries_end_with_the_policy)                                                             \
	T(retry_after_is_honoured)                                                                 \
	T(a_waiting_retry_can_be_seen_and_cancelled)                                               \
	T(each_clock_runs_out_with_its_name)                                                       \
	T(schedule_to_close_counts_without_a_worker_too)                                           \
	T(heartbeats_are_seen_while_it_runs)                                                       \
	T(heartbeats_keep_a_function_alive)                                                        \
	T(the_next_attempt_inherits_the_heartbeat)                                                 \
	T(timers_fire_in_time)                                                                     \
	T(signals_reach_the_fold)                                                                  \
	T(cancel_reaches_a_running_function)                                                       \
	T(cancel_before_any_worker_is_not_lost)                                                    \
	T(terminate_ends_everything)                                                               \
	T(only_what_is_over_is_removed)                                                            \
	T(a_result_over_the_limit_fails_the_function)                                              \
	T(an_impossible_history_goes_no_further)                                                   \
	T(lists_page_newest_first_and_by_owner)                                                    \
	T(wait_returns_in_time_or_when_told)                                                       \
	T(a_stopped_worker_hands_its_function_over)                                                \
	T(two_workers_share_without_doing_anything_twice)                                          \
	T(a_long_history_is_read_whole)                                                            \
	T(a_signal_starts_what_is_not_open)                                                        \
	T(a_history_begins_anew)                                                                   \
	T(timers_of_a_new_history_are_its_own)                                                     \
	T(no_signal_is_lost_at_an_end)                                                             \
	T(it_answers_a_ping)

#define ENGINE_DECLARE(t) void engine_test_##t(void **state);
ENGINE_TESTS(ENGINE_DECLARE)
#undef ENGINE_DECLARE

#endif
