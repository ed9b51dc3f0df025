/* What stops a box or keeps it from starting: forged frames, limits, a host that cannot isolate. */
#include "box_fixture.h"

#include <sched.h>
#include <sys/prctl.h>

static struct box_fixture fix;

static void
make_dir(const char *path)
{
	assert_true(!mkdir(path, 0755) || errno == EEXIST);
}

static void
frames_that_no_honest_agent_sends_end_the_box(void **state)
{
	static const struct {
		uint32_t id;
		int type;
		const char *body;
		size_t n;
	} forged[] = {
	    {0, AW_HELLO, "\1\0\0\0\0\0\0\0\0\0\0\0", 12}, /* a second one */
	    {7, AW_HELLO, "\1\0\0\0\0\0\0\0\0\0\0\0", 12},
	    {1, AW_OUT, "\1text", 5}, /* of what has not started */
	    {1, AW_EXIT, "\0\0\0\0\0\0\0\0\0", 9},
	    {1, AW_STARTED, "\1", 1},              /* cut */
	    {1, AW_CREDIT, "\377\377\377\177", 4}, /* more than was ever sent */
	    {1, AW_START, "", 0},                  /* ours to say */
	    {1, AW_KILL_ALL, "", 0},
	    {1, AW_NET_OPEN, "\1\0\0\0\0\0", 6},  /* not one of its ids */
	    {AW_NET + 1, AW_NET_OPEN, "\120", 1}, /* cut */
	    {1, 200, "", 0},
	};
	struct az_box_server srv = {0};

	(void)state;
	for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
		struct box b = {.srv = &srv,
		    .sock = -1,
		    .wake = -1,
		    .init_fd = -1,
		    .slot = -1,
		    .hello = true,
		    .proxy_on = true,
		    .internet = true};
		struct proc p = {.id = 1, .refs = 1, .stdin_room = AW_STDIN_WINDOW};
		struct aw_frame f = {forged[i].id, (uint8_t)forged[i].type,
		    {(const unsigned char *)forged[i].body, forged[i].n, false}};

		pthread_mutex_init(&b.mu, NULL);
		az_cond_init(&b.cond);
		az_cond_init(&p.cond);
		az_buf_init(&b.out, AZ_MIB(1));
		az_buf_init(&p.ring, PROC_RING);
		b.procs = &p;
		pthread_mutex_lock(&b.mu);
		if (link_frame(&b, &f))
			fail_msg("frame %zu was taken", i);
		pthread_mutex_unlock(&b.mu);
		az_buf_release(&b.out);
		az_buf_release(&p.ring);
		journal_free(&b.journal);
		pthread_cond_destroy(&p.cond);
		pthread_cond_destroy(&b.cond);
		pthread_mutex_destroy(&b.mu);
	}
}

static void
put_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[400];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void
file_is(const char *dir, const char *name, const char *want)
{
	char path[400];
	struct az_buf b;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	az_buf_init(&b, AZ_KIB(4));
	assert_int_equal(az_read_file(path, AZ_KIB(4), &b, NULL), AZ_OK);
	if (!az_str_eqc(az_buf_str(&b), want))
		fail_msg("%s is '%.*s', wanted '%s'", name, AZ_FMT(az_buf_str(&b)), want);
	az_buf_release(&b);
}

/* A tree that looks like version 2, since not every kernel offers memory and pids there. */
static void
groups_of_version_two_get_every_limit(void **state)
{
	static const struct cg_limits lim = {128 << 20, 40, 50};
	char top[100], one[120];
	struct az_err err = AZ_ERR_INIT;
	struct cgroups c;
	int procs[CG_KINDS];

	(void)state;
	if (geteuid() == 0)
		SKIP("root may write what must not be written");
	snprintf(top, sizeof top, "%s/v2", fix.dir);
	snprintf(one, sizeof one, "%s/box", top);
	make_dir(top);
	make_dir(one);
	put_file(top, "cgroup.controllers", "cpu memory pids\n", 0444);
	put_file(top, "cgroup.subtree_control", "cpu memory pids\n", 0444);
	put_file(top, "cgroup.freeze", "0\n", 0644);
	for (size_t i = 0; i < 6; i++) {
		static const char *const made[] = {"cgroup.procs", "memory.max", "memory.swap.max",
		    "pids.max", "cpu.max", "cgroup.kill"};

		put_file(one, made[i], "", 0644);
	}
	put_file(one, "memory.events", "low 0\nmax 9\noom 2\noom_kill 3\n", 0644);
	put_file(one, "pids.events", "max 7\n", 0644);
	put_file(one, "memory.current", "4096\n", 0644);
	assert_int_equal(cg_open(&c, top, &err), AZ_OK);
	assert_int_equal(c.mode, CG_V2);
	assert_int_equal(cg_make(&c, "box", &lim, procs, &err), AZ_OK);
	file_is(one, "memory.max", "134217728");
	file_is(one, "memory.swap.max", "0");
	file_is(one, "pids.max", "42");
	file_is(one, "cpu.max", "50000 100000");
	assert_true(procs[CG_MEMORY] >= 0);
	close(procs[CG_MEMORY]);
	assert_int_equal(cg_oom_kills(&c, "box"), 3);
	assert_int_equal(cg_pids_hits(&c, "box"), 7);
	assert_int_equal(cg_memory_used(&c, "box"), 4096);
	assert_int_equal(cg_freezer(&c), CG_FREEZE_V2);
	cg_release(&c);
	disk_remove(top);
	/* a hybrid host: version 2 is there, without what counts */
	make_dir(top);
	put_file(top, "cgroup.controllers", "hugetlb\n", 0444);
	put_file(top, "cgroup.subtree_control", "", 0444);
	assert_int_equal(cg_open(&c, top, &err), AZ_OK);
	assert_int_equal(c.mode, CG_NONE);
	assert_string_equal(cg_mode_name(c.mode), "rlimits");
	disk_remove(top);
}

/* In a user namespace of its own that allows no further one. */
static void
a_host_without_namespaces_runs_nothing(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_box_opts o = fix.o;
	char dir[100], map[64];
	int st, pid, uid = (int)geteuid();

	(void)state;
	NEEDS_BOX(&fix);
	snprintf(dir, sizeof dir, "%s-none", fix.scratch);
	snprintf(map, sizeof map, "1000 %d 1", uid);
	o.dir = dir;
	o.cgroup = NULL;
	pid = fork();
	if (!pid) {
		struct az_box_server *s = NULL;

		if (unshare(CLONE_NEWUSER) < 0)
			_exit(9);
		prctl(PR_SET_DUMPABLE, 1);
		put_file("/proc/self", "uid_map", map, 0);
		put_file("/proc/sys/user", "max_user_namespaces", "0", 0);
		if (az_box_open(&o, &s, &err) != AZ_EUNAVAIL || s)
			_exit(1);
		_exit(strstr(err.text, "did not start") && strstr(err.text, "namespace") ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
	disk_remove(dir);
}

static int
group_teardown(void **state)
{
	(void)state;
	fix_close(&fix);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_that_no_honest_agent_sends_end_the_box),
	    cmocka_unit_test(groups_of_version_two_get_every_limit),
	    cmocka_unit_test(a_host_without_namespaces_runs_nothing),
	};

	fix_become_nobody(&fix, false);
	return cmocka_run_group_tests(tests, NULL, group_teardown);
}
