/*
 * The command-line client. It speaks HTTP and nothing else: every command is a call
 * or two of the public API, so it works against any server and proves that API. Only
 * sandbox shell speaks to where sandboxes live, E2B's cloud or the local server, and keys
 * works on the state directory of the servers.
 */
#ifndef AZ_CLIENT_H
#define AZ_CLIENT_H

#include <stdio.h>
#include <azlon/http.h>
#include <azlon/json.h>

enum { CL_SHELL_S = 3600, CL_SHELL_MAX_S = 86400 }; /* life of a shell's sandbox */
enum { CL_KEY_DAYS = 90, CL_KEY_DAYS_MAX = 36500 }; /* life of an API key */
enum { CL_OK = 0, CL_FAILED = 1, CL_USAGE = 2, CL_UNREACHED = 3, CL_INTERRUPTED = 130 };

struct cl {
	struct az_http *http;
	const char *url; /* no slash at the end */
	const char *user, *token, *ca;
	bool json;          /* one JSON value on stdout, nothing else */
	bool tty;           /* progress is drawn in place on stderr */
	bool color;         /* stdout is a terminal */
	struct az_arena *a; /* whole life of the program */
};

/* The options of all commands; each command says which it takes. */
struct cl_opt {
	const char *prompt, *test, *checks, *request, *model, *out, *key;
	const char *inputs[32];
	size_t ninputs;
	int64_t iterations; /* 0 = the server's default */
	bool async, now;
	const char *template_id;
	int64_t timeout_s; /* 0 = CL_SHELL_S */
	bool internet;
	const char *name, *scopes;
	int64_t days; /* 0 = for good */
	char **arg;   /* what is left: ids, paths, files */
	int narg;
};

/* ---- call.c ---- */
struct cl_call {
	const char *method, *path; /* path begins with '/', already encoded */
	const char *type;          /* Content-Type, or NULL */
	const char *header[4];     /* further "Name: value", or NULL */
	struct az_str body;
	struct az_http_req more; /* callbacks, times and caps taken from here */
};
/* Any status is AZ_OK, as az_http_call(). */
enum az_code cl_http(
    struct cl *cl, const struct cl_call *c, struct az_http_resp *r, struct az_err *err);
/* A call whose answer must be 2xx JSON; else it has been explained on stderr. Returns
   an exit status; *out lives in the arena. */
int cl_json(struct cl *cl, const struct cl_call *c, const struct az_json **out);
/* Explain a failed call or an error answer (err NULL); returns the exit status. */
int cl_explain(const struct az_http_resp *r, const struct az_err *err);
/* s percent-encoded, in the arena. */
const char *cl_enc(struct cl *cl, const char *s, const char *keep);
int cl_usage(const char *fmt, ...) AZ_PRINTF(1, 2);
bool cl_interrupted(void *arg); /* for az_http_req.cancelled */
void cl_pause_ms(int64_t ms);   /* ends early when interrupted */

/* ---- show.c ---- */
struct cl_view { /* where a run is, from the events seen so far */
	char status[24], phase[24], tail[400];
	int64_t iteration, max_iterations, percent;
	int64_t since_ms; /* boot clock, when we began to look */
	bool drawn;       /* a bar stands on the screen */
	bool ended;
};
/* Take in one event of the log or a "progress"; prints what is worth a line. */
void cl_view_event(struct cl *cl, struct cl_view *v, const char *type, const struct az_json *data);
void cl_view_run(struct cl *cl, struct cl_view *v, const struct az_json *run);
void cl_view_draw(struct cl *cl, struct cl_view *v);
void cl_view_clear(struct cl *cl, struct cl_view *v);
/* Foreign text for a terminal: what could move the cursor becomes a dot. */
void cl_put(FILE *f, struct az_str s, size_t max_chars);
void cl_put_size(FILE *f, int64_t bytes);
bool cl_over(struct az_str status); /* has a run with this status ended? */
/* Verdict, checks, files, addresses. files may be NULL. */
void cl_report(struct cl *cl, const struct az_json *run, const struct az_json *files);
/* JSON value on a line of stdout. */
void cl_print_json(const struct az_json *j);

/* ---- commands: return the exit status ---- */
int cl_follow(struct cl *cl, const char *id); /* follow.c */
int cl_watch(struct cl *cl, const struct cl_opt *o);
int cl_schedule(struct cl *cl, const struct cl_opt *o); /* runs.c */
int cl_status(struct cl *cl, const struct cl_opt *o);
int cl_list(struct cl *cl, const struct cl_opt *o);
int cl_cancel(struct cl *cl, const struct cl_opt *o);
int cl_get(struct cl *cl, const struct cl_opt *o); /* files.c */
int cl_zip(struct cl *cl, const struct cl_opt *o);
int cl_upload(struct cl *cl, const struct cl_opt *o);  /* upload.c */
int cl_signal(struct cl *cl, const struct cl_opt *o);  /* signal.c */
int cl_sandbox(struct cl *cl, const struct cl_opt *o); /* shell.c */
int cl_keys(struct cl *cl, const struct cl_opt *o);    /* keys.c */
/* All files of a run, at most a few pages; NULL and a note when that fails. */
int cl_files(struct cl *cl, const char *id, const struct az_json **out);

#endif
