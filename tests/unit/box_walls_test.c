/* The box itself: who runs as whom, what is left of it, spares, templates, wheels. */
#include "box_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

static struct box_fixture fix;
static struct fix_result r;
static char templates[120], wheels[120];

static void
make_dir(const char *path)
{
	assert_true(!mkdir(path, 0755) || errno == EEXIST);
}

/* A tree of links into what every host has: enough of a system to be told from ours. */
static void
make_template(void)
{
	char p[300];
	FILE *f;

	snprintf(templates, sizeof templates, "%s/templates", fix.dir);
	make_dir(templates);
	snprintf(p, sizeof p, "%s/tiny", templates);
	make_dir(p);
	snprintf(p, sizeof p, "%s/tiny/usr", templates);
	make_dir(p);
	snprintf(p, sizeof p, "%s/tiny/usr/bin", templates);
	make_dir(p);
	snprintf(p, sizeof p, "%s/tiny/etc", templates);
	make_dir(p);
	snprintf(p, sizeof p, "%s/tiny/bin", templates);
	assert_true(!symlink("usr/bin", p) || errno == EEXIST);
	snprintf(p, sizeof p, "%s/tiny/etc/passwd", templates);
	f = fopen(p, "w");
	fputs("root:x:0:0::/:/bin/sh\n", f);
	fclose(f);
	snprintf(p, sizeof p, "%s/tiny/etc/motd", templates);
	f = fopen(p, "w");
	fputs("tiny\n", f);
	fclose(f);
	/* the one program that needs no library: the agent */
	snprintf(p, sizeof p, "%s/tiny/usr/bin/probe", templates);
	fix_copy(fix.agent, p);
	snprintf(p, sizeof p, "%s/Not-One", templates);
	make_dir(p);
}

static int
group_setup(void **state)
{
	char p[200];
	FILE *f;

	(void)state;
	make_template();
	snprintf(wheels, sizeof wheels, "%s/wheels", fix.dir);
	make_dir(wheels);
	snprintf(p, sizeof p, "%s/a.whl", wheels);
	f = fopen(p, "w");
	fputs("wheel\n", f);
	fclose(f);
	fix.o.templates = templates;
	fix.o.wheels = wheels;
	fix.o.spares = 1;
	return fix_open(&fix);
}

static int
group_teardown(void **state)
{
	(void)state;
	fix_close(&fix);
	return 0;
}

static void
out_is(struct box *b, const char *script, const char *want)
{
	fix_run(b, script, 10000, &r);
	if (strcmp(r.out, want) != 0)
		fail_msg("%s:\nout '%.600s'\nerr '%.600s' %s", script, r.out, r.err, r.error);
}

/* Waits for what other threads do, 10 s at most. */
static bool
comes(bool (*cond)(void *), void *arg)
{
	for (int i = 0; i < 1000; i++) {
		if (cond(arg))
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

static bool
spare_there(void *arg)
{
	(void)arg;
	return spares_count(fix.s) == 1;
}

static bool
home_gone(void *path)
{
	return access(path, F_OK) < 0;
}

/* The host's id of a process in the box. */
static uid_t
host_uid(const struct box *b)
{
	struct stat st;

	assert_int_equal(lstat(b->home, &st), 0);
	return st.st_uid;
}

static void
programs_have_no_privilege_and_the_agent_another_id(void **state)
{
	bool pair;
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	pair = fix.s->slots.n > 0;
	print_message("# uid_mode %s %s\n", pair ? "pair" : "shared", fix.s->slots.why);
	b = fix_box(&fix, NULL, 60);
	out_is(b, "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status | tr -d '\\t '",
	    "Uid:1000100010001000\nGid:1000100010001000\nGroups:\n"
	    "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\n"
	    "CapBnd:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1\n");
	out_is(b, "awk '/^Uid/ { print $2 }' /proc/1/status", pair ? "1001\n" : "1000\n");
	/* to the agent not even a signal goes out, where it is another user */
	if (pair)
		out_is(b, "kill -0 1 2>&1 | grep -ci 'not permitted'", "1\n");
	out_is(b, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
	out_is(b, "touch f; stat -c '%u:%g %a' . f; echo x >/tmp/f; echo x >/dev/shm/f; id -un",
	    "1000:1000 755\n1000:1000 644\nuser\n");
	/* pipes and the terminal are the program's own */
	out_is(b, "echo again >/dev/stdout", "again\n");
	fix_done(b);
}

static void
the_agent_keeps_still_whatever_is_sent_to_it(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	out_is(b,
	    "for i in 1 2 3 6 9 11 13 15 17 19 23 31; do kill -$i 1 2>/dev/null; done; "
	    "i=0; while [ $i -lt 300 ]; do kill -17 1 2>/dev/null; i=$((i+1)); done; echo sent",
	    "sent\n");
	out_is(b,
	    "for f in mem environ maps syscall stack fd fdinfo root cwd exe auxv ns/net; do "
	    "cat /proc/1/$f >/dev/null 2>&1 && echo $f; ls /proc/1/$f/ >/dev/null 2>&1 && "
	    "echo $f/; done; echo 0 2>/dev/null >/proc/1/oom_score_adj; echo end",
	    "end\n");
	out_is(b, "echo still", "still\n");
	fix_done(b);
}

static void
no_two_boxes_share_an_id(void **state)
{
	struct box *a, *b, *c;
	uid_t first;

	(void)state;
	NEEDS_BOX(&fix);
	if (!fix.s->slots.n)
		SKIP("no subordinate ids here");
	a = fix_box(&fix, NULL, 60);
	b = fix_box(&fix, NULL, 60);
	first = host_uid(a);
	assert_int_not_equal(first, host_uid(b));
	assert_int_not_equal(first, geteuid());
	assert_in_range(first, fix.s->slots.uid, fix.s->slots.uid + 2 * fix.s->slots.pairs);
	assert_int_not_equal(a->slot, b->slot);
	/* while one is there nobody gets its ids */
	c = fix_box(&fix, NULL, 60);
	assert_int_not_equal(host_uid(c), first);
	fix_done(a);
	fix_done(b);
	fix_done(c);
}

static void *
take_a_slot(void *slot)
{
	struct az_err e = AZ_ERR_INIT;

	if (slot_alloc(fix.s, slot, &e))
		*(int *)slot = -2;
	return NULL;
}

/* Each is made by a child of the moment, which must not wait for another's. */
static void
slots_are_made_side_by_side(void **state)
{
	enum { N = 12 };
	pthread_t t[N];
	int slot[N];

	(void)state;
	NEEDS_BOX(&fix);
	if (!fix.s->slots.n)
		SKIP("no subordinate ids here");
	for (int i = 0; i < N; i++)
		assert_true(thread_start(&t[i], take_a_slot, &slot[i], false));
	for (int i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < N; i++) {
		assert_true(slot[i] >= 0 && slot_ns(fix.s, slot[i]) >= 0);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(slot[i], slot[j]);
	}
	for (int i = 0; i < N; i++)
		slot_free(fix.s, slot[i]);
}

static void
locked_directories_are_counted_and_removed(void **state)
{
	struct box *b;
	char home[sizeof b->home];

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	assert_true(b->home[0]);
	snprintf(home, sizeof home, "%s", b->home);
	out_is(b,
	    "mkdir -p a/b c && head -c 3000000 /dev/zero >a/b/f && ln -s / c/l && chmod 0 a/b a && "
	    "chmod 0555 c && stat -c %a a",
	    "0\n");
	assert_in_range(home_used(b, INT64_MAX - 1), 3000000, 3300000);
	/* looking changed nothing */
	out_is(b, "stat -c %a a; chmod 700 a; stat -c %a a/b; chmod 0 a", "0\n0\n");
	fix_done(b);
	assert_true(comes(home_gone, home));
}

static void
programs_die_before_the_agent_when_memory_ends(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	out_is(b, "cat /proc/self/oom_score_adj", "500\n");
	fix_done(b);
}

static void
a_spare_is_taken_once_and_replaced(void **state)
{
	struct box *b, *spare;
	char id[BOX_ID + 1];

	(void)state;
	NEEDS_BOX(&fix);
	assert_true(comes(spare_there, NULL));
	pthread_mutex_lock(&fix.s->mu);
	snprintf(id, sizeof id, "%s", fix.s->spares->id);
	pthread_mutex_unlock(&fix.s->mu);
	/* nobody can find it before */
	assert_null(box_find(fix.s, az_str_c(id)));
	b = fix_box(&fix, "{\"templateID\":\"base\",\"envVars\":{\"WHO\":\"me\"}}", 60);
	assert_string_equal(b->id, id);
	assert_in_range(b->deadline_ms, az_boot_ms() + 50000, az_boot_ms() + 61000);
	out_is(b, "echo $WHO $E2B_SANDBOX_ID | cut -c1-4; ls -A", "me i\n");
	assert_true(comes(spare_there, NULL));
	fix_done(b);
	/* one that died is replaced, too */
	pthread_mutex_lock(&fix.s->mu);
	spare = fix.s->spares;
	snprintf(id, sizeof id, "%s", spare->id);
	syscall(SYS_pidfd_send_signal, spare->init_fd, SIGKILL, NULL, 0);
	pthread_mutex_unlock(&fix.s->mu);
	b = NULL;
	for (int i = 0; i < 1000; i++) {
		bool other;

		pthread_mutex_lock(&fix.s->mu);
		other = fix.s->spares && strcmp(fix.s->spares->id, id) != 0;
		pthread_mutex_unlock(&fix.s->mu);
		if (other)
			break;
		poll(NULL, 0, 10);
	}
	b = fix_box(&fix, NULL, 60);
	assert_string_not_equal(b->id, id);
	out_is(b, "echo ok", "ok\n");
	fix_done(b);
}

static void
a_template_has_its_own_system(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_json *args = NULL;
	struct proc_start ps = {.cmd = AZ_S("/bin/probe")};
	struct sub sub = {0};
	struct proc *p = NULL;
	struct az_buf got;
	struct box *b;
	bool ended = false;

	(void)state;
	NEEDS_BOX(&fix);
	assert_true(template_known(fix.s, AZ_S("tiny")));
	assert_true(template_known(fix.s, AZ_S("tiny:v1")));
	for (size_t i = 0; i < 8; i++) {
		static const char *const no[] = {
		    "", ".", "..", "Not-One", "none", "../templates/tiny", "tiny/usr", "-tiny"};

		assert_false(template_known(fix.s, az_str_c(no[i])));
	}
	b = fix_box(&fix, "{\"templateID\":\"tiny\"}", 60);
	/* no shell there: the walls are tried by the agent's own code */
	az_buf_init(&got, AZ_MIB(1));
	assert_int_equal(
	    az_json_parse(AZ_S("[\"--canary\",\"write\",\"0\"]"), &az_json_own_limits, &args, &err),
	    AZ_OK);
	ps.args = args;
	assert_int_equal(proc_start(b, &ps, &sub, &p, &err), AZ_OK);
	while (!ended) {
		az_buf_reset(&got);
		assert_int_equal(
		    proc_wait(b, p, &sub, az_boot_ms() + 10000, &got, &ended, &err), AZ_OK);
	}
	assert_int_equal(p->code, 0);
	assert_false(p->signalled);
	pthread_mutex_lock(&b->mu);
	proc_leave(b, p, &sub);
	pthread_mutex_unlock(&b->mu);
	proc_unref(b, p);
	fix_run(b, "true", 5000, &r);
	assert_int_equal(r.code, 127); /* the host's shell is not in it */
	az_json_free(args);
	az_buf_release(&got);
	fix_done(b);
}

static void
wheels_are_there_to_read_only(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	out_is(b,
	    "echo $PIP_FIND_LINKS; cat $PIP_FIND_LINKS/a.whl; touch $PIP_FIND_LINKS/b 2>&1 | "
	    "grep -c Read-only",
	    BOX_WHEELS "\nwheel\n1\n");
	fix_done(b);
}

/* The host's number of the box's PID 1. */
static int
agent_pid(const struct box *b)
{
	char path[64], line[128];
	int pid = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", b->init_fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "Pid:", 4))
			pid = (int)strtol(line + 4, NULL, 10);
	if (f)
		fclose(f);
	return pid;
}

/* Gone, or a corpse that the host's init has not buried yet. */
static bool
ended(void *pid)
{
	char path[64], line[256];
	FILE *f;
	bool yes = true;

	snprintf(path, sizeof path, "/proc/%d/stat", *(int *)pid);
	f = fopen(path, "r");
	if (f) {
		if (fgets(line, sizeof line, f) && strrchr(line, ')'))
			yes = strrchr(line, ')')[2] == 'Z';
		fclose(f);
	}
	return yes;
}

/* What a server that was killed left, its boxes' users included, goes at the next start. */
static void
a_server_that_was_killed_leaves_nothing_for_long(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_box_opts o = fix.o;
	char dir[100], home[300] = "";
	int st, pid, p[2], inside = 0;
	ssize_t n;

	(void)state;
	NEEDS_BOX(&fix);
	snprintf(dir, sizeof dir, "%s-killed", fix.scratch);
	o.dir = dir;
	o.cgroup = NULL;
	o.spares = 0;
	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid) {
		struct az_box_server *s = NULL;
		struct box_fixture f = fix;
		struct box *b;

		if (az_box_open(&o, &s, &err))
			_exit(1);
		f.s = s;
		b = fix_box(&f, NULL, 60);
		fix_run(b, "mkdir -p x/y; chmod 0 x/y x; sleep 100 & echo $!", 5000, &r);
		inside = agent_pid(b);
		n = write(p[1], &inside, sizeof inside);
		n = write(p[1], b->home, strlen(b->home));
		raise(SIGKILL);
		_exit(1);
	}
	close(p[1]);
	assert_int_equal(read(p[0], &inside, sizeof inside), sizeof inside);
	n = read(p[0], home, sizeof home - 1);
	assert_true(n > 0 && inside > 1);
	close(p[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st));
	assert_true(comes(ended, &inside));
	assert_int_equal(access(home, F_OK), 0);
	{
		struct az_box_server *s = NULL;

		assert_int_equal(az_box_open(&o, &s, &err), AZ_OK);
		assert_int_equal(access(home, F_OK), -1);
		az_box_close(s);
	}
	disk_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(programs_have_no_privilege_and_the_agent_another_id),
	    cmocka_unit_test(the_agent_keeps_still_whatever_is_sent_to_it),
	    cmocka_unit_test(no_two_boxes_share_an_id),
	    cmocka_unit_test(slots_are_made_side_by_side),
	    cmocka_unit_test(locked_directories_are_counted_and_removed),
	    cmocka_unit_test(programs_die_before_the_agent_when_memory_ends),
	    cmocka_unit_test(a_spare_is_taken_once_and_replaced),
	    cmocka_unit_test(a_template_has_its_own_system),
	    cmocka_unit_test(wheels_are_there_to_read_only),
	    cmocka_unit_test(a_server_that_was_killed_leaves_nothing_for_long),
	};

	/* one id for agent and programs: AZ_BOX_SHARED=1; no groups: AZ_BOX_RLIMITS=1 */
	fix_become_nobody(&fix, !getenv("AZ_BOX_RLIMITS"));
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
