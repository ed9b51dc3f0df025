/*
 * Sandbox port. One adapter, e2b: the client of E2B's protocol, used for E2B's cloud,
 * a self-hosted E2B and our own `sandbox` process alike.
 */
#ifndef AZLON_SANDBOX_H
#define AZLON_SANDBOX_H

#include <azlon/arena.h>
#include <azlon/http.h>

struct az_sandbox;  /* the service */
struct az_box_ref { /* one sandbox; text in the arena of the call that filled it */
	struct az_str id, token, domain;
	struct az_str envd_version;
};

struct az_sb_create {
	const char *template_id;     /* NULL = the configured one, else "base" */
	int timeout_s;               /* life; > 0 */
	const char *idempotency_key; /* [a-z0-9-]{1,255} or NULL */
	/* metadata pairs, NULL-terminated: key, value, key, value, NULL; or NULL */
	const char *const *metadata;
	bool internet;            /* false: no route at all */
	const char *const *allow; /* with internet: these domains and nothing else,
				     NULL-terminated; NULL or empty: any */
};

/* How a command ended. */
enum az_run_end { AZ_END_EXITED = 1, AZ_END_SIGNALLED, AZ_END_TIMEOUT, AZ_END_CANCELLED };

struct az_sb_cmd {
	const char *const *argv;   /* NULL-terminated, argv[0] the program */
	const char *const *env;    /* "K=V", NULL-terminated, or NULL */
	const char *cwd;           /* NULL = home */
	const char *user;          /* NULL = default */
	const char *tag;           /* for reconnects, or NULL */
	struct az_str stdin_bytes; /* p set: sent, then closed; else /dev/null */
	int timeout_s;             /* <= 0: AZ_LIM_CMD_S */
	/* stream 1 or 2; in order within a stream; may fail to stop the command */
	enum az_code (*output)(void *arg, int stream, struct az_str bytes, struct az_err *err);
	bool (*cancelled)(void *arg);
	void *arg;
};
struct az_sb_result {
	enum az_run_end end;
	int exit_code;   /* EXITED */
	char status[64]; /* "exit status 3", "signal: killed" */
	char error[160]; /* why, in the server's words: "out of memory" … or "" */
	int64_t ms;
};

struct az_sb_entry {
	struct az_str path; /* absolute, in the sandbox */
	bool dir, link, file;
	int64_t size, modified_ms;
	unsigned mode;
};

struct az_sandbox_ops {
	const char *name; /* value of AZLON_SANDBOX */
	/*
	 * The service as one caller sees it: every call on *out also ends, with
	 * AZ_ECANCELLED, within a second or so of cancelled(arg) becoming true (creating a
	 * sandbox: within 4 s). cancelled is asked by the calling thread about twice a second
	 * while a call waits, so it may do other periodic work. *out lives in the arena and no
	 * longer than s; there is nothing to close.
	 */
	enum az_code (*watched)(struct az_sandbox *s, bool (*cancelled)(void *arg), void *arg,
	    struct az_arena *a, struct az_sandbox **out, struct az_err *err);
	/* Failures everywhere: AZ_EUNAVAIL reason "sandbox_unavailable" (service away or
	   busy; retryable) or "sandbox_cap" (as many live as the plan allows: helps only
	   when one ends), AZ_ENOTFOUND reason "sandbox_gone" (this one no longer lives) or
	   "not_found" (the file), AZ_EPERM (the user in the sandbox may not), AZ_EAUTH,
	   AZ_EINVAL (refused, permanent; reason
	   "no_template", "disk_full" where known), AZ_EUPSTREAM, AZ_ETIMEOUT,
	   AZ_ECANCELLED. */
	enum az_code (*create)(struct az_sandbox *s, const struct az_sb_create *c,
	    struct az_arena *a, struct az_box_ref *out, struct az_err *err);
	/* Attach to a living one and make it live at least timeout_s from now. */
	enum az_code (*connect)(struct az_sandbox *s, struct az_str id, int timeout_s,
	    struct az_arena *a, struct az_box_ref *out, struct az_err *err);
	/* Ids whose metadata has key=value. */
	enum az_code (*find)(struct az_sandbox *s, const char *key, const char *value,
	    struct az_arena *a, struct az_str **ids, size_t *n, struct az_err *err);
	enum az_code (*kill)(
	    struct az_sandbox *s, struct az_str id, struct az_err *err); /* gone = AZ_OK */
	/* As in az_sb_create; replaces what was in force. */
	enum az_code (*network)(struct az_sandbox *s, const struct az_box_ref *b, bool internet,
	    const char *const *allow, struct az_err *err);
	/* AZ_OK however the command ended, also when killed by its limit or by cancelled. */
	enum az_code (*run)(struct az_sandbox *s, const struct az_box_ref *b,
	    const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err);
	/* Kill every process of the sandbox that a command started. */
	enum az_code (*kill_all)(
	    struct az_sandbox *s, const struct az_box_ref *b, struct az_err *err);
	/* Stream bytes to path (absolute or relative to home); parents are made. */
	enum az_code (*upload)(struct az_sandbox *s, const struct az_box_ref *b, const char *path,
	    int64_t bytes,
	    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err),
	    void *arg, struct az_err *err);
	enum az_code (*download)(struct az_sandbox *s, const struct az_box_ref *b, const char *path,
	    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
	    struct az_err *err);
	enum az_code (*list)(struct az_sandbox *s, const struct az_box_ref *b, const char *path,
	    int depth, struct az_arena *a, struct az_sb_entry **out, size_t *n, struct az_err *err);
	enum az_code (*mkdir)(
	    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
	enum az_code (*remove)(
	    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
	enum az_code (*ping)(struct az_sandbox *s, struct az_err *err);
	void (*close)(struct az_sandbox *s);
};
struct az_sandbox {
	const struct az_sandbox_ops *ops;
};

struct az_sandbox_e2b_opts {
	struct az_http *http;    /* borrowed */
	const char *api_url;     /* control plane, "https://api.e2b.app" */
	const char *sandbox_url; /* envd of every sandbox, or NULL: from the domain */
	const char *domain;      /* NULL = e2b.app */
	const char *key;
	const char *template_id; /* NULL = base */
};
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_e2b_open(
    const struct az_sandbox_e2b_opts *o, struct az_sandbox **out, struct az_err *err);

AZ_API AZ_MUST_CHECK enum az_code az_sandbox_watched(struct az_sandbox *s,
    bool (*cancelled)(void *arg), void *arg, struct az_arena *a, struct az_sandbox **out,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_create(struct az_sandbox *s,
    const struct az_sb_create *c, struct az_arena *a, struct az_box_ref *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_connect(struct az_sandbox *s, struct az_str id,
    int timeout_s, struct az_arena *a, struct az_box_ref *out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_find(struct az_sandbox *s, const char *key,
    const char *value, struct az_arena *a, struct az_str **ids, size_t *n, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_kill(
    struct az_sandbox *s, struct az_str id, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_network(struct az_sandbox *s,
    const struct az_box_ref *b, bool internet, const char *const *allow, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_run(struct az_sandbox *s, const struct az_box_ref *b,
    const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_kill_all(
    struct az_sandbox *s, const struct az_box_ref *b, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_upload(struct az_sandbox *s,
    const struct az_box_ref *b, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_download(struct az_sandbox *s,
    const struct az_box_ref *b, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_list(struct az_sandbox *s, const struct az_box_ref *b,
    const char *path, int depth, struct az_arena *a, struct az_sb_entry **out, size_t *n,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_mkdir(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_remove(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_ping(struct az_sandbox *s, struct az_err *err);
AZ_API void az_sandbox_close(struct az_sandbox *s); /* accepts NULL */

#endif
