/*
 * The E2B client, private to this room: control plane in e2b_rest.c, e2b_create.c, e2b_line.c,
 * e2b_lease.c, e2b_find.c and e2b_blocked.c, Connect RPC framing and unary calls in e2b_connect.c,
 * commands in e2b_process.c, files in e2b_files.c and e2b_form.c.
 */
#ifndef AZ_SANDBOX_E2B_H
#define AZ_SANDBOX_E2B_H

#include <pthread.h>
#include <stdatomic.h>
#include <azlon/json.h>
#include <azlon/sandbox.h>

#define E2B_ENVD_PORT "49983"
#define E2B_KEEPALIVE_S 15 /* below common proxy timeouts of 60 s */
#define E2B_CALL_MS 60000  /* one unary call */
#define E2B_PROBE_MS 5000
#define E2B_GRACE_MS 2000
#define E2B_FRAME_BYTES AZ_MIB(4)
#define E2B_REPLY_BYTES AZ_MIB(16) /* listings */
#define E2B_PAGES 100
#define E2B_WAIT_MS 10000 /* a busy service's Retry-After is waited out here up to this */
#define E2B_LINE_MS 5000  /* at the cap: look so often whether somebody else's ended */
#define E2B_LEASES 256

#define E2B_GONE "sandbox_killed" /* until e2b_cause() knows better */
#define E2B_EXPIRED "sandbox_expired"
#define E2B_MEMORY "sandbox_memory"
#define E2B_UNREACHABLE "sandbox_unreachable"
#define E2B_AWAY "sandbox_unavailable"
#define E2B_CAP "sandbox_cap"

/* How long a sandbox lives at least, as far as we were told. */
struct e2b_lease {
	char id[65];
	int life_s;
	int64_t ends_ms; /* boot clock */
	int64_t next_ms; /* no other try to prolong it before */
};

struct e2b_place; /* in the line for a sandbox */

/* What all views of a service share. */
struct e2b_shared {
	pthread_mutex_t mu;
	pthread_cond_t changed; /* the line moved, or a sandbox ended */
	struct e2b_lease lease[E2B_LEASES];
	struct e2b_place *first;
	uint64_t ended;          /* sandboxes that we killed */
	atomic_int api;          /* control plane version: 0 not known yet, 1, 2 */
	atomic_bool counts_none; /* it says nothing of refused connections */
};

struct e2b {
	struct az_sandbox base;
	struct az_http *http; /* borrowed */
	char *api_url, *sandbox_url, *domain, *key, *template_id;
	struct e2b *root; /* the service; itself unless this is a caller's view of it */
	struct e2b_shared *shared;
	bool kills_trees;
	bool (*cancelled)(void *arg); /* of a view, else NULL */
	void *arg;
	int idle_ms;  /* silence of a stream that makes us ask /health */
	int grace_ms; /* past a command's time limit, for the service to end it
			 and say so before we do */
	int wait_ms;  /* E2B_WAIT_MS */
	int line_ms;  /* E2B_LINE_MS */
};

static inline struct e2b *
e2b_of(struct az_sandbox *s)
{
	return (struct e2b *)s;
}

/* Is the caller whose view this is told to stop? arg is the struct e2b. */
bool e2b_stopped(void *arg);

/* e2b.c: addressing */
/* Base URL of the sandbox's daemon into b, without a trailing '/'. */
void e2b_envd_url(const struct e2b *e, const struct az_box_ref *ref, struct az_buf *b);
/* Header lines every call to a sandbox carries; fixed slots, so no allocation. */
struct e2b_head {
	char id[96], port[40], token[600], user[200];
	const char *line[16];
	size_t n;
};
enum az_code e2b_head_init(
    struct e2b_head *h, const struct az_box_ref *ref, const char *user, struct az_err *err);
void e2b_head_add(struct e2b_head *h, const char *line); /* borrowed; room for 10 */
/* Does this daemon know of a default user (envd >= 0.4.0)? */
bool e2b_default_user(const struct az_box_ref *ref);

/* e2b_err.c: what answers become */
/* A non-2xx answer of the control plane. */
enum az_code e2b_rest_fail(const struct az_http_resp *r, const char *op, struct az_err *err);
/* A non-2xx answer of a sandbox (files, RPC, or a proxy before it). */
enum az_code e2b_envd_fail(const struct az_http_resp *r, const char *op, struct az_err *err);
/* A Connect error by its code name, "not_found"; message for the text. */
enum az_code e2b_rpc_fail(
    struct az_str code, struct az_str message, const char *op, struct az_err *err);
/* Transport failed: ask /health whether the sandbox lives, and say which it is.
   AZ_ENOTFOUND (gone), AZ_ECANCELLED, else AZ_EUNAVAIL; *lives (may be NULL): it
   answered. */
enum az_code e2b_explain(
    struct e2b *e, const struct az_box_ref *ref, const char *op, bool *lives, struct az_err *err);
bool e2b_transport(enum az_code code);
/* Does it answer? AZ_OK, AZ_ENOTFOUND (gone), AZ_ECANCELLED or AZ_EUNAVAIL. */
enum az_code e2b_probe(struct e2b *e, const struct az_box_ref *ref, struct az_err *err);

/* A sandbox that is gone: why, as far as its life and the service's words tell. */
void e2b_cause(struct e2b *e, struct az_str id, struct az_err *err);

/* e2b_lease.c: how long sandboxes live */
/* asked_ms: when it was asked for, since the service may have counted from then. */
void e2b_lease_set(struct e2b *e, struct az_str id, int64_t asked_ms, int life_s);
void e2b_lease_drop(struct e2b *e, struct az_str id);
bool e2b_lease_over(struct e2b *e, struct az_str id); /* it is known to have run out */
/* While something is under way in it, call this about twice a second: prolongs a life that
   is about to end. *look_ms starts at 0 and belongs to the caller. */
void e2b_lease_keep(struct e2b *e, const struct az_box_ref *ref, int64_t *look_ms);

/* e2b_line.c: standing in line at the cap */
struct e2b_place {
	struct e2b_place *next;
	bool in_line, tried; /* tried: since it came first */
	uint64_t ended;      /* as it was at the last try */
};
/* Is somebody waiting already? Then who comes now waits behind. */
bool e2b_line_busy(struct e2b *e);
/* Until it is this place's turn to try (again). False: deadline_ms passed or told to stop. */
bool e2b_line_wait(struct e2b *e, struct e2b_place *p, int64_t deadline_ms);
void e2b_line_leave(struct e2b *e, struct e2b_place *p);
void e2b_line_ended(struct e2b *e); /* a sandbox of ours did */

/* e2b_connect.c: frames */
struct e2b_frames {
	unsigned char head[5];
	size_t head_n;
	uint32_t need; /* payload length of the frame at hand */
	struct az_buf body;
	size_t max;
	bool ended; /* the end-of-stream frame was seen */
	/* one whole frame; payload borrowed for the call */
	enum az_code (*frame)(void *arg, bool end, struct az_str payload, struct az_err *err);
	void *arg;
};
void e2b_frames_init(struct e2b_frames *f, size_t max_bytes,
    enum az_code (*frame)(void *arg, bool end, struct az_str payload, struct az_err *err),
    void *arg);
void e2b_frames_release(struct e2b_frames *f);
/* Any split of the same bytes gives the same frames. Fails with AZ_EUPSTREAM on unknown
   flags, compression, an oversize frame or bytes after the end, or what frame said. */
enum az_code e2b_frames_push(struct e2b_frames *f, struct az_str bytes, struct az_err *err);
/* The stream is over: AZ_EUPSTREAM unless a clean end was seen. */
enum az_code e2b_frames_done(const struct e2b_frames *f, struct az_err *err);
void e2b_frame_wrap(struct az_buf *b, struct az_str payload); /* one request frame */

/* One unary call, "process.Process/List". *reply is yours (az_json_free) unless
   reply is NULL. */
struct e2b_call {
	const char *method;
	struct az_str body;
	const char *user;
	size_t max_bytes;             /* of the reply, 0 = 1 MiB */
	int total_ms;                 /* 0 = E2B_CALL_MS */
	bool no_probe;                /* a failure needs no explaining */
	bool always;                  /* also when the caller is told to stop */
	bool (*cancelled)(void *arg); /* instead of the view's, or NULL */
	void *arg;
};
enum az_code e2b_unary(struct e2b *e, const struct az_box_ref *ref, const struct e2b_call *c,
    struct az_json **reply, struct az_err *err);

/* the slots */
enum az_code e2b_watched(struct az_sandbox *s, bool (*cancelled)(void *arg), void *arg,
    struct az_arena *a, struct az_sandbox **out, struct az_err *err);
enum az_code e2b_create(struct az_sandbox *s, const struct az_sb_create *c, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err);
enum az_code e2b_attach(struct az_sandbox *s, struct az_str id, int timeout_s, struct az_arena *a,
    struct az_box_ref *out, struct az_err *err);
enum az_code e2b_find(struct az_sandbox *s, const char *key, const char *value, struct az_arena *a,
    struct az_str **ids, size_t *n, struct az_err *err);
enum az_code e2b_kill(struct az_sandbox *s, struct az_str id, struct az_err *err);
enum az_code e2b_network(struct az_sandbox *s, const struct az_box_ref *b, bool internet,
    const char *const *allow, struct az_err *err);
enum az_code e2b_blocked(struct az_sandbox *s, const struct az_box_ref *b, struct az_arena *a,
    struct az_sb_blocked **out, size_t *n, struct az_err *err);
enum az_code e2b_ping(struct az_sandbox *s, struct az_err *err);
enum az_code e2b_run(struct az_sandbox *s, const struct az_box_ref *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err);
enum az_code e2b_kill_all(struct az_sandbox *s, const struct az_box_ref *b, struct az_err *err);
enum az_code e2b_upload(struct az_sandbox *s, const struct az_box_ref *b, const char *path,
    int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err);
enum az_code e2b_upload_form(struct az_sandbox *s, const struct az_box_ref *b,
    const struct az_sb_puts *p, size_t first, size_t n, struct az_err *err);
enum az_code e2b_download(struct az_sandbox *s, const struct az_box_ref *b, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err);
enum az_code e2b_list(struct az_sandbox *s, const struct az_box_ref *b, const char *path, int depth,
    struct az_arena *a, struct az_sb_entry **out, size_t *n, struct az_err *err);
enum az_code e2b_mkdir(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
enum az_code e2b_remove(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);

#endif
