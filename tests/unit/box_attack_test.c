/* Hostile programs in a box: each is stopped, is told why, and harms nobody else. */
#include "box_fixture.h"

#include <poll.h>
#include <signal.h>

static struct box_fixture fix;
static struct fix_result r;

static int
group_setup(void **state)
{
	(void)state;
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
says(const char *what)
{
	if (!strstr(r.error, what))
		fail_msg("error is '%s', wanted '%s' (code %d, out '%.200s', err '%.200s')",
		    r.error, what, r.code, r.out, r.err);
}

/* Another box answers while this one is attacked. */
static void
neighbour_lives(void)
{
	struct box *b = fix_box(&fix, NULL, 60);
	int64_t t = az_boot_ms();

	fix_run(b, "echo well", 10000, &r);
	assert_string_equal(r.out, "well\n");
	assert_true(az_boot_ms() - t < 5000);
	fix_done(b);
}

static void
a_fork_bomb_meets_the_limit(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	/* processes that fork as fast as they can and never end by themselves */
	fix_run(b, "f() { f & f & sleep 30; }; f 2>/dev/null; sleep 30", 1500, &r);
	assert_true(r.ended && (r.signalled || r.code));
	pthread_mutex_lock(&b->mu);
	assert_false(b->dead);
	pthread_mutex_unlock(&b->mu);
	neighbour_lives();
	/* counted by the group, or refused by the rlimit: never past the limit */
	fix_run(b, "i=0; while [ $i -lt 200 ]; do sleep 20 & i=$((i+1)); done", 8000, &r);
	says("process limit");
	assert_true(r.signalled || r.code != 0);
	fix_done(b);
}

static void
a_memory_bomb_is_killed_and_told(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b, "exec /opt/azlon/agent --canary mem 2147483648", 20000, &r);
	if (fix.s->cg.mode != CG_NONE) {
		assert_true(r.signalled);
		assert_int_equal(r.code, SIGKILL);
		says("killed: out of memory (limit 128 MiB)");
	} else {
		assert_int_equal(r.code, 0); /* the canary: refused */
	}
	/* the box itself goes on */
	fix_run(b, "echo on", 5000, &r);
	assert_string_equal(r.out, "on\n");
	/* shared memory and /tmp count as well, and are small */
	fix_run(b,
	    "head -c 300000000 /dev/zero > /dev/shm/x; head -c 300000000 /dev/zero "
	    "> /tmp/x; stat -c %s /dev/shm/x /tmp/x",
	    20000, &r);
	assert_true(strtoll(r.out, NULL, 10) <= (16 << 20));
	fix_done(b);
}

static void
a_flood_is_cut_at_the_limit(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b, "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 60000, &r);
	says("stopped: output limit (64 MiB)");
	assert_int_equal(r.bytes, AZ_LIM_LOG_BYTES);
	fix_done(b);
}

static void
a_full_disk_stops_the_writer(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	/* one file: the size limit of the kernel */
	fix_run(b, "exec head -c 10000000000 /dev/zero > big", 60000, &r);
	assert_true(r.signalled || r.code);
	if (fix.s->tmpfs_home)
		assert_non_null(strstr(r.err, "No space left"));
	else if (!strstr(r.error, "file size limit"))
		says("disk limit");
	fix_run(b, "rm -f big", 5000, &r);
	/* many files: the kernel's where the home is a tmpfs, else ours */
	if (fix.s->tmpfs_home) {
		fix_run(b, "i=0; while head -c 20000000 /dev/zero > f$i; do i=$((i+1)); done",
		    60000, &r);
		assert_non_null(strstr(r.err, "No space left"));
	} else {
		fix_run(b, "i=0; while :; do head -c 20000000 /dev/zero > f$i; i=$((i+1)); done",
		    60000, &r);
		says("stopped: disk limit (96 MiB)");
	}
	neighbour_lives();
	fix_done(b);
}

static void
a_timeout_takes_the_whole_tree(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b,
	    "trap '' TERM INT HUP; (setsid sh -c 'while :; do :; done' &) ; "
	    "sh -c 'while :; do :; done' & while :; do :; done",
	    500, &r);
	says("timed out");
	assert_true(r.ended);
	/* PID 1, this shell and its two helpers: nobody else, daemons by kill_all */
	fix_run(b, "ls /proc | grep -c '^[0-9]'", 5000, &r);
	assert_in_range(strtol(r.out, NULL, 10), 1, 5);
	fix_done(b);
}

static void
nothing_is_left_after_a_kill(void **state)
{
	char path[700];
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b,
	    "trap '' TERM; for i in 1 2 3 4 5; do setsid nohup sleep 1000 "
	    ">/dev/null 2>&1 & done; mkdir -p a/b; chmod 0 a/b; chmod 0 a; echo ok",
	    5000, &r);
	assert_string_equal(r.out, "ok\n");
	box_destroy(b, "test", true);
	assert_true(b->gone);
	/* the pidfd of its PID 1 is readable: its namespace is empty */
	assert_int_equal(poll(&(struct pollfd){b->init_fd, POLLIN, 0}, 1, 0), 1);
	if (fix.s->cg.mode == CG_V1) {
		snprintf(path, sizeof path, "%s/%s", fix.s->cg.dir[CG_MEMORY], b->id);
		assert_int_equal(access(path, F_OK), -1);
	}
	box_unref(b);
}

static void
there_is_no_network(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b, "exec /opt/azlon/agent --canary net 22", 8000, &r);
	assert_false(r.signalled);
	assert_int_equal(r.code, 0);
	/* no proxy unless allowed, none in the environment either */
	fix_run(b, "env | grep -ci proxy; cat /proc/net/tcp | wc -l", 5000, &r);
	assert_string_equal(r.out, "0\n1\n");
	fix_done(b);
}

static void
the_server_cannot_be_read(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b,
	    "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | "
	    "grep -c AZ_BOX_CANARY; ls /proc/1/fd /proc/1/root 2>&1 | grep -c denied; "
	    "cat /proc/1/mem 2>&1 | grep -c -e denied -e Permission; "
	    "ls -d /root/.* /home/* /etc/shadow /tmp/az-box-* 2>/dev/null",
	    8000, &r);
	assert_string_equal(r.out, "0\n2\n1\n/home/user\n");
	/* PID 1 shrugs */
	fix_run(b, "kill -9 1; kill -9 -1 2>/dev/null; echo gone", 5000, &r);
	fix_run(b, "echo still", 5000, &r);
	assert_string_equal(r.out, "still\n");
	fix_done(b);
}

static void
the_kernel_says_no(void **state)
{
	static const char *const tries[] = {
	    "unshare -r true",
	    "unshare -n true",
	    "mount -t tmpfs x /tmp",
	    "umount /tmp",
	    "chroot / true",
	    "mknod /tmp/d c 1 1",
	    "hostname evil",
	    "nsenter -t 1 -m true",
	    "setarch i386 true",
	    "dmesg",
	    "echo > /etc/passwd",
	    "echo > /usr/x",
	    "echo 1 > /proc/sys/vm/drop_caches",
	    "cat /proc/kcore",
	    "chown 0 /home/user",
	    "date -s 2001-01-01",
	    "setpriv --nnp true && grep -q 'NoNewPrivs:.0' /proc/self/status",
	    "grep -q 'CapEff:.*[1-9a-f]' /proc/self/status",
	    "grep -q 'Seccomp:.0' /proc/self/status",
	    "test -e /sys/kernel",
	    "cat /proc/cmdline | grep .",
	    "ulimit -c | grep -v '^0$'",
	};
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
		fix_run(b, tries[i], 5000, &r);
		if (r.ended && !r.signalled && r.code == 0)
			fail_msg("'%s' worked: %.200s", tries[i], r.out);
	}
	fix_done(b);
}

static void
ordinary_programs_still_work(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	fix_run(b,
	    "set -e; id -un; pwd; echo $HOME; hostname; echo a | tr a b; "
	    "mkdir d; echo x > d/f; cat d/f; ls -la /dev/null >/dev/null; mktemp >/dev/null",
	    10000, &r);
	assert_string_equal(r.out, "user\n/home/user\n/home/user\ne2b.local\nb\nx\n");
	assert_int_equal(r.code, 0);
	fix_run(b,
	    "command -v python3 >/dev/null || { echo 45; exit; }; "
	    "python3 -c 'import threading, subprocess, multiprocessing as m; "
	    "t=threading.Thread(target=lambda: None); t.start(); t.join(); "
	    "subprocess.run([\"true\"], check=True); print(sum(range(10)))'",
	    20000, &r);
	assert_string_equal(r.out, "45\n");
	fix_done(b);
}

static void
a_box_dies_at_its_time(void **state)
{
	struct box *b, *again;
	int64_t t;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 1);
	t = az_boot_ms();
	/* follows it to its end: a wait, not a sleep */
	fix_run(b, "sleep 60", 20000, &r);
	says("expired");
	assert_in_range(az_boot_ms() - t, 500, 5000);
	assert_string_equal(b->why, "expired");
	again = box_find(fix.s, az_str_c(b->id));
	assert_null(again);
	box_unref(b);
}

static void
root_is_refused_and_a_bad_bwrap_too(void **state)
{
	struct az_box_opts o = fix.o;
	struct az_box_server *s = NULL;
	struct az_err err = AZ_ERR_INIT;
	char dir[100];

	(void)state;
	/* a second server must not clear away the first one's homes */
	snprintf(dir, sizeof dir, "%s-2", fix.scratch);
	o.dir = dir;
	o.bwrap = "/bin/false";
	assert_int_equal(az_box_open(&o, &s, &err), AZ_EUNAVAIL);
	assert_null(s);
	assert_non_null(strstr(err.text, "did not start"));
	o.bwrap = "/nonexistent";
	assert_int_equal(az_box_open(&o, &s, &err), AZ_EUNAVAIL);
	disk_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ordinary_programs_still_work),
	    cmocka_unit_test(a_fork_bomb_meets_the_limit),
	    cmocka_unit_test(a_memory_bomb_is_killed_and_told),
	    cmocka_unit_test(a_flood_is_cut_at_the_limit),
	    cmocka_unit_test(a_full_disk_stops_the_writer),
	    cmocka_unit_test(a_timeout_takes_the_whole_tree),
	    cmocka_unit_test(nothing_is_left_after_a_kill),
	    cmocka_unit_test(there_is_no_network),
	    cmocka_unit_test(the_server_cannot_be_read),
	    cmocka_unit_test(the_kernel_says_no),
	    cmocka_unit_test(a_box_dies_at_its_time),
	    cmocka_unit_test(root_is_refused_and_a_bad_bwrap_too),
	};

	setenv("AZ_BOX_CANARY", "a secret of the server", 1);
	/* the weakest mode on its own: AZ_BOX_RLIMITS=1 */
	fix_become_nobody(&fix, !getenv("AZ_BOX_RLIMITS"));
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
