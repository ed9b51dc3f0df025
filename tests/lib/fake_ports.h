/*
 * A sandbox service and a model for tests: tables of functions over plain memory. The
 * test says what programs do and what the model answers.
 */
#ifndef FAKE_PORTS_H
#define FAKE_PORTS_H

#include <azlon/llm.h>
#include <azlon/sandbox.h>

/* ---- a sandbox service with at most one sandbox ---- */

struct fake_file {
	char path[512]; /* absolute */
	struct az_buf data;
	int64_t modified_ms;
	unsigned mode;
	bool used;
};

struct fake_sandbox {
	struct az_sandbox base;
	struct fake_file files[4000];
	size_t n_files;
	bool alive;
	char owner[256]; /* value of its azlon_run */
	int serial;      /* sandboxes made so far */
	bool internet;
	int64_t clock_ms; /* modification times */
	int kills, kill_alls, runs, uploads, downloads;
	int requests;    /* all calls */
	bool no_tar;     /* its template has none */
	size_t list_max; /* entries in one listing of several levels; 0 = any number */
	struct az_sb_blocked blocked[AZ_SB_BLOCKED_MAX]; /* of the living one */
	char blocked_text[AZ_SB_BLOCKED_MAX][2][256];    /* its host and why */
	size_t n_blocked;
	int blocked_asked;
	enum az_code blocked_fails;              /* not AZ_OK: only they cannot be had */
	enum az_code down;                       /* not AZ_OK: every call fails like this */
	void (*on_kill)(struct fake_sandbox *s); /* it is about to be killed; or NULL */
	/*
	 * A command that is not the build's own. argv is without the shell wrapper of a
	 * program. Default (NULL): exit 0.
	 */
	enum az_code (*exec)(struct fake_sandbox *s, const struct az_sb_cmd *c,
	    struct az_sb_result *r, struct az_err *err);
	void *arg;
};

void fake_sandbox_init(struct fake_sandbox *s);
void fake_sandbox_release(struct fake_sandbox *s);
/* For exec: write a file as the program would, read one (empty if absent), print. */
void fake_write(struct fake_sandbox *s, const char *path, struct az_str body);
struct az_str fake_read(struct fake_sandbox *s, const char *path);
/* The same, but the time of its last change stays what it was. */
void fake_rewrite(struct fake_sandbox *s, const char *path, struct az_str body);
bool fake_exists(struct fake_sandbox *s, const char *path);
void fake_unlink(struct fake_sandbox *s, const char *path);
void fake_print(const struct az_sb_cmd *c, int stream, const char *text);
/* A program asks for a connection and is refused. */
void fake_refuse(struct fake_sandbox *s, const char *host, int port, const char *why);
/* The sandbox dies, as one does. */
void fake_die(struct fake_sandbox *s);
/* Does some word of argv contain text? */
bool fake_argv_has(const struct az_sb_cmd *c, const char *text);

/* ---- a model that answers from a list ---- */

struct fake_answer {
	const char *text;
	const char *finish; /* NULL = "stop" */
	enum az_code fail;  /* instead of an answer; AZ_ECANCELLED: after so much of it */
	const char *reason;
};

struct fake_llm {
	struct az_llm base;
	const struct fake_answer *answers;
	size_t n, next; /* past the end: no_recording */
	int calls;
	struct az_buf seen[64]; /* all messages of each call, "[role]\ntext\n" */
	double temperature[64];
	bool schema[64];
	char model[64][32];
	int tries[64];
	int64_t total_ms[64];
};

void fake_llm_init(struct fake_llm *l, const struct fake_answer *a, size_t n);
void fake_llm_release(struct fake_llm *l);
/* The prompt of a call, NUL-terminated. */
const char *fake_llm_seen(const struct fake_llm *l, int call);

#endif
