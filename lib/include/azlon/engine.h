/*
 * Engine port: durable workflows. Adapters: local (SQLite journal, one host) and
 * restack (Temporal's protocol). Callers use the az_engine_* functions, which check
 * preconditions once and then call the adapter.
 */
#ifndef AZLON_ENGINE_H
#define AZLON_ENGINE_H

#include <azlon/history.h>

struct az_engine;

struct az_start {
	struct az_str workflow_id; /* 1..200 bytes of [A-Za-z0-9_-] */
	const char *type;          /* workflow name */
	struct az_str uid;         /* owner, kept in the memo */
	struct az_str input;       /* JSON, <= AZ_LIM_PAYLOAD_BYTES */
	struct az_str memo;        /* JSON object, small, or empty */
};

enum az_run_state {
	AZ_RUN_OPEN = 1,
	AZ_RUN_COMPLETED,
	AZ_RUN_FAILED,
	AZ_RUN_CANCELED,
	AZ_RUN_TIMED_OUT,
	AZ_RUN_TERMINATED
};

/* A function that is scheduled and not finished. */
struct az_pending {
	struct az_str name;
	int attempt;                             /* from 1 */
	bool running;                            /* a worker holds it now */
	int64_t next_ms;                         /* wall time of the next try, 0 if running */
	struct az_str last_reason, last_message; /* of the previous attempt */
	struct az_str heartbeat;                 /* latest details, JSON or empty */
};

struct az_run_info {
	struct az_str workflow_id, uid, type, memo;
	enum az_run_state state;
	int64_t start_ms, close_ms;
	int64_t version;    /* changes with every event and heartbeat */
	int64_t last_event; /* id of the last event */
	struct az_pending pending[4];
	size_t n_pending;
	struct az_str close_payload; /* of the closing event, in list rows and info */
	bool has_worker;             /* a worker polled lately (local: <= 10 s, restack: <= 75 s);
					describe says it also when it fails with AZ_ENOTFOUND */
};

struct az_list_query {
	struct az_str uid;
	struct az_str type; /* workflow name, or empty: all */
	/* A hint, or empty: how every wanted id begins. An engine that has no index by owner
	   narrows its search by it; rows are the caller's to check. */
	struct az_str prefix;
	int state;            /* 0 = all, else enum az_run_state */
	int limit;            /* 1..200 */
	struct az_str cursor; /* from the page before, or empty */
};
struct az_list_page {
	struct az_run_info *runs; /* newest first; no pending, no version */
	size_t n;
	struct az_str next; /* empty = last page */
};

/* What an engine has in hand, over all users; -1: it does not say. */
struct az_engine_load {
	int64_t runs[AZ_RUN_TERMINATED + 1]; /* of one workflow, by enum az_run_state; those it
						still knows */
	int64_t fn_waiting;                  /* functions that are due and no worker has */
	int64_t fn_later;                    /* that wait for their next try */
	int64_t fn_running;                  /* that a worker has */
	int64_t timers;
};

/* ---- functions (Temporal: activities) ---- */
struct az_fn_ctx {
	struct az_str workflow_id, uid, name;
	int64_t ref;                  /* stable across attempts: idempotency */
	int attempt;                  /* from 1 */
	struct az_str last_heartbeat; /* details the previous attempt left, or empty */
	struct az_arena *arena;       /* dies after the call */
	/* Set by the engine. Heartbeats are cheap, latest wins, at most 16 KiB+. */
	void (*heartbeat)(struct az_fn_ctx *ctx, struct az_str json);
	/* True when the run was cancelled, the lease lost, the time is up or the worker
	   stops: end within 5 s. */
	bool (*cancelled)(struct az_fn_ctx *ctx);
	void *engine; /* the engine's own */
};

/*
 * One attempt. result: JSON, <= AZ_LIM_PAYLOAD_BYTES (the engine checks). A failure
 * is retried by the policy when az_code_retryable(code); AZ_ECANCELLED when told to
 * stop; err->reason is the failure's type; err->retry_after_ms overrides the backoff.
 */
struct az_function {
	const char *name;
	enum az_code (*run)(struct az_fn_ctx *ctx, void *app, struct az_str input,
	    struct az_buf *result, struct az_err *err);
};

struct az_worker {
	const struct az_workflow *workflows; /* ends with name == NULL */
	const struct az_function *functions; /* ends with name == NULL */
	void *app;                           /* handed to functions */
	int slots;                           /* functions at once, 0 = 8 */
	int drain_ms;                        /* on stop: wait, then abandon leases; 0 = 10 000 */
};

struct az_engine_ops {
	const char *name; /* value of AZLON_ENGINE */
	/* Durable when it returns. *existed: the id was there already (nothing changed). */
	enum az_code (*start)(
	    struct az_engine *e, const struct az_start *s, bool *existed, struct az_err *err);
	enum az_code (*describe)(struct az_engine *e, struct az_str id, struct az_arena *a,
	    struct az_run_info *out, struct az_err *err);
	/* Events with id > after, oldest first, at most max. */
	enum az_code (*history)(struct az_engine *e, struct az_str id, int64_t after, size_t max,
	    struct az_arena *a, struct az_history *out, struct az_err *err);
	enum az_code (*list)(struct az_engine *e, const struct az_list_query *q, struct az_arena *a,
	    struct az_list_page *out, struct az_err *err);
	/* How many such runs there are; limit and cursor do not matter. */
	enum az_code (*count)(
	    struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err);
	/* Runs are those of this workflow. Not cheap: it may look at every run. out comes zeroed.
	 */
	enum az_code (*load)(
	    struct az_engine *e, const char *type, struct az_engine_load *out, struct az_err *err);
	/* Until the run's version differs from seen, or ms passed, or *stop became true
	   (stop may be NULL); *now is the version then. */
	enum az_code (*wait)(struct az_engine *e, struct az_str id, int64_t seen, int64_t ms,
	    const bool *stop, int64_t *now, struct az_err *err);
	/* AZ_EQUOTA, "too_many_signals": its history is too long for that. */
	enum az_code (*signal)(struct az_engine *e, struct az_str id, const char *name,
	    struct az_str payload, struct az_err *err);
	/* Signal the run of s's id; start s before, in the same step, if it is not open. Of a
	   closed run only the new one is seen afterwards. */
	enum az_code (*signal_start)(struct az_engine *e, const struct az_start *s,
	    const char *name, struct az_str payload, struct az_err *err);
	enum az_code (*cancel)(struct az_engine *e, struct az_str id, struct az_str payload,
	    struct az_err *err); /* idempotent; closed = AZ_ECONFLICT */
	enum az_code (*terminate)(
	    struct az_engine *e, struct az_str id, const char *reason, struct az_err *err);
	/* Forget a closed run. Open = AZ_ECONFLICT. */
	enum az_code (*remove)(struct az_engine *e, struct az_str id, struct az_err *err);
	/* Is it reachable? Cheap; for readiness. */
	enum az_code (*ping)(struct az_engine *e, struct az_err *err);
	/* Host workflows and functions until az_engine_stop(). AZ_ETIMEOUT: a function did
	   not end when told to and still uses what it was given. */
	enum az_code (*work)(struct az_engine *e, const struct az_worker *w, struct az_err *err);
	void (*stop)(struct az_engine *e); /* async-signal-safe */
	void (*close)(struct az_engine *e);
};
struct az_engine {
	const struct az_engine_ops *ops;
};

/* Embedded engine: journal, wake sockets and locks in dir (made, 0770). */
struct az_engine_local_opts {
	const char *dir;
};
AZ_API AZ_MUST_CHECK enum az_code az_engine_local_open(
    const struct az_engine_local_opts *o, struct az_engine **out, struct az_err *err);

/*
 * The journal in dir as one new file, as it was at one moment, while processes read and write
 * it. The copy is checked as a whole, synced, and appears under its name only then. AZ_ECONFLICT:
 * there is a file of that name. Only dir's owner may.
 */
struct az_engine_local_copy {
	int64_t runs, open; /* in it; open: not over */
};
AZ_API AZ_MUST_CHECK enum az_code az_engine_local_backup(
    const char *dir, const char *to, struct az_engine_local_copy *out, struct az_err *err);
/*
 * Such a file as the journal in dir, which is made if there is none. AZ_ECONFLICT: a journal is
 * there already. AZ_EUNAVAIL: processes have that engine open. AZ_EIO: from is no whole journal
 * of this version. Nothing has changed then.
 */
AZ_API AZ_MUST_CHECK enum az_code az_engine_local_restore(
    const char *dir, const char *from, struct az_engine_local_copy *out, struct az_err *err);

/*
 * A Restack engine, Restack Cloud, or a plain Temporal server. Strings are copied; NULL
 * or empty means unset. Opening connects to nothing: who comes first after the server
 * went away waits for it as long as its call allows. AZ_EINVAL names the variable.
 */
struct az_engine_restack_opts {
	struct az_http *http;         /* for the HTTP side (endpoints, keys, blobs) */
	const char *address;          /* gRPC: host[:port] or http(s)://host[:port] */
	const char *temporal_address; /* older: then this is gRPC and address the HTTP side */
	const char *api_address;      /* HTTP side; NULL = port 6233 of the engine's host */
	const char *codec_address;    /* large payloads; NULL = beside the HTTP side */
	const char *engine_id;        /* NULL = "local" */
	const char *api_key;          /* turns TLS on */
	const char *ns;               /* namespace; NULL = "default" */
	const char *queue;            /* task queue without prefix; NULL = "restack" */
	const char *ca_file;          /* a private CA */
	bool tls;                     /* TLS without a key too */
	bool no_endpoints;            /* do not register workflows with the HTTP side */
};
AZ_API AZ_MUST_CHECK enum az_code az_engine_restack_open(
    const struct az_engine_restack_opts *o, struct az_engine **out, struct az_err *err);

AZ_API AZ_MUST_CHECK enum az_code az_engine_start(
    struct az_engine *e, const struct az_start *s, bool *existed, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_describe(struct az_engine *e, struct az_str id,
    struct az_arena *a, struct az_run_info *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_history(struct az_engine *e, struct az_str id,
    int64_t after, size_t max, struct az_arena *a, struct az_history *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_list(struct az_engine *e, const struct az_list_query *q,
    struct az_arena *a, struct az_list_page *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_count(
    struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_load(
    struct az_engine *e, const char *type, struct az_engine_load *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_wait(struct az_engine *e, struct az_str id,
    int64_t seen, int64_t ms, const bool *stop, int64_t *now, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_signal(struct az_engine *e, struct az_str id,
    const char *name, struct az_str payload, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_signal_start(struct az_engine *e,
    const struct az_start *s, const char *name, struct az_str payload, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_cancel(
    struct az_engine *e, struct az_str id, struct az_str payload, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_terminate(
    struct az_engine *e, struct az_str id, const char *reason, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_remove(
    struct az_engine *e, struct az_str id, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_ping(struct az_engine *e, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_engine_work(
    struct az_engine *e, const struct az_worker *w, struct az_err *err);
AZ_API void az_engine_stop(struct az_engine *e);
AZ_API void az_engine_close(struct az_engine *e); /* accepts NULL */

#endif
