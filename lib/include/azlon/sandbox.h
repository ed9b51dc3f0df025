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
	/* As many live as the service allows: stand in line so long for one to end, first
	   come, first served. 0: fail at once. */
	int wait_s;
};

/* How a command ended. */
enum az_run_end { AZ_END_EXITED = 1, AZ_END_SIGNALLED, AZ_END_TIMEOUT, AZ_END_CANCELLED };

struct az_sb_size {
	int cols, rows;
};
struct az_sb_typed { /* what az_sb_cmd.input found */
	char *p;     /* up to max bytes go here, */
	size_t max;
	size_t n;               /* so many did */
	bool end;               /* there will be no more */
	struct az_sb_size size; /* cols > 0: of the terminal from now on */
};

struct az_sb_cmd {
	const char *const *argv; /* NULL-terminated, argv[0] the program */
	const char *const *env;  /* "K=V", NULL-terminated, or NULL */
	const char *cwd;         /* NULL = home */
	const char *user;        /* NULL = default */
	const char *tag;         /* for reconnects, or NULL */
	/* An earlier try may have started it under this tag: look first, and take it up
	   rather than start a second one. What it printed before is lost. */
	bool maybe_started;
	struct az_str stdin_bytes; /* p set: sent, then closed; else /dev/null */
	/* Instead of those bytes, input while it is typed. Called by a thread of the call's
	   own until the command ends, which waits for it: so it waits for input a tenth of
	   a second or so, and comes back without any. */
	void (*input)(void *arg, struct az_sb_typed *t);
	/* A terminal of this size in place of pipes: all output is stream 1. Or NULL. */
	const struct az_sb_size *pty;
	int timeout_s; /* <= 0: AZ_LIM_CMD_S; at most a day with input, else
			  AZ_LIM_CMD_MAX_S */
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

/* Many files for az_sandbox_upload_many(). */
struct az_sb_put {
	const char *path; /* as for az_sandbox_upload() */
	int64_t bytes;
};
struct az_sb_puts {
	const struct az_sb_put *v;
	size_t n;
	/* What read gives from now on is v[i]; files come in order, one may come again. */
	enum az_code (*open)(void *arg, size_t i, struct az_err *err);
	enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err);
	void *arg;
};

/* Many files for az_sandbox_fetch(). */
struct az_sb_get {
	const char *path; /* below dir */
	int64_t bytes;    /* as listed */
};
struct az_sb_gets {
	const char *dir; /* absolute */
	const struct az_sb_get *v;
	size_t n;
	/* For each file of v once, in any order: begin, data …, end. whole false: it is gone,
	   unreadable or was refused, and what was handed out of it is void. AZ_ETOOBIG from
	   data: enough of this file. Another failure ends the call. */
	enum az_code (*begin)(void *arg, size_t i, struct az_err *err);
	enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err);
	enum az_code (*end)(void *arg, size_t i, bool whole, struct az_err *err);
	bool (*cancelled)(void *arg); /* or NULL */
	void *arg;
};

struct az_sb_entry {
	struct az_str path; /* absolute, in the sandbox */
	bool dir, link, file;
	int64_t size, modified_ms;
	unsigned mode;
};

/* A connection that a program asked for and was refused. */
struct az_sb_blocked {
	struct az_str host; /* 1..255 bytes of UTF-8 without blanks and control characters */
	int port;           /* 1..65535 */
	int64_t count;      /* >= 1: so many times */
	struct az_str why;  /* "network" (there is none), "domain", "address" …: [a-z_], 1..32 */
};
#define AZ_SB_BLOCKED_MAX 64

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
	   when one ends) or "sandbox_unreachable" (this one does not answer), AZ_ENOTFOUND
	   reason "sandbox_expired", "sandbox_killed" or "sandbox_memory" (this one no longer
	   lives: az_sandbox_is_gone()) or "not_found" (the file), AZ_EPERM (the user in the
	   sandbox may not), AZ_EAUTH,
	   AZ_EINVAL (refused, permanent; reason
	   "no_template", "disk_full" where known), AZ_EUPSTREAM, AZ_ETIMEOUT,
	   AZ_ECANCELLED. */
	enum az_code (*create)(struct az_sandbox *s, const struct az_sb_create *c,
	    struct az_arena *a, struct az_box_ref *out, struct az_err *err);
	/* Attach to a living one and make it live at least timeout_s from now; its life is
	   never cut. One created or connected here has its life prolonged while a command
	   or a transfer is under way. */
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
	/* Connections that were refused in this sandbox so far, each host and port once,
	   AZ_SB_BLOCKED_MAX at most: an extra, for which a service is asked briefly and only
	   once. One that does not count them (E2B's cloud) has none. What is malformed in
	   the answer is left out. */
	enum az_code (*blocked)(struct az_sandbox *s, const struct az_box_ref *b,
	    struct az_arena *a, struct az_sb_blocked **out, size_t *n, struct az_err *err);
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
	/* p->v[first] and the n - 1 after it in one request. */
	enum az_code (*upload_form)(struct az_sandbox *s, const struct az_box_ref *b,
	    const struct az_sb_puts *p, size_t first, size_t n, struct az_err *err);
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
	/* The service ends all that a command started. Else each command gets a session of
	   its own, and what is left of it after a kill is looked for. */
	bool kills_trees;
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
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_blocked(struct az_sandbox *s,
    const struct az_box_ref *b, struct az_arena *a, struct az_sb_blocked **out, size_t *n,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_run(struct az_sandbox *s, const struct az_box_ref *b,
    const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_kill_all(
    struct az_sandbox *s, const struct az_box_ref *b, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_upload(struct az_sandbox *s,
    const struct az_box_ref *b, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err);
/*
 * Many files up in few requests: small ones together, large ones each on its own. Fails as
 * upload; some files may be there then.
 */
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_upload_many(struct az_sandbox *s,
    const struct az_box_ref *b, const struct az_sb_puts *p, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_download(struct az_sandbox *s,
    const struct az_box_ref *b, const char *path,
    enum az_code (*data)(void *arg, struct az_str chunk, struct az_err *err), void *arg,
    struct az_err *err);
/*
 * Many files down in few requests: small ones in tars that a command in the sandbox makes,
 * read as what a stranger sent; large ones, and what no tar brought, each on its own.
 */
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_fetch(struct az_sandbox *s, const struct az_box_ref *b,
    const struct az_sb_gets *g, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_list(struct az_sandbox *s, const struct az_box_ref *b,
    const char *path, int depth, struct az_arena *a, struct az_sb_entry **out, size_t *n,
    struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_mkdir(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_remove(
    struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_ping(struct az_sandbox *s, struct az_err *err);
AZ_API void az_sandbox_close(struct az_sandbox *s); /* accepts NULL */

/*
 * Install packages by name with a package manager of the sandbox. Names are data: checked
 * against the manager's own grammar (AZ_EINVAL names the first that is none), handed over
 * as arguments, never to a shell; what would be an option, a path or an address is no name.
 * pip: "numpy", "requests[socks]==2.31"; npm: "left-pad", "@types/node@20"; apt: "gcc",
 * "libc6:amd64", "curl=7.88.1-10". As az_sandbox_run() otherwise; o has the tag, limits and
 * callbacks (its argv is not used).
 */
enum az_sb_manager { AZ_PIP = 1, AZ_NPM, AZ_APT };
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_install(struct az_sandbox *s,
    const struct az_box_ref *b, enum az_sb_manager manager, const char *const *names, size_t n,
    const struct az_sb_cmd *o, struct az_sb_result *r, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_package_ok(
    enum az_sb_manager manager, const char *name, struct az_err *err);

/*
 * A directory of the sandbox as a drawing, depth levels deep: names with sizes, directories
 * with their contents, links marked and not followed. Bytes that would disturb a terminal
 * are replaced. A drawing of more than 2000 lines ends with a line that says so.
 */
AZ_API AZ_MUST_CHECK enum az_code az_sandbox_draw(struct az_sandbox *s, const struct az_box_ref *b,
    const char *path, int depth, struct az_buf *out, struct az_err *err);

/* Why a call failed whose sandbox does not serve us any more; NONE for other failures. */
enum az_sb_cause {
	AZ_CAUSE_NONE,
	AZ_CAUSE_EXPIRED, /* its time was up */
	AZ_CAUSE_KILLED,  /* somebody ended it, or it broke down */
	AZ_CAUSE_MEMORY,  /* it ran out of memory */
	AZ_CAUSE_UNREACHABLE
};
AZ_API enum az_sb_cause az_sandbox_cause(const struct az_err *err);
/* Is it known to live no more? err may be NULL: then not. */
AZ_API bool az_sandbox_is_gone(const struct az_err *err);

#endif
