/* Executing a plan: against a sandbox that only records, and one whose commands really
   run, in a temporary home. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/path.h>
#include "work/runplan.h"

struct fake {
	struct az_sandbox base;
	struct az_buf log;   /* one line per call */
	const char *fail;    /* a RUN that holds this text … */
	int fail_code;       /* … ends with this; -2 times out, -3 is cancelled */
	enum az_code error;  /* or the port itself fails */
	const char *missing; /* a program the template lacks */
	char home[64];       /* set: commands really run, with this for /home/user */
};

static void
log_list(struct az_buf *b, const char *const *v)
{
	for (; v && *v; v++)
		az_buf_addf(b, "[%s]", strlen(*v) > 90 ? "…" : *v);
}

/* /home/user at the front of s becomes the temporary home. */
static const char *
moved(struct fake *f, const char *s, char *out, size_t n)
{
	if (strncmp(s, AZ_PLAN_HOME, strlen(AZ_PLAN_HOME)) != 0)
		return s;
	snprintf(out, n, "%s%s", f->home, s + strlen(AZ_PLAN_HOME));
	return out;
}

static enum az_code
really(struct fake *f, const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err)
{
	char *argv[20], home[100], buf[4096], cwd[200];
	char(*text)[200] = test_calloc(20, sizeof *text);
	enum az_code rc = AZ_OK;
	int fd[2], status, i;
	ssize_t n;
	pid_t pid;

	for (i = 0; c->argv[i]; i++) {
		assert_true(i < 19);
		argv[i] = strdup(moved(f, c->argv[i], text[i], sizeof text[i]));
	}
	argv[i] = NULL;
	snprintf(home, sizeof home, "HOME=%s", f->home);
	snprintf(cwd, sizeof cwd, "%s", f->home);
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *env[] = {home, strdup("PATH=/usr/bin:/bin"), NULL};
		char to[300];

		dup2(fd[1], 1);
		dup2(fd[1], 2);
		if (chdir(c->cwd ? moved(f, c->cwd, to, sizeof to) : cwd) != 0)
			_exit(99);
		execve(argv[0], argv, env);
		_exit(98);
	}
	close(fd[1]);
	while ((n = read(fd[0], buf, sizeof buf)) > 0 && rc == AZ_OK)
		rc = c->output(c->arg, 1, az_str_n(buf, (size_t)n), err);
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (i > 0)
		free(argv[--i]);
	test_free(text);
	r->end = AZ_END_EXITED;
	r->exit_code = WEXITSTATUS(status);
	snprintf(r->status, sizeof r->status, "exit status %d", r->exit_code);
	return rc;
}

static enum az_code
fake_run(struct az_sandbox *s, const struct az_box_ref *b, const struct az_sb_cmd *c,
    struct az_sb_result *r, struct az_err *err)
{
	struct fake *f = (struct fake *)s;
	static const char said[] = "path /home/user/.local/bin:/x/bin\nhave python3 gcc sh\n"
				   "version Python 3.11.2\n";
	const char *const *a;
	size_t i;

	(void)b;
	az_buf_addc(&f->log, "run ");
	log_list(&f->log, c->argv);
	for (i = 0; c->env && c->env[i]; i++)
		if (strncmp(c->env[i], "PIP_", 4) != 0 && strncmp(c->env[i], "NPM_", 4) != 0)
			az_buf_addf(&f->log, " %s", c->env[i]);
	az_buf_addf(&f->log, " in %s%s%s\n", c->cwd ? c->cwd : "~", c->tag ? " tag " : "",
	    c->tag ? c->tag : "");
	if (f->error)
		return az_fail(err, f->error, "fake.run", "away");
	if (f->home[0])
		return really(f, c, r, err);
	r->end = AZ_END_EXITED;
	r->exit_code = 0;
	if (!c->env && strstr(c->argv[2], "command -v")) { /* the probe */
		r->exit_code = f->missing && strcmp(c->argv[4], f->missing) == 0;
		return c->output(c->arg, 1, az_str_c(said), err);
	}
	for (a = c->argv; f->fail && *a; a++)
		if (strstr(*a, f->fail)) {
			r->exit_code = f->fail_code;
			snprintf(r->status, sizeof r->status, "exit status %d", f->fail_code);
			if (f->fail_code == -2)
				r->end = AZ_END_TIMEOUT;
			if (f->fail_code == -3)
				r->end = AZ_END_CANCELLED;
			return c->output(c->arg, 2, AZ_S("it broke\n"), err);
		}
	return AZ_OK;
}

static enum az_code
fake_mkdir(struct az_sandbox *s, const struct az_box_ref *b, const char *path, struct az_err *err)
{
	struct fake *f = (struct fake *)s;
	char to[300];

	(void)b;
	(void)err;
	az_buf_addf(&f->log, "mkdir %s\n", path);
	if (f->home[0])
		mkdir(moved(f, path, to, sizeof to), 0755);
	return AZ_OK;
}

static enum az_code
fake_upload(struct az_sandbox *s, const struct az_box_ref *b, const char *path, int64_t bytes,
    enum az_code (*read)(void *arg, char *p, size_t n, size_t *got, struct az_err *err), void *arg,
    struct az_err *err)
{
	struct fake *f = (struct fake *)s;
	char buf[8];
	size_t got;

	(void)b;
	az_buf_addf(&f->log, "upload %s %d <", path, (int)bytes);
	do {
		assert_int_equal(read(arg, buf, sizeof buf, &got, err), AZ_OK);
		az_buf_add(&f->log, buf, got);
	} while (got);
	az_buf_addc(&f->log, ">\n");
	return AZ_OK;
}

static const struct az_sandbox_ops fake_ops = {
    .name = "fake", .run = fake_run, .mkdir = fake_mkdir, .upload = fake_upload};

struct told {
	struct az_buf steps, out;
	bool cancel;
};

static void
on_begin(void *arg, const struct az_plan_step *step, struct az_str text)
{
	struct told *t = arg;

	az_buf_addf(&t->steps, "%d %.*s\n", step ? step->line : 0, AZ_FMT(text));
}

static enum az_code
on_output(
    void *arg, const struct az_plan_step *step, int stream, struct az_str bytes, struct az_err *err)
{
	struct told *t = arg;

	(void)err;
	az_buf_addf(&t->out, "%d/%d:%.*s", step ? step->line : 0, stream, AZ_FMT(bytes));
	return AZ_OK;
}

static bool
on_cancel(void *arg)
{
	struct told *t = arg;

	return t->cancel;
}

struct ex {
	struct fake f;
	struct told told;
	struct az_arena *a;
	struct az_plan plan;
	struct az_plan_result r;
	struct az_err err;
};

static enum az_code
execute(struct ex *e, const char *file)
{
	static const struct az_box_ref ref = {{"iabc", 4}, {"", 0}, {"", 0}, {"", 0}};

	e->f.base.ops = &fake_ops;
	e->a = az_arena_new(AZ_PLAN_ARENA_BYTES);
	az_buf_init(&e->f.log, AZ_MIB(1));
	az_buf_init(&e->told.steps, AZ_MIB(1));
	az_buf_init(&e->told.out, AZ_MIB(1));
	if (az_plan_parse(az_str_c(file), e->a, &e->plan, &e->err) != AZ_OK)
		fail_msg("%s", e->err.text);
	return az_plan_exec(&e->plan,
	    &(struct az_plan_exec){.sandbox = &e->f.base,
		.box = &ref,
		.timeout_s = 77,
		.tag = "azlon-x-1",
		.begin = on_begin,
		.output = on_output,
		.cancelled = on_cancel,
		.arg = &e->told},
	    e->a, &e->r, &e->err);
}

static void
ex_release(struct ex *e)
{
	az_buf_release(&e->f.log);
	az_buf_release(&e->told.steps);
	az_buf_release(&e->told.out);
	az_arena_free(e->a);
}

static void
steps_become_calls(void **state)
{
	struct ex e = {0};

	(void)state;
	assert_int_equal(execute(&e, "FROM python:3.12\nENV A=1\nWORKDIR /app\nCOPY . .\n"
				     "RUN pip install x\nCOPY a b/\nRUN [\"make\", \"all\"]\n"
				     "CMD [\"python\", \"main.py\"]\nEXPOSE 80\n"),
	    AZ_OK);
	assert_true(e.r.built);
	assert_int_equal(e.r.text.n, 0);
	assert_string_equal(e.f.log.p,
	    "mkdir /home/user/app\n"
	    "run [/bin/sh][-c][…][sh][python3] in ~ tag azlon-x-1-b0\n"
	    "mkdir /home/user/app\n"
	    "run [/bin/sh][-c][pip install x] A=1 PATH=/home/user/.local/bin:/x/bin"
	    " in /home/user/app tag azlon-x-1-b1\n"
	    "run [/bin/sh][-c][…][sh][/home/user/app/b][1][0][a] in /home/user/app tag "
	    "azlon-x-1-b2\n"
	    "run [/bin/sh][-c][exec \"$@\"][sh][make][all] A=1 PATH=/home/user/.local/bin:/x/bin"
	    " in /home/user/app tag azlon-x-1-b3\n");
	assert_string_equal(e.told.steps.p,
	    "0 FROM python:3.12 -> Python 3.11.2\n"
	    "3 WORKDIR /app\n4 COPY . .\n5 RUN pip install x\n6 COPY a b/\n"
	    "7 RUN [\"make\", \"all\"]\n");
	assert_string_equal(e.r.argv[3], "sh");
	assert_string_equal(e.r.argv[4], "python");
	assert_string_equal(e.r.argv[5], "main.py");
	assert_null(e.r.argv[6]);
	assert_string_equal(e.r.env[0], "A=1");
	assert_string_equal(e.r.env[1], "PATH=/home/user/.local/bin:/x/bin");
	assert_null(e.r.env[2]);
	assert_string_equal(e.r.cwd, "/home/user/app");
	ex_release(&e);
}

static void
path_is_the_sandboxs(void **state)
{
	struct ex e = {0};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nWORKDIR /app\n"
				     "ENV PATH=/app/bin:$HOME/x:$PATH\nCMD /bin/true\n"),
	    AZ_OK);
	assert_string_equal(e.r.env[0], "PATH=/home/user/app/bin:/home/user/x:"
					"/home/user/.local/bin:/x/bin");
	assert_null(e.r.env[1]);
	ex_release(&e);
}

static void
a_failing_step_is_a_build_failure(void **state)
{
	static const struct {
		int code;
		const char *file, *text;
	} t[] = {
	    {3, "FROM python\nRUN ok\nRUN boom now\nRUN later\n",
		"Dockerfile line 3, RUN boom now: exit status 3"},
	    {-2, "FROM python\nRUN ok\nRUN boom\n", "stopped after 77 s"},
	    {1, "FROM python\nRUN useradd boom\n", "there is no root"},
	    {127, "FROM python\nCOPY boom x\n", "it broke"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct ex e = {.f = {.fail = "boom", .fail_code = t[i].code}};

		assert_int_equal(execute(&e, t[i].file), AZ_OK);
		assert_false(e.r.built);
		assert_non_null(e.r.failed);
		assert_non_null(strstr(e.r.text.p, t[i].text));
		assert_int_equal(e.r.end, t[i].code == -2 ? AZ_END_TIMEOUT : AZ_END_EXITED);
		assert_null(strstr(e.f.log.p, "later"));
		assert_null(e.r.argv);
		if (i == 0)
			assert_string_equal(e.told.out.p, "3/2:it broke\n");
		ex_release(&e);
	}
}

static void
system_packages_are_refused_with_a_reason(void **state)
{
	static const char *const lines[] = {"apt-get update && apt-get install -y gcc",
	    "apt-get -qq update", "DEBIAN_FRONTEND=noninteractive apt-get install -y x",
	    "apk add --no-cache curl", "set -e; /usr/bin/yum -y install x",
	    "[\"apt\", \"install\", \"x\"]", "dnf -y upgrade", "(apt-get install x)"};
	static const char *const fine[] = {"echo apt-get is not there", "pip install apt",
	    "python add.py", "npm install yum", "echo install", "pip install apk add-on"};
	char file[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct ex e = {.f = {.fail = NULL}};

		snprintf(file, sizeof file, "FROM python\nRUN %s\n", lines[i]);
		assert_int_equal(execute(&e, file), AZ_OK);
		if (e.r.built)
			fail_msg("accepted: %s", lines[i]);
		assert_int_equal(e.r.end, 0);
		assert_non_null(strstr(e.r.text.p, "system packages cannot be installed"));
		assert_non_null(strstr(e.r.text.p, "python3 gcc sh"));
		ex_release(&e);
	}
	for (i = 0; i < sizeof fine / sizeof fine[0]; i++) {
		struct ex e = {.f = {.fail = NULL}};

		snprintf(file, sizeof file, "FROM python\nRUN %s\n", fine[i]);
		assert_int_equal(execute(&e, file), AZ_OK);
		if (!e.r.built)
			fail_msg("refused: %s", fine[i]);
		ex_release(&e);
	}
}

static void
a_language_the_template_lacks(void **state)
{
	struct ex e = {.f = {.missing = "cargo"}};

	(void)state;
	assert_int_equal(execute(&e, "FROM rust:1\nRUN cargo build\n"), AZ_OK);
	assert_false(e.r.built);
	assert_null(e.r.failed);
	assert_true(
	    az_str_eqc(e.r.text, "FROM rust:1: this sandbox has no cargo; it has: python3 gcc sh"));
	ex_release(&e);
}

static void
the_sandbox_failing_is_an_error(void **state)
{
	struct ex e = {.f = {.error = AZ_EUNAVAIL}};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nRUN x\n"), AZ_EUNAVAIL);
	assert_string_equal(e.err.text, "away");
	ex_release(&e);
}

static void
cancel_is_an_error(void **state)
{
	struct ex e = {.told = {.cancel = true}};
	struct ex k = {.f = {.fail = "boom", .fail_code = -3}};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nRUN x\n"), AZ_ECANCELLED);
	assert_null(strstr(e.f.log.p, "[x]"));
	ex_release(&e);
	assert_int_equal(execute(&k, "FROM python\nRUN boom\n"), AZ_ECANCELLED);
	ex_release(&k);
}

static void
here_documents_are_uploaded(void **state)
{
	struct ex e = {0};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nWORKDIR /app\n"
				     "COPY --chmod=755 <<EOF run.sh\n#!/bin/sh\necho hi\nEOF\n"),
	    AZ_OK);
	assert_non_null(strstr(e.f.log.p,
	    "upload /home/user/app/run.sh 18 <#!/bin/sh\necho hi\n>\n"
	    "run [/bin/sh][-c][chmod \"$2\" \"$1\"][sh][/home/user/app/run.sh][755]"));
	ex_release(&e);
}

/* ---- the scripts themselves, really run ---- */

static void
put(struct ex *e, const char *path, const char *text)
{
	int root = open(e->f.home, O_RDONLY | O_DIRECTORY), fd;

	assert_int_equal(az_mkparents_beneath(root, path), 0);
	fd = az_open_beneath(root, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(az_write_all(fd, text, strlen(text)), 0);
	close(fd);
	close(root);
}

static bool
is(struct ex *e, const char *path, const char *text)
{
	struct az_buf b;
	char full[300];
	bool same;

	az_buf_init(&b, AZ_KIB(64));
	snprintf(full, sizeof full, "%s/%s", e->f.home, path);
	same =
	    az_read_file(full, AZ_KIB(64), &b, NULL) == AZ_OK && az_str_eqc(az_buf_str(&b), text);
	az_buf_release(&b);
	return same;
}

static bool
there(struct ex *e, const char *path)
{
	char full[300];
	struct stat st;

	snprintf(full, sizeof full, "%s/%s", e->f.home, path);
	return lstat(full, &st) == 0;
}

static void
live(struct ex *e)
{
	snprintf(e->f.home, sizeof e->f.home, "/tmp/azlon-plan-XXXXXX");
	assert_non_null(mkdtemp(e->f.home));
	put(e, "app/main.py", "main");
	put(e, "app/.env", "dot");
	put(e, "app/src/a.py", "a");
	put(e, "app/src/sub/b.py", "b");
	put(e, "app/with blank.txt", "wb");
}

static void
live_end(struct ex *e)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_remove_tree(tmp, e->f.home + strlen("/tmp/"));
	close(tmp);
	ex_release(e);
}

static void
copies_as_docker_does(void **state)
{
	struct ex e = {0};

	(void)state;
	live(&e);
	assert_int_equal(execute(&e, "FROM debian\nWORKDIR /app\nCOPY . .\n"
				     "COPY main.py one.py\n" /* file to file */
				     "COPY main.py dir/\n"   /* file into a directory to be made */
				     "COPY main.py deep/er/two.py\n"
				     "COPY src out\n" /* contents of a directory */
				     "COPY src/ ./\n"
				     "COPY s?c/*.py main.py many/\n"
				     "COPY [\"with blank.txt\", \"w b/\"]\n"
				     "COPY . /data/all\n"
				     "COPY . ./nested/copy\n" /* into itself, without end */
				     "COPY main.py main.py\n"
				     "COPY main.py src\n" /* an existing directory */
				     "COPY --chmod=755 main.py tool\n"),
	    AZ_OK);
	if (!e.r.built)
		fail_msg("%s", e.r.text.p);
	assert_true(is(&e, "app/one.py", "main"));
	assert_true(is(&e, "app/dir/main.py", "main"));
	assert_true(is(&e, "app/deep/er/two.py", "main"));
	assert_true(is(&e, "app/out/a.py", "a"));
	assert_true(is(&e, "app/out/sub/b.py", "b"));
	assert_true(is(&e, "app/a.py", "a"));
	assert_true(is(&e, "app/many/a.py", "a"));
	assert_true(is(&e, "app/many/main.py", "main"));
	assert_true(is(&e, "app/w b/with blank.txt", "wb"));
	assert_true(is(&e, "data/all/src/sub/b.py", "b"));
	assert_true(is(&e, "data/all/.env", "dot"));
	assert_true(is(&e, "app/nested/copy/main.py", "main"));
	assert_false(there(&e, "app/nested/copy/nested/copy/main.py"));
	assert_true(is(&e, "app/src/main.py", "main"));
	assert_true(is(&e, "app/main.py", "main"));
	{
		char full[200];
		struct stat st;

		snprintf(full, sizeof full, "%s/app/tool", e.f.home);
		assert_int_equal(stat(full, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0755);
	}
	live_end(&e);
}

static void
copying_twice_changes_nothing(void **state)
{
	struct ex e = {0}, again = {0};
	const char *file = "FROM debian\nWORKDIR /app\nCOPY . nested/copy\nCOPY src out\n";

	(void)state;
	live(&e);
	assert_int_equal(execute(&e, file), AZ_OK);
	assert_true(e.r.built);
	memcpy(again.f.home, e.f.home, sizeof e.f.home);
	assert_int_equal(execute(&again, file), AZ_OK);
	assert_true(again.r.built);
	assert_false(there(&e, "app/nested/copy/nested/copy"));
	assert_false(there(&e, "app/out/src"));
	ex_release(&again);
	live_end(&e);
}

static void
a_missing_source_is_named(void **state)
{
	static const char *const files[] = {"COPY nope.txt x\n", "COPY *.nope x/\n",
	    "COPY main.py no/pe.txt y/\n", "COPY $(touch${IFS}pwned) x\n",
	    "COPY `touch\\ pwned` x/\n"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof files / sizeof files[0]; i++) {
		struct ex e = {0};
		char file[200];

		live(&e);
		snprintf(file, sizeof file, "FROM debian\nWORKDIR /app\n%s", files[i]);
		assert_int_equal(execute(&e, file), AZ_OK);
		assert_false(e.r.built);
		assert_non_null(strstr(e.r.text.p, "not found in the build context"));
		assert_false(there(&e, "app/pwned")); /* names are names */
		live_end(&e);
	}
}

static void
the_probe_tells_the_truth(void **state)
{
	struct ex e = {0};

	(void)state;
	live(&e);
	assert_int_equal(execute(&e, "FROM debian\nRUN echo \"[$A]\" > said\nENV A=1\n"
				     "RUN [\"sh\", \"-c\", \"pwd\"]\nCMD x\n"),
	    AZ_OK);
	assert_true(e.r.built);
	assert_true(az_str_starts(az_str_c(e.r.env[1]), AZ_S("PATH=/tmp/azlon-plan-")));
	assert_non_null(strstr(e.r.env[1], "/.local/bin:/usr/bin:/bin"));
	assert_true(is(&e, "app/said", "[]\n"));
	live_end(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(steps_become_calls),
	    cmocka_unit_test(path_is_the_sandboxs),
	    cmocka_unit_test(a_failing_step_is_a_build_failure),
	    cmocka_unit_test(system_packages_are_refused_with_a_reason),
	    cmocka_unit_test(a_language_the_template_lacks),
	    cmocka_unit_test(the_sandbox_failing_is_an_error),
	    cmocka_unit_test(cancel_is_an_error),
	    cmocka_unit_test(here_documents_are_uploaded),
	    cmocka_unit_test(copies_as_docker_does),
	    cmocka_unit_test(copying_twice_changes_nothing),
	    cmocka_unit_test(a_missing_source_is_named),
	    cmocka_unit_test(the_probe_tells_the_truth),
	};

	return cmocka_run_group_tests_name("work_plan_exec", tests, NULL, NULL);
}
