/*
 * Hosting workflows and functions on a Restack engine.
 *
 * Threads: TASKS of them fold workflow tasks; one per slot polls for a function, keeps
 * its heartbeat while a thread of its own runs it, and reports. Nothing is sticky: every
 * workflow task carries its history from the first event, so any worker on any host
 * can take the next one.
 */
#ifndef AZLON_ENGINE_RESTACK_WORKER_H
#define AZLON_ENGINE_RESTACK_WORKER_H

#include "restack.h"

struct attempt; /* restack_activity.c */

struct rworker {
	struct restack *r;
	const struct az_worker *opt;
	char instance[40];        /* this worker to the server, a random key */
	_Atomic bool away;        /* said already that the engine does not answer */
	_Atomic bool unreached;   /* no answer at all, the last time it was away */
	_Atomic bool failed;      /* a poll ended for good: err says why */
	_Atomic bool cut;         /* functions are told to stop */
	_Atomic bool deaf;        /* polls are cut off */
	_Atomic int64_t stop_ms;  /* boot clock, when polls began to end; 0 = not yet */
	_Atomic int64_t moved_ms; /* when a poll was answered or a task done last */
	_Atomic int deciding;     /* workflow tasks under way */
	pthread_mutex_t mu;       /* guards the rest */
	pthread_cond_t ended;
	int threads;             /* that still run */
	int polls;               /* how many more slots may poll at once */
	int polling;             /* polls under way */
	pthread_cond_t permit;   /* one of them is free */
	struct attempt *running; /* functions under way */
	struct az_err err;
};

/* Hooks of every poll: arg is the worker. */
bool worker_poll_over(void *arg);
void worker_failing(void *arg, const struct az_err *err, int64_t next_ms);
/* After each poll: logs that the engine is back. A poll that failed for good stops the
   worker; one whose answer cannot be read does not. False when polling is over: a task
   that it brought is to be done all the same. */
bool worker_polled(struct rworker *w, enum az_code rc, const struct az_err *err);

/* ---- restack_task.c: one workflow task ---- */
void task_run(
    struct rworker *w, struct az_arena *a, const Azt__PollWorkflowTaskQueueResponse *task);

/* ---- restack_query.c ---- */
/* Answers as text (JSON) or says why not. */
struct query_answer {
	bool ok;
	struct az_str json;
	const char *error;
};
struct query_answer query_run(const struct az_workflow *wf, const struct az_history *h,
    const Azt__WorkflowQuery *q, struct az_arena *a);
/* The task is nothing but a query. why: what there is instead of an answer, or NULL. */
void query_task(struct rworker *w, struct az_arena *a,
    const Azt__PollWorkflowTaskQueueResponse *task, const struct az_workflow *wf,
    const struct az_history *h, const char *why);
/* Queries that came along with a task: their results for its completion. */
enum az_code query_results(struct rworker *w, struct az_arena *a,
    const Azt__PollWorkflowTaskQueueResponse *task, const struct az_workflow *wf,
    const struct az_history *h, Azt__RespondWorkflowTaskCompletedRequest *done, struct az_err *err);

/* ---- restack_activity.c: one attempt of a function ---- */
void activity_run(struct rworker *w, struct az_arena *a, Azt__PollActivityTaskQueueResponse *task);

#endif
