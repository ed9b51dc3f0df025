/* One command under way; private to e2b_process.c, e2b_signal.c and e2b_stdin.c. */
#ifndef AZ_SANDBOX_E2B_PROCESS_H
#define AZ_SANDBOX_E2B_PROCESS_H

#include <pthread.h>
#include "e2b.h"

struct run {
	struct e2b *e;
	const struct az_box_ref *ref;
	const struct az_sb_cmd *cmd;
	struct az_sb_result *result;
	char tag[200];
	int64_t pid;      /* 0 until the start event */
	int64_t deadline; /* boot clock, ms */

	struct az_http_resp resp;
	struct e2b_frames frames;
	struct az_buf raw;      /* one piece of decoded output */
	struct az_buf other;    /* a reply that is no stream */
	bool typed, is_stream;  /* content type looked at; it is a stream */
	bool started, have_end; /* events seen */
	bool end_error;         /* the end frame carried one: */
	enum az_code end_code;
	struct az_err end_err;
	bool cancelled, timed_out; /* by us */
	bool refused;              /* the output callback said no */
	bool broken;               /* the stream broke the protocol */
	bool again;                /* taken up, not started: output may be missing */
	bool earlier;              /* started by an earlier try, which fed it: no input */
	bool bare;                 /* not in a session of its own */
	int64_t look_ms;           /* of e2b_lease_keep() */

	struct { /* feeds standard input beside the stream */
		pthread_t thread;
		bool on;
		atomic_bool stop;
		int64_t pid;
	} in;
};

/* {"pid":N}, or {"tag":"…"} while pid is 0, under the key "process" */
void e2b_selector(struct az_jw *w, int64_t pid, const char *tag);
/* SIGKILL, whether or not anything is left to kill; also what the command started, where
   the service does not see to that. */
void e2b_put_down(struct run *run);
/* As e2b_run(); bare: as it stands, without a session of its own. */
enum az_code e2b_run_as(struct e2b *e, const struct az_box_ref *ref, const struct az_sb_cmd *c,
    bool bare, struct az_sb_result *r, struct az_err *err);
/* e2b_session.c: argv of a command that gets a session of its own into w (an open array),
   behind "/bin/sh". */
void e2b_session_args(struct az_jw *w, const char *const *argv);
extern const char e2b_session_begin[]; /* script: become the command $@ */
extern const char e2b_session_end[];   /* script: kill all of the session $1 */
/* {"size":{"cols":N,"rows":N}} */
void e2b_pty_size(struct az_jw *w, const struct az_sb_size *size);
/* Once per command, when it has started; nothing to do without input. */
enum az_code e2b_stdin_start(struct run *run, struct az_err *err);
void e2b_stdin_stop(struct run *run); /* waits for the thread */
/* Integers of proto3 JSON: a number or a string. */
bool e2b_json_i64(const struct az_json *j, int64_t *out);

#endif
