/*
 * A box server for tests, never as root: a test started by root makes control groups
 * for it where it can, then becomes nobody. Skips only where namespaces are refused.
 */
#ifndef BOX_FIXTURE_H
#define BOX_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/path.h>
#include "box/box.h"
#include "skip.h"

#define FIX_NOBODY 65534

/* Who the test becomes: a user with subordinate ids where there is one, else nobody. */
static uid_t fix_uid = FIX_NOBODY;
static gid_t fix_gid = FIX_NOBODY;

static void
fix_who(void)
{
	const struct passwd *pw = getpwnam("azlon-sandbox");

	if (pw && !getenv("AZ_BOX_SHARED")) {
		fix_uid = pw->pw_uid;
		fix_gid = pw->pw_gid;
	}
}

struct box_fixture {
	char dir[64], scratch[80], agent[80], groups[400];
	char group_dirs[4][96];
	struct az_box_opts o;
	struct az_box_server *s;
	bool refused;
};

static void
fix_copy(const char *from, const char *to)
{
	struct az_buf b;
	int fd;

	az_buf_init(&b, AZ_MIB(64));
	if (!from || az_read_file(from, AZ_MIB(64), &b, NULL)) {
		fprintf(stderr, "AZ_AGENT must name the built sandbox-agent\n");
		exit(1);
	}
	fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (fd < 0 || az_write_all(fd, b.p, b.n))
		exit(1);
	close(fd);
	az_buf_release(&b);
}

/* v1 groups of this test, owned by nobody. On v2 the process must sit inside what it
   is given, which a test cannot arrange everywhere: limits by rlimits then. */
static void
fix_groups(struct box_fixture *f)
{
	static const char *const kinds[] = {"memory", "pids", "cpu", "freezer"};

	for (int i = 0; i < 4; i++) {
		snprintf(f->group_dirs[i], sizeof f->group_dirs[i], "/sys/fs/cgroup/%s/aztest-%d",
		    kinds[i], (int)getpid());
		if (mkdir(f->group_dirs[i], 0755) < 0 ||
		    chown(f->group_dirs[i], fix_uid, fix_gid) < 0) {
			f->group_dirs[i][0] = 0;
			continue;
		}
		snprintf(f->groups + strlen(f->groups), sizeof f->groups - strlen(f->groups),
		    "%s%s", f->groups[0] ? "," : "", f->group_dirs[i]);
	}
}

static bool
fix_namespaces(void)
{
	int st, pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execl("/usr/bin/bwrap", "bwrap", "--unshare-user", "--unshare-pid", "--unshare-net",
		    "--ro-bind", "/", "/", "--proc", "/proc", "true", (char *)NULL);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &st, 0) == pid && WIFEXITED(st) && !WEXITSTATUS(st);
}

/* Call before any thread exists. The supervisor waits for the test proper, which runs
   as nobody, and clears up what only root can. Returns in the child only. */
static void
fix_become_nobody(struct box_fixture *f, bool groups)
{
	*f = (struct box_fixture){0};
	fix_who();
	snprintf(f->dir, sizeof f->dir, "/tmp/az-box-XXXXXX");
	if (!mkdtemp(f->dir))
		exit(1);
	snprintf(f->agent, sizeof f->agent, "%s/agent", f->dir);
	snprintf(f->scratch, sizeof f->scratch, "%s/box", f->dir);
	fix_copy(getenv("AZ_AGENT"), f->agent);
	if (geteuid() == 0) {
		int st = 1 << 8, pid;

		if (groups)
			fix_groups(f);
		if (chown(f->dir, fix_uid, fix_gid) < 0)
			exit(1);
		pid = fork();
		if (pid) {
			while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
				;
			for (int i = 0; i < 4; i++)
				if (f->group_dirs[i][0])
					rmdir(f->group_dirs[i]);
			disk_remove(f->dir);
			exit(WIFEXITED(st) ? WEXITSTATUS(st) : 1);
		}
		if (setgroups(0, NULL) < 0 || setgid(fix_gid) < 0 || setuid(fix_uid) < 0)
			exit(1);
	}
	f->refused = !fix_namespaces();
	f->o = (struct az_box_opts){.dir = f->scratch,
	    .agent = f->agent,
	    .bwrap = "/usr/bin/bwrap",
	    .key = "e2b_0123456789abcdef",
	    .port = 8090,
	    .memory_bytes = 128 << 20,
	    .disk_bytes = 96 << 20,
	    .pids = 40,
	    .cpu_pct = 100,
	    .max = 8,
	    .cgroup = f->groups[0] ? f->groups : NULL};
}

static __attribute__((unused)) int
fix_open(struct box_fixture *f)
{
	struct az_err err = AZ_ERR_INIT;

	az_log_open("test", "stderr", AZ_ERROR);
	if (f->refused)
		return 0;
	if (az_box_open(&f->o, &f->s, &err)) {
		fprintf(stderr, "az_box_open: %s\n", err.text);
		return -1;
	}
	return 0;
}

static void
fix_close(struct box_fixture *f)
{
	az_box_close(f->s);
	if (getppid() <= 1 || geteuid() != fix_uid)
		disk_remove(f->dir);
}

/* It is gone when this returns. */
static __attribute__((unused)) void
fix_done(struct box *b)
{
	box_destroy(b, "test done", true);
	assert_true(b->gone);
	box_unref(b);
}

/* At the top of each test that needs a box. */
#define NEEDS_BOX(f)                                                                               \
	do {                                                                                       \
		if ((f)->refused)                                                                  \
			SKIP("this host refuses namespaces");                                      \
	} while (0)

static __attribute__((unused)) struct box *
fix_box(struct box_fixture *f, const char *json, int ttl_s)
{
	struct az_json *req = NULL;
	struct az_err err = AZ_ERR_INIT;
	struct box *b = NULL;

	assert_int_equal(az_json_parse(az_str_c(json ? json : "{\"templateID\":\"base\"}"),
			     &az_json_own_limits, &req, &err),
	    AZ_OK);
	if (box_create_own(f->s, req, ttl_s, f->s->memory, &b, &err))
		fail_msg("%s", err.text);
	return b;
}

struct fix_result {
	bool ended, signalled;
	int code;
	char error[256];
	size_t bytes;   /* of all streams */
	char out[4096]; /* stdout, its beginning */
	char err[1024];
};

/* Run argv[1..] of sh -c; stopped with "timed out" after ms. */
static __attribute__((unused)) void
fix_run(struct box *b, const char *script, int64_t ms, struct fix_result *r)
{
	struct proc_start ps = {.cmd = AZ_S("/bin/sh")};
	struct az_json *args = NULL;
	struct az_err err = AZ_ERR_INIT;
	struct sub sub = {0};
	struct proc *p = NULL;
	struct az_buf j, got;
	struct az_jw w;
	int64_t deadline = az_boot_ms() + ms;
	size_t on = 0, en = 0;
	bool killed = false;
	enum az_code rc;

	memset(r, 0, sizeof *r);
	az_buf_init(&j, AZ_KIB(64));
	az_buf_init(&got, AZ_MIB(1));
	az_jw_init(&w, &j);
	az_jw_arr(&w);
	az_jw_cstr(&w, "-c");
	az_jw_cstr(&w, script);
	az_jw_end(&w, ']');
	assert_int_equal(az_json_parse(az_buf_str(&j), &az_json_own_limits, &args, &err), AZ_OK);
	ps.args = args;
	if (proc_start(b, &ps, &sub, &p, &err)) {
		snprintf(r->error, sizeof r->error, "%s", err.text);
		goto out;
	}
	while (!r->ended) {
		struct az_str rest, bytes;
		int stream;

		az_buf_reset(&got);
		rc = proc_wait(b, p, &sub, deadline, &got, &r->ended, &err);
		if (rc == AZ_ETIMEOUT && !killed) {
			proc_stop(b, p, "timed out");
			killed = true;
			deadline = az_boot_ms() + 15000;
			continue;
		}
		if (rc) {
			snprintf(r->error, sizeof r->error, "%s", err.text);
			break;
		}
		rest = az_buf_str(&got);
		while (record_next(&rest, &stream, &bytes)) {
			char *to = stream == 1 ? r->out : r->err;
			size_t *at = stream == 1 ? &on : &en;
			size_t cap = stream == 1 ? sizeof r->out : sizeof r->err;
			size_t n = bytes.n < cap - 1 - *at ? bytes.n : cap - 1 - *at;

			memcpy(to + *at, bytes.p, n);
			*at += n;
			r->bytes += bytes.n;
		}
	}
	if (r->ended) {
		r->signalled = p->signalled;
		r->code = p->code;
		snprintf(r->error, sizeof r->error, "%s", p->error);
	}
	pthread_mutex_lock(&b->mu);
	proc_leave(b, p, &sub);
	pthread_mutex_unlock(&b->mu);
	proc_unref(b, p);
out:
	az_json_free(args);
	az_buf_release(&j);
	az_buf_release(&got);
}

#endif
