/*
 * Private to lib/box. See README.md for who owns what.
 *
 * Locks: server.mu (the table of boxes, idempotency) before box.mu (everything of one
 * box); neither is held over a system call that can block, except sends that cannot.
 */
#ifndef BOX_H
#define BOX_H

#include <pthread.h>
#include <sys/socket.h>
#include <azlon/box.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/json.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "agent_wire.h"
#include "record.h"
#include "walls.h"

#define BOX_ID 21
#define BOX_TOKEN 64
#define BOX_HOME "/home/user"
#define BOX_UID 1000 /* of programs in a box; their group too */
#define BOX_AGENT_UID 1001
#define BOX_WHEELS "/opt/azlon/wheels"
#define BOX_PATH                                                                                   \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"                            \
	"/opt/azlon/bin:" BOX_HOME "/.local/bin"
#define BOX_ENVD "0.6.13"
#define PROC_WINDOW (512u * 1024u) /* output under way from the agent */
#define PROC_RING (1024u * 1024u)  /* kept for a Connect when nobody listens */
#define PROC_KEEP_MS 30000         /* the exit, for a late Connect */
#define PROC_MAX 256
#define READ_WINDOW (512u * 1024u)
#define ALLOW_MAX 64
#define BLOCKED_MAX 64
#define BOX_KEEP_S 86400 /* how long a paused box is kept */
#define PAST_MAX 32      /* journals of boxes that are gone */

/* ---- spare.c: boxes that wait for their owner ---- */
bool spares_start(struct az_box_server *s);
void spares_stop(struct az_box_server *s); /* ends them too; s->stopping is set */
/* One that is ready, with the caller's reference; NULL: start one. */
struct box *spare_take(struct az_box_server *s);
/* It died: it is no longer one. */
void spare_forget(struct box *b);
unsigned spares_count(struct az_box_server *s);

/* ---- the server ---- */
struct idem {
	struct idem *next;
	char *key;
	unsigned char body[32];
	char id[BOX_ID + 1]; /* "" while the first is under way */
	int64_t until_ms;
};

/* SDKs look for these very words to tell "gone" from "unreachable". */
#define BOX_NOT_FOUND "The sandbox was not found"
#define BOX_GONE "sandbox_gone" /* the reason of gone() */

struct past {
	char id[BOX_ID + 1];
	char why[128]; /* it ended */
	struct journal journal;
};

struct az_box_server {
	char *dir, *agent, *bwrap, *key, *templates, *wheels;
	int port;
	int64_t memory, disk;
	int pids, cpu_pct, max;
	bool tmpfs_home;
	struct cgroups cg;
	struct az_buf bpf;
	struct spawner *spawner;
	struct slots slots;
	int spares_want;
	struct box *spares; /* ready, not listed */
	pthread_t stocker;
	bool stocker_on;
	int64_t stock_at;                                 /* boot: not before */
	bool (*vet)(const struct sockaddr *sa, int port); /* tests put their own */
	unsigned canaries;                                /* bit per canary passed */

	pthread_mutex_t mu;
	pthread_cond_t changed;
	struct box *boxes;
	int live; /* boxes not yet fully gone, listed or not */
	int starting;
	struct idem *idem;
	struct past past[PAST_MAX]; /* a ring */
	unsigned past_next;
	struct box **look;  /* the reaper's */
	int64_t started_ms; /* wall */
	int pausers;        /* threads that pause a box whose time is over */
	bool stopping;
	pthread_t reaper;
	bool reaper_on;
	/* ports of programs */
	char *domain;
	int ports_fd;
	pthread_t ports;
	bool ports_on;
	unsigned heads; /* threads that read one */
};

/* ---- one box ---- */
struct call { /* a request to the agent and its answers */
	struct call *next;
	uint32_t id;
	pthread_cond_t cond;
	struct az_buf in;  /* whole frames */
	size_t at;         /* of in already handed out */
	struct az_buf cur; /* the one call_next() handed out */
	bool overflow;
};

struct sub { /* somebody who follows a process */
	struct sub *next;
	struct az_buf q; /* records: u8 stream, u32 length, bytes */
};

struct proc {
	struct proc *next;
	unsigned refs; /* box list + handlers */
	uint32_t id, pid;
	bool started, ended, failed, pty, has_stdin, killed;
	enum aw_fail fail_kind;
	char fail_text[240];
	char *cmd, *tag, *config; /* config: JSON of List */
	uint32_t stdin_room;      /* what the agent still takes */
	bool feeding;             /* one input at a time, so that each stays whole */
	int64_t taken_ms;         /* boot, when it last took of its input */
	struct sub *subs;
	struct az_buf ring;
	uint32_t ungranted;
	uint64_t total[4];
	bool cut;
	char stop[96];               /* why we ended it */
	int64_t stop_at, timeout_ms; /* boot; its client left, its timeout stays; 0: none */
	bool signalled;
	int code;
	uint32_t tasks; /* of the box when it ended */
	int64_t ended_ms, oom0, pids0;
	char error[128]; /* of the end event */
	pthread_cond_t cond;
};

struct blocked {
	char host[256];
	int port;
	unsigned count;
	char why[64];
};

enum box_state { BOX_RUNNING, BOX_PAUSING, BOX_PAUSED, BOX_RESUMING };

struct box {
	struct box *next;
	struct az_box_server *srv;
	_Atomic unsigned refs;
	char id[BOX_ID + 1], token[BOX_TOKEN + 1];
	struct az_json *req;               /* the create body, owned */
	const struct az_json *meta, *envs; /* borrowed from req */
	int64_t started_ms, end_ms;        /* wall; end_ms under srv->mu */
	int64_t deadline_ms;               /* boot; under srv->mu */
	int64_t memory;
	int64_t ttl_s;
	bool auto_pause; /* at the deadline; under srv->mu */
	bool auto_pause_memory, auto_resume;

	char home[512]; /* host path, or "" */
	int slot;       /* or -1 */
	pid_t pid;
	int init_fd; /* pidfd of PID 1 */
	int sock, wake;
	pthread_t io;
	bool served; /* io runs, and buries it */
	unsigned hello_env, hello_fds;

	pthread_mutex_t mu;
	pthread_cond_t cond;    /* hello, room in out, death */
	bool hello, dead, gone; /* gone: no process is left */
	char why[128];          /* of death */
	enum box_state state;
	bool pause_memory; /* paused with its programs */
	int64_t paused_ms; /* boot */
	struct meter meter;
	struct journal journal;
	struct az_buf out;
	uint32_t next_id;
	struct call *calls;
	struct proc *procs;
	unsigned nprocs;
	struct watcher *watchers;
	/* network */
	bool internet, proxy_on; /* proxy_on: the agent listens, whatever may be reached */
	char *allow[ALLOW_MAX];
	size_t allows;
	struct conn *conns;
	unsigned nconns, connectors, ndials;
	struct blocked blocked[BLOCKED_MAX];
	size_t nblocked;
	uint64_t net_up, net_down, net_opened;
	char traffic[BOX_TOKEN + 1]; /* who asks for a port shows it; "": anybody may */
	struct az_str mask;          /* Host for its programs, a view into req; "": as it came */
};

/* ---- table.c: the boxes of a server ---- */
/* Small stack, all signals blocked. */
bool thread_start(pthread_t *t, void *(*fn)(void *), void *arg, bool detached);
struct box *box_find(struct az_box_server *s, struct az_str id); /* referenced */
void box_unref(struct box *b);
bool box_id_ok(const char *name); /* could it be one's id? */
/* Move the deadline; false when the box is not running. */
bool box_touch(struct box *b, int64_t timeout_s, bool only_extend);

/* ---- pause.c ---- */
/* Nothing can be done in it now: with b->mu held; away() says why. */
bool box_away(const struct box *b);
enum az_code away(const struct box *b, const char *op, struct az_err *err);
struct box_pause {
	bool memory;  /* keep the programs; else they are ended first */
	bool healthy; /* only if the agent answers */
	const char *by;
};
/* AZ_ECONFLICT: is paused. AZ_EUNAVAIL: gone, or cannot now and runs on. */
enum az_code box_pause(struct box *b, const struct box_pause *how, struct az_err *err);
/* Make it run, at least for timeout_s; without memory, its programs are ended. A running
   one only has its time extended, *was_paused is false then. */
enum az_code box_resume(struct box *b, bool memory, int64_t timeout_s, const char *by,
    bool *was_paused, struct az_err *err);
bool box_paused(struct box *b);
/* Is it there for a request? One that may be woken by requests is, if wake. */
bool box_ready(struct box *b, bool wake);
/* Its time is over: pause it on a thread of its own. With srv->mu held; false: not to be. */
bool box_rest(struct box *b, int64_t now);

/* ---- life.c ---- */
void token_make(char out[BOX_TOKEN + 1]);
/* A new one that runs and is on no list; its only reference is the caller's. */
enum az_code box_prepare(struct az_box_server *s, struct az_str template, int64_t memory,
    struct box **out, struct az_err *err);
/* Start one. req is consumed in any case. The result is referenced and listed. */
enum az_code box_create_own(struct az_box_server *s, struct az_json *req, int64_t timeout_s,
    int64_t memory, struct box **out, struct az_err *err);
/* Take it off the table and kill it; with wait, until nothing of it is left. */
void box_destroy(struct box *b, const char *why, bool wait);
/* What ended meanwhile, in the words of one that is not there. With b->mu held. */
enum az_code gone(const struct box *b, struct az_err *err, const char *op);

/* ---- link.c: frames to and from the agent ---- */
void *link_main(void *box);
/* bulk: wait for room; else never blocks. With b->mu held. */
enum az_code link_send(struct box *b, uint32_t id, enum aw_type type, struct az_str x,
    struct az_str y, bool bulk, struct az_err *err);
enum az_code link_send_u32(struct box *b, uint32_t id, enum aw_type type, uint32_t v);
void link_wake(struct box *b);
void put_u32(struct az_buf *b, uint32_t v);
void put_text(struct az_buf *b, struct az_str s);
/* Of a payload that holds paths: AZ_EINVAL when they are too long. */
enum az_code path_check(const struct az_buf *b, const char *op, struct az_err *err);
/* One whole frame from the agent, with b->mu held; false: protocol broken. */
bool link_frame(struct box *b, struct aw_frame *f);

/* ---- call.c ---- */
enum az_code call_open(
    struct box *b, struct call *c, enum aw_type type, struct az_str payload, struct az_err *err);
/* A question with one answer, within ms; *f is valid until call_close(c, false), which
   is due in any case. Never blocks on a full socket. */
enum az_code call_ask(struct box *b, struct call *c, enum aw_type type, struct az_str payload,
    int64_t ms, struct aw_frame *f, struct az_err *err);
/* Next answer. AW_FAIL becomes its error; AW_OK and others are handed out. */
enum az_code call_next(
    struct box *b, struct call *c, int64_t deadline_ms, struct aw_frame *f, struct az_err *err);
/* Is an answer there already? */
bool call_pending(struct box *b, struct call *c);
/* AW_ABORT is sent when abort_it. */
void call_close(struct box *b, struct call *c, bool abort_it);
enum az_code agent_error(enum aw_fail kind, struct az_str text, const char *op, struct az_err *err);
struct entry {
	uint8_t kind;
	bool link;
	uint32_t mode, uid, gid;
	uint64_t size, mtime_ns;
	struct az_str path, target;
	struct aw_rd meta; /* pairs of texts, whole */
};
bool entry_parse(struct aw_rd r, struct entry *e);

/* ---- proc.c: a command from start to end ---- */
/* By pid or, when tag.p is set, by tag; referenced; NULL if there is none. */
struct proc *proc_find(struct box *b, uint32_t pid, struct az_str tag, bool ended_too);
void proc_unref(struct box *b, struct proc *p);
void proc_free(struct proc *p);
/* Forget exits nobody asked for in time, and the oldest when there are PROC_MAX. With
   b->mu held. */
void procs_sweep(struct box *b);
uint32_t proc_task_limit(const struct box *b); /* of the programs, less than the group's */
void proc_frame(struct box *b, struct proc *p, struct aw_frame *f, bool *ok);
void procs_wake(struct box *b); /* it died or was paused: nobody waits on */
/* End everybody in it, and say why. With b->mu held. */
enum az_code procs_end(struct box *b, const char *why, struct az_err *err);
/* Until nothing runs, or the deadline. With b->mu held. */
void procs_wait(struct box *b, int64_t deadline_ms);
/* Kill the tree and say why in the end event. */
void proc_stop(struct box *b, struct proc *p, const char *why);
void proc_time_out(struct box *b, struct proc *p, int64_t timeout_ms);
/* As proc_time_out(), when at (az_boot_ms() time) has come, give or take a second. */
void proc_stop_later(struct box *b, struct proc *p, int64_t at, int64_t timeout_ms);
void procs_overdue(struct box *b, int64_t now);
enum az_code proc_input(struct box *b, struct proc *p, struct az_str bytes, struct az_err *err);

/* ---- proc_start.c ---- */
struct proc_start {
	struct az_str cmd, cwd, tag;
	const struct az_json *args, *envs; /* array, object; may be NULL */
	bool has_stdin, pty;
	uint16_t cols, rows;
};
/* Start and wait until it runs; *sub follows it from the first byte. Referenced. */
enum az_code proc_start(struct box *b, const struct proc_start *s, struct sub *sub,
    struct proc **out, struct az_err *err);

/* ---- proc_output.c: what it writes, and who follows ---- */
/* With b->mu held. */
void proc_follow(struct box *b, struct proc *p, struct sub *sub);
void proc_leave(struct box *b, struct proc *p, struct sub *sub);
/* Bytes from the agent; *ok false when it had no credit for them. With b->mu held. */
void proc_output(struct box *b, struct proc *p, int stream, struct az_str s, bool *ok);
/*
 * Wait for records or the end. Swaps what is there into *got (reset by the caller);
 * *ended when nothing will follow. got NULL: look only, take nothing. AZ_ETIMEOUT at the deadline,
 * gone() on death.
 */
enum az_code proc_wait(struct box *b, struct proc *p, struct sub *sub, int64_t deadline_ms,
    struct az_buf *got, bool *ended, struct az_err *err);
bool record_next(struct az_str *rest, int *stream, struct az_str *bytes);

/* ---- fs_watch.c ---- */
void watchers_free(struct box *b);

/* ---- canary.c ---- */
enum az_code canaries_run(struct az_box_server *s, struct az_err *err);

/* ---- connect.c: Connect-RPC over HTTP ---- */
#define CONNECT_MAX AZ_MIB(4)
/* One envelope from the front. 1: *flags, *msg, *used set; 0: more; -1: over the cap,
   -2: compressed or unknown flag. */
int envelope_next(struct az_str s, unsigned *flags, struct az_str *msg, size_t *used);
/* What is wrong when it gives less than 1 and no more will come. */
enum az_code envelope_fail(int got, struct az_err *err);
void envelope_add(struct az_buf *b, unsigned flags, struct az_str msg);
const char *connect_code(enum az_code c);
/* Unary answer of a failure. */
enum az_code connect_fail(struct az_rq *rq, const struct az_err *e);
/* Check content type and encoding, read the body; *stop when it was answered already. */
enum az_code connect_unary(
    struct az_rq *rq, const struct az_json **body, bool *stop, struct az_err *err);
/* The one message of a server stream's request. */
enum az_code connect_message(struct az_rq *rq, const struct az_json **msg, struct az_err *err);
enum az_code connect_stream(struct az_rq *rq, bool *stop, struct az_err *err);
extern const struct az_json_limits connect_limits;
enum az_code stream_send(struct az_rq *rq, struct az_str json, struct az_err *err);
/* The end frame; e NULL = clean. */
enum az_code stream_end(struct az_rq *rq, const struct az_err *e, struct az_err *err);
#define LOOK_MS 1000 /* how often a silent stream looks for its client */
/* Keepalive-Ping-Interval, within reason, in ms. */
int64_t connect_keepalive(struct az_rq *rq);
/* Connect-Timeout-Ms: boot deadline or -1; *ms 0 = none. */
enum az_code connect_timeout(struct az_rq *rq, int64_t *ms, struct az_err *err);

/* ---- handlers ---- */
enum az_code check_host(struct az_rq *rq, const struct az_box_server *s, struct az_err *err);
enum az_code check_key(struct az_rq *rq, const struct az_box_server *s, struct az_err *err);
/* The box of an envd request, referenced until the arena ends; *stop: answered. The
   first asks for no token. */
enum az_code envd_find(
    struct az_rq *rq, struct az_box_server *s, struct box **out, bool *stop, struct az_err *err);
/* Authorized: wake it if it may be woken; *stop: answered, it is paused. */
enum az_code envd_awake(struct az_rq *rq, struct box *b, bool *stop, struct az_err *err);
enum az_code envd_box(
    struct az_rq *rq, struct az_box_server *s, struct box **out, bool *stop, struct az_err *err);
enum az_code rs_error(struct az_rq *rq, int status, const char *message, struct az_err *err);
/* The one user there is, or nobody named. */
enum az_code check_username(struct az_str user, struct az_err *err);
/* It, of Basic "user:". */
enum az_code envd_user(struct az_rq *rq, struct az_err *err);

typedef enum az_code box_handler(struct az_rq *rq, void *app, struct az_err *err);
box_handler control_create_v1, control_create_v2, control_get, control_list, control_delete,
    control_timeout, control_connect_v1, control_connect_v2, control_refresh, control_network,
    control_none, health, health_azlon;
box_handler control_list_v1, control_pause, control_resume, control_metrics, control_metrics_many,
    control_logs_v1, control_logs_v2, control_templates, control_alias, envd_metrics;
box_handler process_start, process_connect, process_list, process_input, process_stream_input,
    process_signal, process_close_stdin, process_update;
box_handler fs_stat, fs_list, fs_mkdir, fs_move, fs_remove;
box_handler fs_watch, fs_watcher_create, fs_watcher_events, fs_watcher_remove;
box_handler envd_files_get, envd_files_post, envd_files_compose, envd_envs;

#endif
