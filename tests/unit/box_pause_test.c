/* A box that stands still: how, for how long, and who may wake it. */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include "box_wire.h"

/* A program of its own in the background; referenced. */
static struct proc *
background(struct box *b, const char *const argv[3])
{
	struct proc_start ps = {.cmd = az_str_c(argv[0]), .has_stdin = true};
	struct az_err err = AZ_ERR_INIT;
	struct az_json *args = NULL;
	struct sub sub = {0};
	struct proc *p = NULL;
	struct az_buf j;
	struct az_jw w;

	az_buf_init(&j, AZ_KIB(4));
	az_jw_init(&w, &j);
	az_jw_arr(&w);
	for (int i = 1; i < 3 && argv[i]; i++)
		az_jw_cstr(&w, argv[i]);
	az_jw_end(&w, ']');
	assert_int_equal(az_json_parse(az_buf_str(&j), &az_json_own_limits, &args, &err), AZ_OK);
	ps.args = args;
	if (proc_start(b, &ps, &sub, &p, &err))
		fail_msg("%s", err.text);
	pthread_mutex_lock(&b->mu);
	proc_leave(b, p, &sub);
	pthread_mutex_unlock(&b->mu);
	az_json_free(args);
	az_buf_release(&j);
	return p;
}

/* Until it has ended, and everything it wrote. */
static void
output(struct box *b, struct proc *p, char *out, size_t size)
{
	int64_t deadline = az_boot_ms() + 20000;
	struct az_err err = AZ_ERR_INIT;
	struct sub sub = {0};
	struct az_str rest, bytes;
	struct az_buf got;
	bool ended = false;
	size_t n = 0;
	int st;

	az_buf_init(&got, AZ_MIB(4));
	pthread_mutex_lock(&b->mu);
	proc_follow(b, p, &sub);
	pthread_mutex_unlock(&b->mu);
	while (!ended) {
		az_buf_reset(&got);
		if (proc_wait(b, p, &sub, deadline, &got, &ended, &err))
			fail_msg("%s", err.text);
		rest = az_buf_str(&got);
		while (record_next(&rest, &st, &bytes))
			n += (size_t)snprintf(out + n, size - n, "%.*s", AZ_FMT(bytes));
	}
	out[n] = 0;
	pthread_mutex_lock(&b->mu);
	proc_leave(b, p, &sub);
	pthread_mutex_unlock(&b->mu);
	az_buf_release(&got);
}

/* How the program with this argument is, as the host sees it: 0 when there is none. */
static char
host_state(const char *arg)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	char state = 0;

	while (d && !state && (e = readdir(d))) {
		char file[300], b[512];
		ssize_t n = 0;
		int fd;

		snprintf(file, sizeof file, "/proc/%s/cmdline", e->d_name);
		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		n = read(fd, b, sizeof b - 1);
		close(fd);
		/* "sleep\0ARG\0": a shell that was given it says more */
		if (n < 7 || (size_t)n != 7 + strlen(arg) || memcmp(b, "sleep", 6) ||
		    memcmp(b + 6, arg, strlen(arg)))
			continue;
		snprintf(file, sizeof file, "/proc/%s/stat", e->d_name);
		if ((fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		n = read(fd, b, sizeof b - 1);
		close(fd);
		b[n > 0 ? n : 0] = 0;
		if (strrchr(b, ')'))
			state = strrchr(b, ')')[2];
	}
	if (d)
		closedir(d);
	return state;
}

/* A command has begun before its program has. */
static void
wait_program(const char *arg)
{
	int64_t deadline = az_boot_ms() + 20000;

	while (!host_state(arg))
		if (az_boot_ms() > deadline)
			fail_msg("no sleep %s", arg);
}

/* Stopped, or frozen by its group. */
static bool
stands_still(const char *arg)
{
	int64_t deadline = az_boot_ms() + 20000;
	char file[700], text[32] = "";
	int fd;

	if (cg_freezer(&fix.s->cg) == CG_FREEZE_NONE) {
		while (host_state(arg) != 'T' && az_boot_ms() < deadline)
			sched_yield();
		return host_state(arg) == 'T';
	}
	snprintf(file, sizeof file, "%s/%s/freezer.state", fix.s->cg.dir[CG_FREEZER], id);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
	close(fd);
	return !strncmp(text, "FROZEN", 6) && host_state(arg) != 0;
}

/* ---- what becomes of it ---- */

static void
paused_and_back(void)
{
	static const char *const reader[] = {"/bin/sh", "-c", "read x; echo got $x"};
	static const char *const sleeper[] = {"sleep", "86311", NULL};
	struct az_err err = AZ_ERR_INIT;
	struct proc *p, *z;
	struct box *b;
	char out[100];
	int64_t stop_at;

	create("{\"templateID\":\"base\",\"timeout\":300}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	p = background(b, reader);
	z = background(b, sleeper);
	control("POST", of("/resume"), NULL, "{}");
	says(409, "already running");
	control("POST", of("/pause"), NULL, "{\"memory\":\"x\"}");
	says(400, "memory");
	wait_program("86311");
	stop_at = az_boot_ms() + 50000;
	proc_stop_later(b, z, stop_at, 50000);
	control("POST", of("/pause"), NULL, "{\"memory\":true,\"requireHealthyGuest\":true}");
	says(204, "");
	assert_true(stands_still("86311"));
	control("POST", of("/pause"), NULL, NULL);
	says(409, "already paused");
	control("GET", of(""), NULL, NULL);
	says(200, "\"state\":\"paused\"");
	says(200, "\"pauseMode\":\"full\"");
	says(200, "\"lifecycle\":{\"onTimeout\":\"kill\",\"autoResume\":false}");
	control("GET", "/v2/sandboxes", "state=paused", NULL);
	says(200, id);
	assert_non_null(strstr(a.head, "X-Total-Running: 0"));
	control("GET", "/v2/sandboxes", "state=running,paused", NULL);
	says(200, id);
	control("GET", "/v2/sandboxes", "state=running", NULL);
	assert_string_equal(a.body, "[]");
	control("GET", "/sandboxes", NULL, NULL);
	assert_string_equal(a.body, "[]");
	/* to its own clients it is not there */
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"/\"}");
	says(502, "The sandbox was not found");
	envd("GET", "/health", NULL, "", (struct az_str){0}, NULL);
	says(502, "was not found");
	assert_int_equal(proc_input(b, p, AZ_S("x\n"), &err), AZ_EUNAVAIL);
	assert_string_equal(err.reason, "sandbox_paused");
	control("POST", of("/timeout"), NULL, "{\"timeout\":100}");
	says(404, "is paused");
	control("POST", of("/refreshes"), NULL, "{\"duration\":100}");
	says(404, "is paused");
	control("PUT", of("/network"), NULL, "{}");
	says(404, "is paused");
	/* as if it had been paused long before */
	pthread_mutex_lock(&b->mu);
	b->paused_ms -= 100000;
	pthread_mutex_unlock(&b->mu);
	control("POST", of_v2("/connect"), NULL, NULL);
	says(201, token);
	control("POST", of_v2("/connect"), NULL, NULL);
	says(200, token);
	assert_true(z->stop_at >= stop_at + 100000);
	control("GET", of(""), NULL, NULL);
	says(200, "\"state\":\"running\"");
	assert_null(strstr(a.body, "pauseMode"));
	assert_int_equal(proc_input(b, p, AZ_S("line\n"), &err), AZ_OK);
	output(b, p, out, sizeof out);
	assert_string_equal(out, "got line\n");
	/* the old way back */
	control("POST", of("/pause"), NULL, "{}");
	says(204, "");
	control("POST", of("/resume"), NULL, "{\"timeout\":30,\"autoPause\":true}");
	says(201, token);
	control("GET", of(""), NULL, NULL);
	says(200, "\"onTimeout\":\"pause\"");
	/* a paused one is killed like any other */
	control("POST", of("/pause"), NULL, "{}");
	says(204, "");
	kill_it();
	assert_int_equal(host_state("86311"), 0);
	control("POST", of("/pause"), NULL, "{}");
	says(404, "doesn't exist");
	control("POST", of_v2("/connect"), NULL, "{}");
	says(404, "doesn't exist");
	proc_unref(b, p);
	proc_unref(b, z);
	box_unref(b);
}

static void
a_group_freezes_it(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	if (cg_freezer(&fix.s->cg) == CG_FREEZE_NONE)
		SKIP("no freezer here");
	paused_and_back();
}

static void
signals_stop_it_where_no_group_can(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	if (cg_freezer(&fix.s->cg) != CG_FREEZE_NONE)
		SKIP("there is a freezer");
	paused_and_back();
}

static char *freezer;

static int
hide_freezer(void **state)
{
	(void)state;
	if (fix.refused)
		return 0;
	freezer = fix.s->cg.dir[CG_FREEZER];
	fix.s->cg.dir[CG_FREEZER] = NULL;
	return 0;
}

static int
show_freezer(void **state)
{
	(void)state;
	if (!fix.refused)
		fix.s->cg.dir[CG_FREEZER] = freezer;
	return 0;
}

static void
its_programs_can_be_dropped(void **state)
{
	static const char *const sleeper[] = {"sleep", "86312", NULL};
	struct proc *p;
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	envd("POST", "/files", "path=kept", "application/octet-stream", AZ_S("12345"), NULL);
	p = background(b, sleeper);
	control("POST", of("/pause"), NULL, "{\"memory\":false}");
	says(204, "");
	control("GET", of(""), NULL, NULL);
	says(200, "\"pauseMode\":\"filesystem\"");
	control("POST", of_v2("/connect"), NULL, "{}");
	says(201, token);
	unary("/process.Process/List", "{}");
	assert_string_equal(a.body, "{\"processes\":[]}");
	assert_non_null(strstr(p->error, "paused without its memory"));
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"kept\"}");
	says(200, "\"size\":\"5\"");
	proc_unref(b, p);
	/* or on the way back */
	p = background(b, sleeper);
	control("POST", of("/pause"), NULL, "{}");
	says(204, "");
	control("POST", of_v2("/connect"), NULL, "{\"memory\":false}");
	says(201, token);
	unary("/process.Process/List", "{}");
	assert_string_equal(a.body, "{\"processes\":[]}");
	proc_unref(b, p);
	/* one that runs keeps them */
	p = background(b, sleeper);
	control("POST", of_v2("/connect"), NULL, "{\"memory\":false}");
	says(200, token);
	unary("/process.Process/List", "{}");
	says(200, "86312");
	proc_unref(b, p);
	kill_it();
	box_unref(b);
}

static void *
follow_main(void *resp)
{
	char i[80], t[120];
	const char *const p[] = {HOST, i, t, "CONTENT_TYPE=application/connect+json", NULL};
	struct fcgi_req q = {.method = "POST", .path = "/process.Process/Start", .params = p};
	struct az_buf b;

	snprintf(i, sizeof i, "HTTP_E2B_SANDBOX_ID=%s", id);
	snprintf(t, sizeof t, "HTTP_X_ACCESS_TOKEN=%s", token);
	az_buf_init(&b, AZ_KIB(4));
	envelope_add(&b, 0, AZ_S("{\"process\":{\"cmd\":\"sleep\",\"args\":[\"86313\"]}}"));
	q.body = b.p;
	q.body_n = b.n;
	if (!fcgi_peer_call(web.path, &q, resp))
		((struct fcgi_resp *)resp)->status = 0;
	az_buf_release(&b);
	return NULL;
}

static void
who_follows_a_command_hears_of_it(void **state)
{
	struct fcgi_resp r = {0};
	char m[300];
	pthread_t t;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	assert_int_equal(pthread_create(&t, NULL, follow_main, &r), 0);
	do {
		unary("/process.Process/List", "{}");
	} while (!strstr(a.body, "86313"));
	control("POST", of("/pause"), NULL, "{}");
	says(204, "");
	pthread_join(t, NULL);
	fcgi_peer_release(&a);
	a = r;
	assert_int_equal(a.status, 200);
	assert_int_equal(message(1, m, sizeof m), 2);
	assert_non_null(strstr(m, "\"code\":\"unavailable\""));
	assert_non_null(strstr(m, "paused"));
	/* and the command is still there afterwards */
	control("POST", of_v2("/connect"), NULL, "{}");
	says(201, token);
	unary("/process.Process/List", "{}");
	says(200, "86313");
	kill_it();
}

static void *
meddle(void *arg)
{
	static const char *const key[] = {HOST, KEY, NULL};
	static const char *const verbs[] = {"/pause", "/connect", "/resume", "/timeout"};
	unsigned n = *(const unsigned *)arg;
	char p[100];

	for (int i = 0; i < 12; i++) {
		struct fcgi_resp r = {0};
		struct fcgi_req q = {.method = "POST",
		    .path = p,
		    .params = key,
		    .body = "{\"timeout\":60}",
		    .body_n = 14};

		n = n * 1103515245 + 12345;
		snprintf(p, sizeof p, "/sandboxes/%s%s", id, verbs[n >> 16 & 3]);
		if (!fcgi_peer_call(web.path, &q, &r) || r.status == 500)
			abort();
		fcgi_peer_release(&r);
	}
	return NULL;
}

static void
many_at_once_leave_it_whole(void **state)
{
	unsigned seeds[4] = {1, 2, 3, 4};
	pthread_t t[4];
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, meddle, &seeds[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	control("POST", of("/connect"), NULL, "{\"timeout\":60}");
	assert_true(a.status == 200 || a.status == 201);
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"/\"}");
	says(200, "entry");
	/* and killed in the middle of it */
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, meddle, &seeds[i]), 0);
	kill_it();
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_true(b->gone);
	box_unref(b);
}

static void
what_a_dead_server_left_frozen_is_removed(void **state)
{
	static const char name[] = "i00000000000000000000";
	struct cg_limits lim = {64 << 20, 8, 100};
	struct az_err err = AZ_ERR_INIT;
	int procs[CG_KINDS], st;
	char dir[700], text[16];
	pid_t pid;

	(void)state;
	NEEDS_BOX(&fix);
	if (cg_freezer(&fix.s->cg) == CG_FREEZE_NONE)
		SKIP("no freezer here");
	assert_int_equal(cg_make(&fix.s->cg, name, &lim, procs, &err), AZ_OK);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	snprintf(text, sizeof text, "%d", (int)pid);
	for (int k = 0; k < CG_KINDS; k++)
		if (procs[k] >= 0) {
			assert_true(write(procs[k], text, strlen(text)) > 0);
			close(procs[k]);
		}
	assert_true(cg_freeze(&fix.s->cg, name, az_boot_ms() + 5000));
	cg_sweep(&fix.s->cg);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
	/* the dead are off its books now */
	cg_sweep(&fix.s->cg);
	snprintf(dir, sizeof dir, "%s/%s", fix.s->cg.dir[CG_FREEZER], name);
	assert_int_equal(access(dir, F_OK), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_group_freezes_it),
	    cmocka_unit_test_setup_teardown(
		signals_stop_it_where_no_group_can, hide_freezer, show_freezer),
	    cmocka_unit_test(its_programs_can_be_dropped),
	    cmocka_unit_test(who_follows_a_command_hears_of_it),
	    cmocka_unit_test(many_at_once_leave_it_whole),
	    cmocka_unit_test(what_a_dead_server_left_frozen_is_removed),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
