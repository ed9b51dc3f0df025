/*
 * The embedded engine, private to the room. One struct local per open engine.
 * local.c has the life cycle; README.md says who runs which thread.
 */
#ifndef AZLON_ENGINE_LOCAL_H
#define AZLON_ENGINE_LOCAL_H

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/engine.h>
#include <azlon/limits.h>

#define LOCAL_ID_MAX 200
#define LOCAL_SCHEMA 1
#define LOCAL_APP_ID 0x415a4c4a /* "AZLJ" */
/* A worker not heard of for so long has lost its leases. */
#define LOCAL_LEASE_MS 10000
/* Behind every wake-up stands a sweep. */
#define LOCAL_SWEEP_MS 1000
/* A function that killed its worker so often is given up. */
#define LOCAL_DEATHS_MAX 16
/* So is a run whose fold did so. */
#define LOCAL_CRASHES_MAX 5
/* Events after which a run is told nothing any more, but for its first cancel. */
#define LOCAL_TOLD_MAX 10000
#define LOCAL_HEARTBEAT_BYTES AZ_KIB(20)
#define LOCAL_NEVER INT64_MAX

struct local;

/* ---- local_sql.c: one connection, its statements prepared on first use ---- */
enum query {
	Q_BEGIN,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_RUN_ADD,
	Q_RUN_GET,
	Q_RUN_HEAD,
	Q_RUN_PUT,
	Q_RUN_RENEW,
	Q_RUN_OWNER,
	Q_RUN_TOUCH,
	Q_RUN_DEL,
	Q_EVENT_ADD,
	Q_EVENTS,
	Q_EVENTS_DEL,
	Q_LAST_CANCEL,
	Q_LIST,
	Q_LIST_STATE,
	Q_LIST_OPEN,
	Q_LIST_SIZE,
	Q_LOAD_RUNS,
	Q_LOAD_TASKS,
	Q_DIRTY,
	Q_TASK_ADD,
	Q_TASK_TAKE,
	Q_TASK_DROP_FREE,
	Q_TASK_DROP_IDLE,
	Q_TASK_CANCEL,
	Q_TASK_RETRY,
	Q_TASK_GET,
	Q_TASKS_OF,
	Q_TASKS_DEL,
	Q_TASKS_DUE,
	Q_TASK_CLAIM,
	Q_TASK_FREE,
	Q_TASKS_OWNED,
	Q_TASKS_LATE,
	Q_TASK_NEXT,
	Q_OWNERS,
	Q_SLOTS,
	Q_TIMER_ADD,
	Q_TIMER_DEL,
	Q_TIMERS_DEL,
	Q_TIMERS_DUE,
	Q_META_GET,
	Q_META_PUT,
	Q_TASKS_REBASE,
	Q_TIMERS_REBASE,
	Q_VERSION_OF,
	Q_DATA_VERSION,
	Q_PING,
	Q_COUNT
};

struct conn {
	sqlite3 *db;
	sqlite3_stmt *st[Q_COUNT];
};

/* Bind by fmt ('i' int64_t, 's' struct az_str, 'd' double) and step once. The
   statement is in *st unless the result is an error; reset it with sql_end(). */
int sql_step(struct conn *c, enum query q, sqlite3_stmt **st, const char *fmt, ...);
/* The same for a statement without rows: step, reset. SQLITE_DONE when fine. */
int sql_do(struct conn *c, enum query q, const char *fmt, ...);
void sql_end(sqlite3_stmt *st);
int64_t sql_i64(sqlite3_stmt *st, int col);
struct az_str sql_str(sqlite3_stmt *st, int col); /* until the next step */
/* An SQLite failure as ours. */
enum az_code sql_fail(struct conn *c, int rc, const char *op, struct az_err *err);
void conn_close(struct conn *c);

/* ---- local_schema.c ---- */
/* Open for writing: checks that the file is ours, makes the tables when new. */
enum az_code schema_open(const char *path, struct conn *c, struct az_err *err);
/* Is the file under c one of ours, of this version? Fresh: it is empty. */
enum az_code schema_ours(struct conn *c, const char *path, bool *fresh, struct az_err *err);
/* A further connection: read-only, or for checkpoints. */
enum az_code schema_reader(const char *path, bool readonly, struct conn *c, struct az_err *err);
/* quick_check; AZ_EIO with reason "journal_damaged". */
enum az_code schema_check(struct conn *c, const char *path, struct az_err *err);

/* ---- local_event.c: events as rows ---- */
enum az_code event_add(struct conn *c, int64_t run, const struct az_event *ev, struct az_err *err);
/* The row under st as an event with its text in a; run is for the checksum. */
enum az_code event_read(
    sqlite3_stmt *st, int64_t run, struct az_arena *a, struct az_event *ev, struct az_err *err);

/* ---- local_live.c: who works and the latest heartbeats; not durable ---- */
struct live {
	int fd;
	/* a worker whose process lived a moment ago, and until when that is news enough */
	_Atomic uint64_t lives;
	_Atomic int64_t lives_until;
};
struct live_worker {
	uint64_t id;
	int64_t seen;       /* boot clock, ms */
	uint64_t start, ns; /* of the process */
	int32_t pid;
	uint32_t state; /* 1 working, 2 draining */
};
#define LIVE_WORKERS 64
#define LIVE_SLOTS 1024
#define LIVE_SLOT_BYTES 24576
/* Where things stand in the file. */
#define LIVE_WORKERS_AT 4096
#define LIVE_CRASHES_AT 8192
#define LIVE_SLOTS_AT 12288
#define LIVE_FOLDS_AT (LIVE_SLOTS_AT + LIVE_SLOTS * LIVE_SLOT_BYTES)
enum az_code live_open(struct live *l, int dirfd, struct az_err *err);
void live_close(struct live *l);
/* Under the journal's lock. Index of the entry, -1 when all are taken. */
int live_enter(struct live *l, uint64_t id);
/* False when somebody took the entry while we were stopped. */
bool live_touch(struct live *l, int index, uint64_t id, uint32_t state);
void live_leave(struct live *l, int index, uint64_t id);
/* All entries; those not in use have id 0. False on a read error. */
bool live_workers(struct live *l, struct live_worker w[LIVE_WORKERS]);
/* Has this worker been heard of, and does its process live as far as we see? */
bool live_ok(const struct live_worker *w, int64_t now);
/* Did its process die, rather than be late? */
bool live_gone(const struct live_worker *w, int64_t now);
bool live_any(struct live *l);
/* Heartbeat slots: token says whose it is. */
bool slot_clear(struct live *l, int slot, int64_t token);
bool slot_put(struct live *l, int slot, int64_t token, uint64_t seq, struct az_str s);
uint64_t slot_seq(struct live *l, int slot, int64_t token);
/* Details of token in slot, copied into a; empty if there are none. */
struct az_str slot_get(struct live *l, int slot, int64_t token, struct az_arena *a);

/* ---- local_wake.c: datagrams to all who wait or work ---- */
struct wake {
	pthread_mutex_t mu;
	int dir, out;  /* the directory; socket to send from */
	int in;        /* ours to receive, -1 until wake_listen() */
	char name[64]; /* of in */
	char (*peers)[64];
	size_t n_peers;
	struct timespec mtime;
	int64_t scanned;
};
enum az_code wake_open(struct wake *w, int dirfd, struct az_err *err);
enum az_code wake_listen(struct wake *w, struct az_err *err);
void wake_send(struct wake *w, const char *msg, size_t n);
void wake_close(struct wake *w);

/* ---- local_writer.c: one thread commits what all threads queued ---- */
struct op {
	struct op *next;
	/* In the write transaction. Checks before its first write, so that a failure
	   with anything written is SQLite's own; may be applied again. */
	enum az_code (*apply)(struct local *e, struct conn *c, struct op *op);
	sem_t done;
	enum az_code rc;
	struct az_err err;
	bool sql;     /* the failure was SQLite's */
	bool touched; /* something changed: wake those who watch id */
	char id[LOCAL_ID_MAX + 1];
};
struct writer {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	pthread_t thread, cp_thread;
	bool started, cp_started, stop, cp_wanted;
	struct op *head, **tail;
	struct conn c; /* the thread's alone once it runs */
	int lockfd;
	pthread_cond_t cp_cond;
	int cp_frames, cp_at;         /* the thread's: frames seen, when to checkpoint next */
	_Atomic int64_t commits, ops; /* counters for tests and benches */
};
enum az_code writer_open(struct local *e, struct az_err *err);
void writer_stop(struct local *e); /* ends the threads */
void writer_close(struct local *e);
void op_init(struct op *op, struct az_str id,
    enum az_code (*apply)(struct local *, struct conn *, struct op *));
/* Queue; op must live until op_wait(). */
enum az_code op_send(struct local *e, struct op *op, struct az_err *err);
enum az_code op_wait(struct op *op, struct az_err *err);
enum az_code op_run(struct local *e, struct op *op, struct az_err *err);
/* For apply: an SQLite failure. */
enum az_code op_sql(struct op *op, struct conn *c, int rc, const char *what);
/* local_checkpoint.c: after a commit, with frames now in the log. */
void checkpoint_poke(struct local *e, int frames);
void checkpoint_join(struct local *e);

/* ---- local_read.c ---- */
struct run_head {
	int64_t n, last_event, start_ms;
	enum az_run_state state;
	struct az_str type; /* in the arena; empty from head_get() */
};
/* For apply: AZ_ENOTFOUND without such a run. local_ops.c */
enum az_code head_get(struct conn *c, struct op *op, const char *id, struct run_head *h);
struct reader {
	struct reader *next;
	struct conn c;
};
struct readers {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	struct reader *idle;
	int n_idle, n_out;
};
enum az_code reader_take(struct local *e, struct reader **out, struct az_err *err);
void reader_give(struct local *e, struct reader *r, bool broken);
/* Events and head of one moment; head may be NULL. */
enum az_code read_history(struct local *e, struct az_str id, int64_t after, size_t max,
    struct az_arena *a, struct run_head *head, struct az_history *out, struct az_err *err);
/* 0 when there is no such run. */
enum az_code read_version(
    struct local *e, struct reader *r, struct az_str id, int64_t *version, struct az_err *err);

/* ---- local_fold.c: folds that kill their worker; kept in "live" ---- */
struct folding {
	pthread_mutex_t mu;
	int row;       /* of the worker in this process, -1 if none */
	uint32_t busy; /* cells, as bits */
	uint64_t id;
};
/* The worker that folds here from now on; row -1: nobody does. */
void fold_host(struct local *e, int row, uint64_t id);
struct fold_mark {
	int row, cell, crash; /* -1: none */
};
/* About to fold this run. False when that killed so many workers that it is not to be
   done again; else end with fold_end(). */
bool fold_begin(struct local *e, const struct run_head *h, struct fold_mark *m);
void fold_end(struct local *e, const struct fold_mark *m);
/* Did workers leave folds they did not end? Under the journal's lock: count them. */
bool fold_left(struct live *l, const struct live_worker w[LIVE_WORKERS]);
void fold_count(struct live *l);
enum az_code fold_count_apply(struct local *e, struct conn *c, struct op *op);

/* ---- local_watch.c ---- */
struct watch {
	pthread_mutex_t mu;
	pthread_t thread;
	bool started, all;
	_Atomic bool stop, used;
	int poke; /* eventfd */
	struct watched **bucket;
	struct waiter *waiters;
	size_t n_watched, n_stops;
	int worker_poke; /* eventfd of a working dispatcher, or -1 */
};
enum az_code watch_open(struct local *e, struct az_err *err);
void watch_close(struct local *e);
enum az_code watch_start(struct local *e, struct az_err *err);
void watch_worker(struct local *e, int eventfd);
/* These runs changed (n ids, '\n' after each; "*" = any); beat: a heartbeat only. */
void watch_note(struct local *e, const char *ids, size_t n, bool beat);
/* Tell everybody, here and in other processes. */
void local_note(struct local *e, const char *ids, size_t n, bool beat);

/* ---- local_decide.c: fold a run and write what follows ---- */
enum fence { FENCE_NONE, FENCE_HELD, FENCE_FREE, FENCE_TIMER };
struct trigger {
	bool any; /* is there an event? else only fold */
	struct az_event ev;
	enum fence fence;
	int64_t token; /* FENCE_HELD */
	int attempt;   /* FENCE_HELD, FENCE_FREE */
};
struct decision;
/*
 * One commit that appends the trigger and what the fold makes of it. AZ_ECONFLICT when
 * the run moved on meanwhile (try again), AZ_EPRECOND when the fence no longer
 * holds or the run is closed or gone (drop it).
 */
enum az_code decide_send(struct local *e, const struct az_workflow *workflows, struct az_str id,
    const struct trigger *t, struct decision **out, struct az_err *err);
enum az_code decide_wait(struct decision *d, struct az_err *err);
/* Both, again while in conflict. */
enum az_code decide(struct local *e, const struct az_workflow *workflows, struct az_str id,
    const struct trigger *t, struct az_err *err);

/* ---- local_task.c: ops on tasks ---- */
struct attempt;
struct claim_op {
	struct op op;
	uint64_t owner;
	const struct az_function *functions;
	int max;
	struct attempt **got; /* max pointers */
	int n;
};
enum az_code claim_apply(struct local *e, struct conn *c, struct op *op);
struct retry_op {
	struct op op;
	int64_t ref, token;
	int64_t delay_ms;
	bool lost, death; /* does not count as a try; the worker died */
	struct az_str reason, message, heartbeat;
};
/* AZ_EPRECOND: not ours any more; AZ_ECONFLICT: cancelled meanwhile. */
enum az_code retry_apply(struct local *e, struct conn *c, struct op *op);
struct reclaim_op {
	struct op op;
	uint64_t owner;
};
enum az_code reclaim_apply(struct local *e, struct conn *c, struct op *op);
struct enter_op {
	struct op op;
	uint64_t owner;
	int index;
};
enum az_code enter_apply(struct local *e, struct conn *c, struct op *op);
/* local_ops.c, used inside ops: a run's history begins anew, under the same row; fails as
   SQLite's own. start_ms differs from that of before, so that whoever read the run then
   finds that it is another. */
enum az_code renew_apply(
    struct conn *c, struct op *op, const struct run_head *h, const struct az_event *started);
/* Append an event the fold has to see; used inside ops. */
enum az_code append_apply(struct conn *c, struct op *op, const char *id, struct az_event *ev);

/* ---- local_worker.c, local_fn.c ---- */
struct worker;

struct attempt {
	struct attempt *next;
	struct worker *w;
	struct az_fn_ctx ctx;
	struct az_arena *arena; /* holds all of this */
	const struct az_function *fn;
	struct az_str input;
	struct az_fn_opts opts;
	int64_t token, started, dead; /* boot clock, ms; dead: LOCAL_NEVER if none */
	int slot, lost_tries;
	_Atomic bool cancel, lost, over;
	_Atomic int64_t beat; /* when it last gave a sign */
	pthread_mutex_t mu;   /* of what follows */
	struct az_buf hb;
	uint64_t hb_seq;
	bool hb_new; /* hb is not written out yet */
	int64_t hb_written;
};

struct worker {
	struct local *e;
	const struct az_worker *opt;
	uint64_t id;
	int index, slots, drain_ms;
	int poke; /* eventfd */
	pthread_mutex_t mu;
	pthread_cond_t cond; /* for function threads: work */
	pthread_cond_t idle; /* for those that wait to store a result again */
	pthread_cond_t renew;
	struct attempt *queue, *running, *done;
	int n_busy, n_threads; /* n_busy: queued and running */
	bool quit, renewing, renew_quit;
	bool evicted; /* our place among the living was taken */
	_Atomic bool draining, half, abandoned;
};

/* local_round.c: what the dispatcher does when it is awake. */
struct peer {
	uint64_t id;
	int fd; /* pidfd: readable when it died */
};

struct dispatch {
	struct worker *w;
	struct reader *r;
	struct peer peer[LIVE_WORKERS];
	size_t n_peers;
	uint64_t seen[LIVE_WORKERS]; /* ids when the pidfds were opened */
	int64_t swept, fold_after;
	bool reap, more;
	struct az_err err;
};

/* One round of all there is to do; returns when the next is due at the latest. */
int64_t dispatch_round(struct dispatch *d);
/* Sleep until then, until poked, or until another worker dies. */
void dispatch_rest(struct dispatch *d, int64_t until);
/* Attempts that run now. Only the dispatcher frees them, so they stay valid. */
size_t dispatch_running(struct worker *w, struct attempt *v[256]);
void dispatch_end(struct dispatch *d);
void dispatch_complain(const char *ev, const struct az_err *err);

/* How an attempt failed. */
struct failure {
	enum az_code code;
	const char *reason, *message;
	struct az_str details; /* what it left as its result */
	int64_t retry_after_ms;
	bool retryable;
};
void attempt_free(struct attempt *a);
/* Which clock ran out, or NULL; *next is lowered to when the first one will. */
const char *attempt_clock(const struct attempt *a, int64_t now, int64_t *next);
/* f->message names the clock: fill in the rest. */
void attempt_timeout(struct failure *f);
void *fn_thread(void *worker);
/* Retry by the policy, or fail for good; drops it when the lease is lost. */
enum az_code attempt_failed(struct attempt *a, const struct failure *f, struct az_err *err);
/* Give the lease up: another worker takes over at once. */
void attempt_release(struct attempt *a);
/* Write out a heartbeat that was held back. */
void attempt_flush(struct attempt *a, int64_t now);
enum az_code local_work(struct az_engine *e, const struct az_worker *w, struct az_err *err);
void local_stop(struct az_engine *e);

struct local {
	struct az_engine base;
	char *dir, *path;
	int dirfd;
	struct live live;
	struct wake wake;
	struct writer writer;
	struct readers readers;
	struct watch watch;
	struct folding folding;
	pthread_mutex_t mu;
	struct worker *worker;
	bool leaked; /* a function never came back: memory stays */
	_Atomic bool stop;
	int stop_fd;
};

/* Slots of local_ops.c, local_read.c, local_watch.c. */
enum az_code local_start(
    struct az_engine *e, const struct az_start *s, bool *existed, struct az_err *err);
enum az_code local_signal(struct az_engine *e, struct az_str id, const char *name,
    struct az_str payload, struct az_err *err);
enum az_code local_signal_start(struct az_engine *e, const struct az_start *s, const char *name,
    struct az_str payload, struct az_err *err);
enum az_code local_cancel(
    struct az_engine *e, struct az_str id, struct az_str payload, struct az_err *err);
enum az_code local_terminate(
    struct az_engine *e, struct az_str id, const char *reason, struct az_err *err);
enum az_code local_remove(struct az_engine *e, struct az_str id, struct az_err *err);
enum az_code local_describe(struct az_engine *e, struct az_str id, struct az_arena *a,
    struct az_run_info *out, struct az_err *err);
enum az_code local_history(struct az_engine *e, struct az_str id, int64_t after, size_t max,
    struct az_arena *a, struct az_history *out, struct az_err *err);
enum az_code local_load(
    struct az_engine *eng, const char *type, struct az_engine_load *out, struct az_err *err);
enum az_code local_count(
    struct az_engine *e, const struct az_list_query *q, int64_t *n, struct az_err *err);
enum az_code local_list(struct az_engine *e, const struct az_list_query *q, struct az_arena *a,
    struct az_list_page *out, struct az_err *err);
enum az_code local_wait(struct az_engine *e, struct az_str id, int64_t seen, int64_t ms,
    const bool *stop, int64_t *now, struct az_err *err);
enum az_code local_ping(struct az_engine *e, struct az_err *err);

#endif
