/* Executing a plan: in a sandbox that only records, or whose commands really run. */
#ifndef WORK_PLAN_FIXTURE_H
#define WORK_PLAN_FIXTURE_H

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

static inline void
log_list(struct az_buf *b, const char *const *v)
{
	for (; v && *v; v++)
		az_buf_addf(b, "[%s]", strlen(*v) > 90 ? "…" : *v);
}

/* /home/user at the front of s becomes the temporary home. */
static inline const char *
moved(struct fake *f, const char *s, char *out, size_t n)
{
	if (strncmp(s, AZ_PLAN_HOME, strlen(AZ_PLAN_HOME)) != 0)
		return s;
	snprintf(out, n, "%s%s", f->home, s + strlen(AZ_PLAN_HOME));
	return out;
}

static inline enum az_code
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

static inline enum az_code
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

static inline enum az_code
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

static inline enum az_code
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

static inline void
on_begin(void *arg, const struct az_plan_step *step, struct az_str text)
{
	struct told *t = arg;

	az_buf_addf(&t->steps, "%d %.*s\n", step ? step->line : 0, AZ_FMT(text));
}

static inline enum az_code
on_output(
    void *arg, const struct az_plan_step *step, int stream, struct az_str bytes, struct az_err *err)
{
	struct told *t = arg;

	(void)err;
	az_buf_addf(&t->out, "%d/%d:%.*s", step ? step->line : 0, stream, AZ_FMT(bytes));
	return AZ_OK;
}

static inline bool
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

static inline enum az_code
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

static inline void
ex_release(struct ex *e)
{
	az_buf_release(&e->f.log);
	az_buf_release(&e->told.steps);
	az_buf_release(&e->told.out);
	az_arena_free(e->a);
}

#endif
