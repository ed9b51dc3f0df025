/*
 * Executing the checks. The program has had its turn: its processes are gone, and what
 * the checks themselves rely on is put back before they run.
 */
#include "checks.h"

#include <azlon/clock.h>
#include <azlon/flow.h>

#define OP "work.checks"

enum { SERVER_WAIT_S = 20 };

static const char system_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/*
 * Asks a server that it starts itself; needs nothing but bash. Arguments: port, path,
 * seconds to wait, then the server's command. What the server says goes to stderr.
 */
static const char ask_script[] =
    "port=$1; path=$2; tries=$(($3 * 5)); shift 3\n"
    "\"$@\" 1>&2 </dev/null &\n"
    "pid=$!\n"
    "while [ $tries -gt 0 ]; do\n"
    "  if exec 3<>\"/dev/tcp/127.0.0.1/$port\"; then\n"
    "    printf 'GET %s HTTP/1.0\\r\\nHost: localhost:%s\\r\\nConnection: close\\r\\n\\r\\n' "
    "\"$path\" \"$port\" >&3\n"
    "    timeout 10 head -c 1000000 <&3\n"
    "    kill -9 $pid; exit 0\n"
    "  fi 2>/dev/null\n"
    "  kill -0 $pid 2>/dev/null || exit 97\n"
    "  sleep 0.2; tries=$((tries - 1))\n"
    "done\n"
    "kill -9 $pid; exit 98\n";

const char *
check_status_name(enum check_status s)
{
	static const char *const names[] = {"skipped", "pass", "fail", "unverified"};

	return names[s];
}

static const struct az_json *
check_at(const struct work_job *j, size_t i)
{
	return az_json_at(az_json_get(j->request, "checks"), i);
}

static struct az_str
what_of(struct work_job *j, const struct az_json *c)
{
	const struct az_json *run = az_json_get(c, "run"), *http = az_json_get(c, "http");
	const char *p = NULL;
	struct az_buf b;

	if (az_json_is_str(run)) {
		p = az_arena_printf(j->a, "run %.*s", AZ_FMT(az_str_sub(az_json_str(run), 0, 300)));
	} else if (run) {
		az_buf_init(&b, 400);
		for (size_t i = 0; i < az_json_len(run) && b.n < 300; i++)
			az_buf_addf(&b, " %.*s",
			    AZ_FMT(az_str_sub(az_json_str(az_json_at(run, i)), 0, 60)));
		p = az_arena_printf(j->a, "run%.*s", AZ_FMT(az_buf_str(&b)));
		az_buf_release(&b);
	} else if (http) {
		p = az_arena_printf(j->a, "GET :%lld%.*s", (long long)az_json_geti(http, "port", 0),
		    AZ_FMT(az_str_sub(az_json_gets(http, "path"), 0, 200)));
	} else if (az_json_is_str(az_json_get(c, "file"))) {
		p = az_arena_printf(
		    j->a, "file %.*s", AZ_FMT(az_str_sub(az_json_gets(c, "file"), 0, 300)));
	} else {
		p = "text";
	}
	return az_str_c(p);
}

enum az_code
checks_begin(struct work_job *j, struct checks *c, struct az_err *err)
{
	size_t n = az_json_len(az_json_get(j->request, "checks"));
	unsigned last = 0;
	char id[16];

	*c = (struct checks){.n = 0};
	if (n > AZ_LIM_CHECKS)
		n = AZ_LIM_CHECKS;
	c->v = az_arena_alloc(j->a, (n + 2) * sizeof(*c->v));
	if (!c->v)
		return job_nomem(err);
	c->v[c->n++] = (struct check_result){
	    .id = AZ_S("program"), .what = AZ_S("the program ends with exit code 0")};
	for (size_t i = 0; i < n; i++) {
		const struct az_json *q = check_at(j, i);
		struct check_result *r = &c->v[c->n++];

		*r = (struct check_result){.id = az_json_gets(q, "id"),
		    .explicit = true,
		    .hidden = az_json_getb(q, "hidden", false),
		    .what = what_of(j, q)};
		if (r->id.n == 0) {
			az_flow_check_id(az_json_get(j->request, "checks"), &last, id);
			r->id = az_arena_str(j->a, az_str_c(id));
		}
		if (!r->id.p || !r->what.p)
			return job_nomem(err);
	}
	if (job_has_conditions(j))
		c->v[c->n++] = (struct check_result){
		    .id = AZ_S("conditions"), .what = AZ_S("the test conditions hold")};
	return AZ_OK;
}

void
checks_program(struct work_job *j, struct checks *c, const struct az_json *run)
{
	struct az_str kind = az_json_gets(run, "kind");
	struct check_result *r = &c->v[0];

	r->ms = az_json_geti(run, "ms", 0);
	if (az_str_eqc(kind, "build_failed")) {
		r->status = CHECK_FAIL;
		r->message = job_clip(j,
		    az_str_c(az_arena_printf(
			j->a, "the build failed: %.*s", AZ_FMT(az_json_gets(run, "text")))),
		    WORK_MESSAGE_BYTES - 4);
	} else if (!az_json_getb(run, "program", false)) {
		/* with checks of their own, a tree needs no entry point */
		bool fine = az_json_len(az_json_get(j->request, "checks")) > 0;

		r->status = fine ? CHECK_PASS : CHECK_FAIL;
		if (!fine)
			r->message = AZ_S("the Dockerfile names no program (CMD)");
	} else if (az_str_eqc(kind, "ok")) {
		r->status = CHECK_PASS;
	} else {
		r->status = CHECK_FAIL;
		r->message = job_clip(j, az_json_gets(run, "text"), WORK_MESSAGE_BYTES - 4);
	}
}

bool
check_is_text(const struct work_job *j, const struct checks *c, size_t i, struct az_str *text)
{
	const struct az_json *t;

	if (!c->v[i].explicit) {
		*text = az_str_trim(az_json_gets(j->request, "test_conditions"));
		return i > 0;
	}
	t = az_json_get(check_at(j, i - 1), "text");
	*text = az_json_str(t);
	return az_json_is_str(t);
}

bool
checks_deterministic_ok(const struct work_job *j, const struct checks *c)
{
	struct az_str t;

	for (size_t i = 0; i < c->n; i++)
		if (!check_is_text(j, c, i, &t) && c->v[i].status != CHECK_PASS)
			return false;
	return true;
}

size_t
checks_passed(const struct checks *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += c->v[i].status == CHECK_PASS;
	return n;
}

bool
checks_all_passed(const struct checks *c)
{
	return checks_passed(c) == c->n;
}

static void
cut(struct check_result *r)
{
	r->status = CHECK_UNVERIFIED;
	r->message = AZ_S("not finished: " AZ_PLAN_OUT_OF_TIME);
}

void
checks_cut(const struct work_job *j, struct checks *c)
{
	struct az_str t;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].status == CHECK_SKIPPED && !check_is_text(j, c, i, &t))
			cut(&c->v[i]);
}

/* ---- the environment ---- */

static bool
bends(struct az_str k)
{
	static const char *const names[] = {"PATH", "BASH_ENV", "ENV", "IFS", "SHELLOPTS",
	    "BASHOPTS", "PS4", "PROMPT_COMMAND", "GLIBC_TUNABLES", "PYTHONSTARTUP", "PYTHONHOME",
	    "PYTHONINSPECT", "PYTHONUSERBASE", "PYTHONBREAKPOINT", "CDPATH", "NODE_OPTIONS",
	    "PERL5OPT", "RUBYOPT", "MAKEFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "JAVA_TOOL_OPTIONS",
	    "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "TAR_OPTIONS", "GREP_OPTIONS"};

	/* PYTEST_ADDOPTS=--collect-only makes any test pass */
	if (az_str_starts(k, AZ_S("LD_")) || az_str_starts(k, AZ_S("BASH_FUNC_")) ||
	    az_str_starts(k, AZ_S("PYTEST_")) || az_str_starts(k, AZ_S("GIT_")))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (az_str_eqc(k, names[i]))
			return true;
	return false;
}

const char *const *
checks_env(struct work_job *j, const char *const *env)
{
	struct az_str path = {0};
	const char **v;
	size_t n = 0;

	while (env && env[n])
		n++;
	v = az_arena_alloc(j->a, (n + 2) * sizeof(*v));
	if (!v)
		return NULL;
	n = 0;
	for (; env && *env; env++) {
		struct az_str rest = az_str_c(*env), k;

		if (!az_str_cut(&rest, '=', &k))
			continue;
		if (az_str_eqc(k, "PATH"))
			path = rest;
		if (!bends(k))
			v[n++] = *env;
	}
	/* the program's own directories come last: they shadow nothing */
	v[n] = path.n ? az_arena_printf(j->a, "PATH=%s:%.*s", system_path, AZ_FMT(path))
		      : az_arena_printf(j->a, "PATH=%s", system_path);
	return v[n] ? v : NULL;
}

/* ---- commands ---- */

struct capture {
	struct work_job *j;
	struct az_buf out, err;
	int64_t out_bytes, err_bytes;
};

static enum az_code
capture_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct capture *c = arg;
	struct az_buf *b = stream == 2 ? &c->err : &c->out;
	size_t room = b->max - b->n;

	(void)err;
	*(stream == 2 ? &c->err_bytes : &c->out_bytes) += (int64_t)bytes.n;
	az_buf_adds(b, az_str_sub(bytes, 0, room));
	return AZ_OK;
}

static bool
capture_cancelled(void *arg)
{
	return job_cancelled(((struct capture *)arg)->j);
}

/* Run cmd with output captured; a refused command is reported as exit code 126. */
static enum az_code
run(struct work_job *j, const struct work_box *x, struct az_sb_cmd cmd, struct check_seen *seen,
    struct az_err *err)
{
	struct capture c = {.j = j};
	enum az_code rc;

	*seen = (struct check_seen){.out_bytes = 0};
	az_buf_init(&c.out, CHECK_OUT_BYTES);
	az_buf_init(&c.err, CHECK_OUT_BYTES);
	cmd.output = capture_output;
	cmd.cancelled = capture_cancelled;
	cmd.arg = &c;
	rc = work_box_run(j, x, &cmd, &seen->r, err);
	if (rc == AZ_EINVAL || rc == AZ_EPERM) {
		az_buf_addc(&c.err, err ? err->text : "refused");
		seen->r = (struct az_sb_result){.end = AZ_END_EXITED, .exit_code = 126};
		rc = AZ_OK;
	}
	if (rc == AZ_OK && seen->r.end == AZ_END_CANCELLED)
		rc = az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	rc = job_sandbox_rc(rc, err);
	if (rc == AZ_OK)
		rc = job_text(j, &c.out, &seen->out, err);
	if (rc == AZ_OK)
		rc = job_text(j, &c.err, &seen->err, err);
	seen->out_bytes = c.out_bytes;
	seen->err_bytes = c.err_bytes;
	seen->words = execute_words(j, &seen->r, cmd.timeout_s);
	az_buf_release(&c.out);
	az_buf_release(&c.err);
	return rc;
}

static const char **
argv_of(struct work_job *j, const struct az_json *q)
{
	const struct az_json *v = az_json_get(q, "run");
	size_t n = az_json_is_str(v) ? 3 : az_json_len(v);
	const char **argv = az_arena_alloc(j->a, (n + 1) * sizeof(*argv));

	if (!argv || n == 0)
		return NULL;
	if (az_json_is_str(v)) {
		argv[0] = "/bin/sh";
		argv[1] = "-c";
		argv[2] = az_arena_cstr(j->a, az_json_str(v));
		return argv[2] ? argv : NULL;
	}
	for (size_t i = 0; i < n; i++) {
		argv[i] = az_arena_cstr(j->a, az_json_str(az_json_at(v, i)));
		if (!argv[i])
			return NULL;
	}
	return argv;
}

static int
timeout_of(const struct az_json *q)
{
	int64_t t = az_json_geti(q, "timeout_s", AZ_LIM_CMD_S);

	return t < 1 ? 1 : t > AZ_LIM_CMD_MAX_S ? AZ_LIM_CMD_MAX_S : (int)t;
}

static enum az_code
check_run(struct work_job *j, const struct work_box *x, const char *const *env,
    const struct az_json *q, struct check_result *r, struct az_err *err)
{
	const char **argv = argv_of(j, q);
	struct az_sb_cmd c = {.argv = argv,
	    .env = env,
	    .cwd = AZ_PLAN_APP,
	    .tag = job_tag(j, "check"),
	    .timeout_s = timeout_of(q)};
	struct check_seen seen;
	enum az_code rc;

	if (!argv) {
		r->status = CHECK_FAIL;
		r->message = AZ_S("the check has no command");
		return AZ_OK;
	}
	if (az_json_is_str(az_json_get(q, "stdin")))
		c.stdin_bytes = az_json_gets(q, "stdin");
	rc = run(j, x, c, &seen, err);
	if (rc != AZ_OK)
		return rc;
	r->ms = seen.r.ms;
	if (j->box_spent) {
		cut(r);
		return AZ_OK;
	}
	expect_run(j, az_json_get(q, "expect"), &seen, r);
	return AZ_OK;
}

static enum az_code
check_http(struct work_job *j, const struct work_box *x, const char *const *env,
    const struct check_program *p, const struct az_json *q, struct check_result *r,
    struct az_err *err)
{
	const struct az_json *http = az_json_get(q, "http");
	struct az_str path = az_json_gets(http, "path");
	int64_t port = az_json_geti(http, "port", 0);
	const char *argv[256] = {"bash", "-c", ask_script, "ask"};
	struct az_sb_cmd c = {.argv = argv,
	    .env = env,
	    .cwd = p->cwd,
	    .tag = job_tag(j, "check"),
	    .timeout_s = timeout_of(q)};
	struct check_seen seen;
	enum az_code rc;
	size_t n = 7;

	r->status = CHECK_FAIL;
	if (port < 1 || port > 65535) {
		r->message = AZ_S("the check has no port");
		return AZ_OK;
	}
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] <= ' ' || path.p[i] == 0x7f) {
			r->message = AZ_S("the path holds blanks or control characters");
			return AZ_OK;
		}
	if (!p->argv) {
		r->message = AZ_S("the Dockerfile names no program (CMD)");
		return AZ_OK;
	}
	argv[4] = az_arena_printf(j->a, "%lld", (long long)port);
	argv[5] = az_arena_printf(
	    j->a, "%s%.*s", az_str_starts(path, AZ_S("/")) ? "" : "/", AZ_FMT(path));
	argv[6] = az_arena_printf(j->a, "%d", SERVER_WAIT_S);
	if (!argv[4] || !argv[5] || !argv[6])
		return job_nomem(err);
	for (size_t i = 0; p->argv[i] && n < 255; i++)
		argv[n++] = p->argv[i];
	rc = run(j, x, c, &seen, err);
	if (rc != AZ_OK)
		return rc;
	r->ms = seen.r.ms;
	if (j->box_spent) {
		cut(r);
	} else if (seen.out.n) {
		expect_http(j, http, az_json_get(q, "expect"), seen.out, r);
	} else {
		r->message = seen.r.exit_code == 97
				 ? AZ_S("the program ended before it answered on the port")
				 : AZ_S("nothing answers on the port");
		r->got = job_clip(j, seen.err, CHECK_SHOW_BYTES);
	}
	/* the next check starts a server of its own */
	return job_sandbox_rc(az_sandbox_kill_all(j->sandbox, &x->ref, err), err);
}

/* A check that ran the program gave it another turn: the next one finds neither its
   processes nor what it did to the files that checks rely on. */
static enum az_code
between(struct work_job *j, struct checks *c, const struct work_box *x, struct check_result *r,
    bool *fine, struct az_err *err)
{
	enum az_code rc = job_sandbox_rc(az_sandbox_kill_all(j->sandbox, &x->ref, err), err);

	*fine = true;
	if (rc != AZ_OK)
		return rc;
	rc = checks_restore(j, c, x, err);
	if (rc == AZ_EINVAL || rc == AZ_EPERM || rc == AZ_ENOTFOUND || rc == AZ_ECONFLICT) {
		*fine = false;
		r->status = CHECK_FAIL;
		r->message = AZ_S("the check before left its files in a state that cannot be "
				  "put right");
		rc = AZ_OK;
	}
	return rc;
}

enum az_code
checks_run(struct work_job *j, struct checks *c, const struct work_box *x,
    const struct check_program *p, struct az_err *err)
{
	const char *const *env = checks_env(j, p->env);
	int64_t since = az_boot_ms();
	enum az_code rc = AZ_OK;
	bool ran = false;

	if (!env)
		return job_nomem(err);
	for (size_t i = 0; i < c->n && rc == AZ_OK; i++) {
		const struct az_json *q;
		bool runs, fine = true;

		if (!c->v[i].explicit)
			continue;
		q = check_at(j, i - 1);
		if (job_cancelled(j))
			return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
		if (work_box_time(j, 1) == 0) {
			checks_cut(j, c);
			break;
		}
		runs = az_json_get(q, "run") || az_json_get(q, "http");
		if (runs && ran)
			rc = between(j, c, x, &c->v[i], &fine, err);
		ran = ran || runs;
		if (rc != AZ_OK || !fine)
			continue;
		if (az_json_get(q, "run"))
			rc = check_run(j, x, env, q, &c->v[i], err);
		else if (az_json_get(q, "http"))
			rc = check_http(j, x, env, p, q, &c->v[i], err);
		else if (az_json_is_str(az_json_get(q, "file")))
			rc = checks_file(j, x, q, &c->v[i], err);
	}
	c->sandbox_ms += az_boot_ms() - since;
	return rc;
}
