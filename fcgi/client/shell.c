/*
 * sandbox shell: a shell in a fresh sandbox, on this terminal or on plain pipes. The
 * sandbox ends with it, whichever way it ends.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "../common/ports.h"
#include "client.h"
#include "term.h"

enum { LOOK_MS = 100, TIMED_OUT = 124 }; /* as of timeout(1) */

/* a template need not have bash */
#define SHELL_OF(flags)                                                                            \
	"if [ -x /bin/bash ]; then exec /bin/bash " flags "-l; fi; exec /bin/sh " flags

struct shell {
	struct cl *cl;
	struct az_conf conf;
	struct az_sandbox *service;
	struct az_box_ref box;
	int life_s;
	bool tty;            /* a terminal there for the terminal here */
	atomic_bool hung_up; /* the terminal here is gone */
};

/* ---- what the call asks and tells ---- */

static bool
cancelled(void *arg)
{
	struct shell *s = arg;

	return term_stopped() || atomic_load(&s->hung_up);
}

static void
input(void *arg, struct az_sb_typed *t)
{
	struct shell *s = arg;
	unsigned news = term_wait(true, LOOK_MS);
	ssize_t k;

	if (news & TERM_RESIZED) {
		struct term_size size = term_size();

		t->size = (struct az_sb_size){size.cols, size.rows};
	}
	if (!(news & TERM_INPUT))
		return;
	k = read(STDIN_FILENO, t->p, t->max);
	if (k > 0) {
		t->n = (size_t)k;
	} else if (k == 0 || (errno != EINTR && errno != EAGAIN)) {
		t->end = true;
		atomic_store(&s->hung_up, s->tty);
	}
}

static enum az_code
output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	(void)arg;
	if (az_write_all(stream == 2 ? STDERR_FILENO : STDOUT_FILENO, bytes.p, bytes.n) < 0)
		return az_fail(err, AZ_EIO, "shell.output", "nobody reads the output");
	return AZ_OK;
}

/* ---- telling a person ---- */

static void
say(const char *text)
{
	fprintf(stderr, "azlon: ");
	cl_put(stderr, az_str_c(text), 400);
	fprintf(stderr, "\n");
}

static int
explain(const struct shell *s, const struct az_err *err)
{
	bool local = !strcmp(s->conf.sandbox, "local");

	if (err->code == AZ_ECANCELLED)
		return term_stopped() ? 128 + term_stopped() : CL_INTERRUPTED;
	say(err->text);
	if (err->code == AZ_EAUTH) {
		if (local)
			fprintf(stderr,
			    "azlon: that server has another key than %s/secret/e2b.key; set "
			    "AZLON_VAR to the directory of its state\n",
			    s->conf.var);
		else
			fprintf(stderr, "azlon: look at E2B_API_KEY\n");
		return CL_FAILED;
	}
	if (err->code != AZ_EUNAVAIL && err->code != AZ_ETIMEOUT && err->code != AZ_EUPSTREAM)
		return CL_FAILED;
	if (!strcmp(err->reason, "sandbox_cap"))
		return CL_UNREACHED;
	if (local)
		fprintf(stderr,
		    "azlon: no sandbox server answers at %s: start it with 'make start', say where "
		    "it is with AZLON_LOCAL_PORT, or set E2B_API_KEY to use E2B's cloud\n",
		    s->conf.e2b_api_url);
	else
		fprintf(stderr,
		    "azlon: no sandbox server answers at %s: look at the network, E2B_API_URL and "
		    "E2B_DOMAIN, or unset E2B_API_KEY to use the local server\n",
		    s->conf.e2b_api_url);
	return CL_UNREACHED;
}

static int
ended(const struct shell *s, const struct az_sb_result *r)
{
	switch (r->end) {
	case AZ_END_EXITED:
		return r->exit_code;
	case AZ_END_TIMEOUT:
		fprintf(stderr, "azlon: the %d seconds of this shell are over (--timeout)\n",
		    s->life_s);
		return TIMED_OUT;
	case AZ_END_CANCELLED:
		return 128 + (term_stopped() ? term_stopped() : 1 /* SIGHUP */);
	case AZ_END_SIGNALLED:
	default:
		say(r->error[0] ? r->error : r->status);
		return CL_FAILED;
	}
}

/* ---- from the sandbox's birth to its end ---- */

static int
attend(struct shell *s)
{
	static const char *const at_terminal[] = {"/bin/sh", "-c", SHELL_OF("-i "), NULL};
	static const char *const at_pipe[] = {"/bin/sh", "-c", SHELL_OF(""), NULL};
	const char *term = getenv("TERM"), *env[4] = {"LANG=C.UTF-8", "LC_ALL=C.UTF-8"};
	struct term_size size = term_size();
	struct az_sb_result r;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	if (s->tty) {
		env[2] =
		    az_arena_printf(s->cl->a, "TERM=%s", term && *term ? term : "xterm-256color");
		fprintf(stderr, "azlon: sandbox %.*s, for %d s; exit or Ctrl+D ends it\n",
		    AZ_FMT(s->box.id), s->life_s);
		if (!env[2] || !term_raw()) {
			say("this terminal cannot be used");
			return CL_FAILED;
		}
	}
	rc = az_sandbox_run(s->service, &s->box,
	    &(struct az_sb_cmd){.argv = s->tty ? at_terminal : at_pipe,
		.env = env,
		.pty = s->tty ? &(struct az_sb_size){size.cols, size.rows} : NULL,
		.input = input,
		.output = output,
		.cancelled = cancelled,
		.timeout_s = s->life_s,
		.arg = s},
	    &r, &err);
	term_restore();
	if (rc && az_sandbox_cause(&err) == AZ_CAUSE_EXPIRED) {
		r.end = AZ_END_TIMEOUT;
		rc = AZ_OK;
	}
	return rc ? explain(s, &err) : ended(s, &r);
}

static int
shell(struct shell *s, const struct cl_opt *o)
{
	static const char *const metadata[] = {"azlon", "shell", NULL};
	struct az_err err = AZ_ERR_INIT;
	struct az_sandbox *watched;
	struct az_buf key;
	int rc;

	az_buf_init(&key, 64); /* a create whose answer is lost makes no second one */
	az_random_id(&key, 26);
	if (az_buf_check(&key, "shell", &err) ||
	    az_sandbox_watched(s->service, cancelled, s, s->cl->a, &watched, &err) ||
	    az_sandbox_create(watched,
		&(struct az_sb_create){.template_id = o->template_id,
		    .timeout_s = s->life_s,
		    .idempotency_key = key.p,
		    .metadata = metadata,
		    .internet = o->internet},
		s->cl->a, &s->box, &err)) {
		rc = explain(s, &err);
		goto out;
	}
	rc = attend(s);
	if (az_sandbox_kill(s->service, s->box.id, &err)) {
		say(err.text);
		fprintf(stderr, "azlon: sandbox %.*s could not be ended and may live for %d s\n",
		    AZ_FMT(s->box.id), s->life_s);
	}
out:
	az_buf_release(&key);
	return rc;
}

int
cl_sandbox(struct cl *cl, const struct cl_opt *o)
{
	struct shell s = {.cl = cl,
	    .life_s = o->timeout_s ? (int)o->timeout_s : CL_SHELL_S,
	    .tty = isatty(STDIN_FILENO)};
	struct az_err err = AZ_ERR_INIT;
	int rc = CL_FAILED;

	if (o->narg != 1 || strcmp(o->arg[0], "shell") != 0)
		return cl_usage("what can be done with a sandbox: shell");
	if (az_conf_load(&s.conf, NULL, &err)) {
		say(err.text);
		return CL_USAGE;
	}
	if (!s.conf.e2b_api_key || !*s.conf.e2b_api_key) {
		fprintf(stderr,
		    "azlon: there is no sandbox server here: %s/secret/e2b.key is missing. Start "
		    "it with "
		    "'make start', set AZLON_VAR to the directory of its state, or set E2B_API_KEY "
		    "to "
		    "use E2B's cloud\n",
		    s.conf.var);
		rc = CL_UNREACHED;
	} else if (!term_open()) {
		say("no pipe");
	} else if (ports_sandbox(&s.conf, cl->http, s.conf.e2b_api_key, &s.service, &err)) {
		say(err.text);
	} else {
		rc = shell(&s, o);
	}
	az_sandbox_close(s.service);
	az_conf_release(&s.conf);
	return rc;
}
