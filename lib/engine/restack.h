/*
 * The Restack engine (Temporal's protocol), private to the room. One struct restack per
 * open engine; any number of threads. restack.c has the life cycle, README.md the map.
 *
 * Memory: everything decoded lives in the arena it was decoded into.
 */
#ifndef AZLON_ENGINE_RESTACK_H
#define AZLON_ENGINE_RESTACK_H

#include <stdatomic.h>
#include <azlon/cond.h>
#include <azlon/engine.h>
#include <azlon/grpc.h>
#include <azlon/http.h>
#include <azlon/limits.h>
#include "restack_addr.h"
#include "restack_codec.h"
#include "temporal.pb-c.h"

/* Keys of a start's memo; the signal that stands for a second cancel. */
#define RESTACK_MEMO_UID "uid"
#define RESTACK_MEMO_APP "azlon"
#define RESTACK_SIGNAL_CANCEL "azlon.cancel"
#define RESTACK_HEADER_UID "azlon-uid"

struct restack_watch;   /* restack_watch.c */
struct restack_results; /* restack_results.c */

struct restack {
	struct az_engine base;
	struct restack_addr addr; /* where, who, prefixes */
	struct az_grpc *grpc;
	struct az_http *http;
	struct restack_codec *codec;
	char client_id[160];              /* "{pid}@{host}" */
	char worker_id[160];              /* "{engineId}-{pid}" */
	bool endpoints;                   /* register with the HTTP side */
	_Atomic bool no_search_attribute; /* the server does not know engineId */
	_Atomic bool stopping;            /* az_engine_stop() was called */
	_Atomic bool closing;             /* az_engine_close() was: calls under way end */
	int stop_fd;                      /* eventfd, readable once stopping */
	_Atomic bool workers;             /* somebody polls, as seen … */
	_Atomic int64_t workers_seen_ms;  /* … at this time of the boot clock */
	bool leaked; /* a function's thread would not end: nothing may be freed */
	struct restack_watch *watch;
	struct restack_results *results;
};

/* ---- restack_rpc.c: one method of the service, message in, message out ---- */
enum rpc {
	RPC_START,
	RPC_HISTORY,
	RPC_HISTORY_WAIT, /* the long poll of the same method */
	RPC_DESCRIBE,
	RPC_LIST,
	RPC_COUNT,
	RPC_SIGNAL,
	RPC_SIGNAL_START,
	RPC_CANCEL,
	RPC_TERMINATE,
	RPC_DELETE,
	RPC_SYSTEM_INFO,
	RPC_NAMESPACE,
	RPC_TASK_QUEUE,
	RPC_POLL_WORKFLOW,
	RPC_WORKFLOW_DONE,
	RPC_WORKFLOW_FAILED,
	RPC_QUERY_DONE,
	RPC_POLL_ACTIVITY,
	RPC_ACTIVITY_DONE,
	RPC_ACTIVITY_FAILED,
	RPC_ACTIVITY_CANCELED,
	RPC_HEARTBEAT,
	RPC_SHUTDOWN,
	RPC_COUNT_OF
};

struct rpc_call {
	enum rpc method;
	const void *req;              /* the method's request message */
	int64_t total_ms;             /* all tries; 0 = the method's row */
	int64_t deadline_ms;          /* one try; 0 = the method's row */
	bool (*cancelled)(void *arg); /* NULL: the closing of the engine ends it */
	void (*failing)(void *arg, const struct az_err *err, int64_t next_ms);
	void *arg;
};

/*
 * Pack, call with the method's deadline and retries, unpack into a. *reply is the
 * method's response message. st may be NULL; details in it are the caller's to release.
 * AZ_EUPSTREAM when the reply is no such message.
 */
enum az_code rpc_call(struct restack *r, const struct rpc_call *c, struct az_arena *a, void *reply,
    struct az_grpc_status *st, struct az_err *err);
/* Where messages are unpacked: they die with the arena. */
ProtobufCAllocator rpc_allocator(struct az_arena *a);
/* NUL-terminated copies for protobuf-c, which wants char *; NULL when out of memory. */
char *rpc_cstr(struct az_arena *a, struct az_str s);
/* Bytes as protobuf-c wants them; borrowed. */
ProtobufCBinaryData rpc_bytes(struct az_str s);
/* A random UUID, the same for all tries of one request, so that the server knows a
   repeated one; NULL when out of memory. */
char *rpc_request_id(struct az_arena *a);
/* The prefixed workflow id in an execution message; NULL when out of memory. */
Azt__WorkflowExecution *rpc_execution(struct restack *r, struct az_arena *a, struct az_str id);

/* ---- restack_payload.c ---- */
/* One json/plain payload with text (valid JSON); NULL when out of memory. Values that
   are marked sensitive are encrypted. */
enum az_code payload_put(struct restack *r, struct az_arena *a, struct az_str json,
    Azt__Payload **out, struct az_err *err);
/* The same as a list of one; an empty text gives no payload at all. */
enum az_code payloads_put(struct restack *r, struct az_arena *a, struct az_str json,
    Azt__Payloads **out, struct az_err *err);
/*
 * The first payload as JSON text; empty when there is none or it is binary/null.
 * Large payloads are fetched. Sensitive values stay as they came: see payload_open().
 * AZ_EUNPROC naming the encoding when it is one we do not read.
 */
enum az_code payload_get(struct restack *r, struct az_arena *a, const Azt__Payload *p,
    struct az_str *out, struct az_err *err);
enum az_code payloads_get(struct restack *r, struct az_arena *a, const Azt__Payloads *p,
    struct az_str *out, struct az_err *err);
/* Take the marks of sensitive values off, decrypting them: for a function's input only. */
enum az_code payload_open(
    struct restack *r, struct az_arena *a, struct az_str *json, struct az_err *err);
/* Value of a key in a memo as JSON text, and as the string it holds; empty when there is
   none, or none we read. The same of a header. */
struct az_str fields_get(struct restack *r, struct az_arena *a, Azt__Memo__FieldsEntry *const *f,
    size_t n, const char *key);
struct az_str fields_string(struct restack *r, struct az_arena *a, Azt__Memo__FieldsEntry *const *f,
    size_t n, const char *key);
struct az_str header_string(
    struct restack *r, struct az_arena *a, const Azt__Header *h, const char *key);

/* A message of this type, initialized; NULL when out of memory. */
void *msg_new(struct az_arena *a, const ProtobufCMessageDescriptor *type);
Azt__Duration *msg_duration(struct az_arena *a, int64_t ms); /* NULL for ms <= 0 */
int64_t msg_duration_ms(const Azt__Duration *d); /* 0 for NULL and less; a century at most */
int64_t msg_ms(const Azt__Timestamp *t);         /* 0 for NULL */

/* ---- restack_failure.c: our errors and Temporal's failures ---- */
/* An application failure: type = reason, details = JSON or nothing. Texts are made UTF-8. */
enum az_code failure_put(struct restack *r, struct az_arena *a, struct az_str reason,
    struct az_str message, struct az_str details, bool retryable, int64_t next_retry_ms,
    Azt__Failure **out, struct az_err *err);
/*
 * reason and message of a failure as the folds see them: "timeout" and which one it was
 * for the engine's own timeouts; else of the first application failure, past the wrappers
 * around it, "error" standing for no type. details (may be NULL) as JSON, empty when
 * there are none, or none we read. Texts are borrowed from f or in a.
 */
enum az_code failure_get(struct restack *r, struct az_arena *a, const Azt__Failure *f,
    struct az_str *reason, struct az_str *message, struct az_str *details, struct az_err *err);

/* ---- restack_events.c: a Temporal history as the folds read it ---- */
struct event_mark; /* functions and timers by their event, see .c */
struct events {
	struct az_event *v;
	size_t n, cap;
	int64_t last_id; /* last Temporal event seen, 0 = none */
	struct event_mark *mark;
	size_t n_marks;
	size_t n_activities, n_timers; /* scheduled and started so far */
	struct az_str uid;             /* from the start's memo, empty if it has none */
	struct az_str type;            /* workflow type of the start */
	/* the start itself, for a history that begins anew; NULL before it was seen */
	const Azt__WorkflowExecutionStarted *start;
	bool suggest_end; /* the server finds the history too long */
	struct az_arena *a;
};
void events_init(struct events *e, struct az_arena *a);
/*
 * Append a page; NULL is an empty one. Texts are borrowed from it.
 *
 * Workflow tasks and other bookkeeping are no events of ours; the signal
 * RESTACK_SIGNAL_CANCEL is a cancel. Fails with AZ_EUPSTREAM, reason "history_gap" when
 * ids do not go on without a gap, "history_damaged" when events do not fit each other;
 * with AZ_EINTERNAL, reason "nondeterminism", for what follows from a command that we
 * never give; or as payloads_get() does. e is of no use then.
 */
enum az_code events_add(
    struct restack *r, struct events *e, const Azt__History *h, struct az_err *err);
/* Is ref a function that was scheduled and has not ended? */
bool events_pending(const struct events *e, int64_t ref);
/*
 * restack_fetch.c: fetch and append the rest of a run's history: from the page that token names, or
 * all of it (NULL, or an empty one). run_id may be NULL: the latest run.
 */
enum az_code events_fetch(struct restack *r, struct events *e, struct az_str id, const char *run_id,
    const ProtobufCBinaryData *token, struct az_err *err);

/* ---- restack_commands.c ---- */
/*
 * What the fold wants, as commands; activity and timer ids go on from e's counts.
 * AZ_ETOOBIG for a payload over AZ_LIM_PAYLOAD_BYTES, AZ_EINTERNAL for commands that the
 * server would refuse. *n may be 0.
 */
enum az_code commands_put(struct restack *r, struct az_arena *a, const struct events *e,
    const struct az_cmds *cmds, Azt__Command ***out, size_t *n, struct az_err *err);

/* ---- restack_results.c: closing payloads, kept ---- */
struct restack_results *results_new(void);
void results_free(struct restack_results *t); /* accepts NULL */
enum az_code restack_close_payload(struct restack *r, struct az_arena *a, Azt__WorkflowExecution *x,
    struct az_str *out, struct az_err *err);

/* ---- restack_watch.c ---- */
struct restack_watch *watch_new(struct restack *r);
void watch_free(struct restack_watch *t); /* ends its threads; accepts NULL */

/* ---- restack_describe.c ---- */
enum az_run_state restack_state(Azt__WorkflowExecutionStatus__E s);
/* Fill all of out but pending, version and close_payload. */
enum az_code restack_info(struct restack *r, struct az_arena *a,
    const Azt__WorkflowExecutionInfo *w, struct az_run_info *out, struct az_err *err);
/* Did a worker poll in the last minute or so? */
bool restack_has_worker(struct restack *r);

/* ---- client slots: restack_start.c, _describe.c, _list.c, _watch.c, _control.c ---- */
enum az_code restack_start(
    struct az_engine *e, const struct az_start *s, bool *existed, struct az_err *err);
enum az_code restack_describe(struct az_engine *e, struct az_str id, struct az_arena *a,
    struct az_run_info *out, struct az_err *err);
enum az_code restack_history(struct az_engine *e, struct az_str id, int64_t after, size_t max,
    struct az_arena *a, struct az_history *out, struct az_err *err);
enum az_code restack_list(struct az_engine *e, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err);
enum az_code restack_load(
    struct az_engine *e, const char *type, struct az_engine_load *out, struct az_err *err);
enum az_code restack_count(
    struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err);
enum az_code restack_wait(struct az_engine *e, struct az_str id, int64_t seen, int64_t ms,
    const bool *stop, int64_t *now, struct az_err *err);
enum az_code restack_signal(struct az_engine *e, struct az_str id, const char *name,
    struct az_str payload, struct az_err *err);
enum az_code restack_signal_start(struct az_engine *e, const struct az_start *s, const char *name,
    struct az_str payload, struct az_err *err);
enum az_code restack_cancel(
    struct az_engine *e, struct az_str id, struct az_str payload, struct az_err *err);
enum az_code restack_terminate(
    struct az_engine *e, struct az_str id, const char *reason, struct az_err *err);
enum az_code restack_remove(struct az_engine *e, struct az_str id, struct az_err *err);
enum az_code restack_ping(struct az_engine *e, struct az_err *err);

/* ---- worker: restack_worker.c (threads, drain), _task.c (workflow tasks), _query.c,
   _activity.c (functions, heartbeats) ---- */
enum az_code restack_work(struct az_engine *e, const struct az_worker *w, struct az_err *err);

#endif
