/*
 * A sandbox service with at most one sandbox, over plain memory. The test says what
 * programs do.
 */
#ifndef FAKE_SANDBOX_H
#define FAKE_SANDBOX_H

#include <azlon/sandbox.h>

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

#endif
