/* Commands where the service ends one process only, and commands that an earlier try may
   have started. The scripts are run by a real shell as well. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "e2b_fixture.h"
#include "sandbox/e2b_process.h"

#define START "POST /process.Process/Start"
#define CONNECT "POST /process.Process/Connect"
#define SIGNAL "POST /process.Process/SendSignal"
#define HEALTH "GET /health"
#define NONE "{\"error\":{\"code\":\"not_found\",\"message\":\"no process with that tag\"}}"

static struct http_peer_step
script(struct fix *f, const char *const *list, bool cut)
{
	struct az_buf *b = fix_buf(f);

	for (; *list; list++)
		frame(b, **list == '!' ? 2 : 0, **list == '!' ? *list + 1 : *list);
	return stream_of(f, b, cut);
}
#define SCRIPT(f, cut, ...) script((f), (const char *const[]){__VA_ARGS__, NULL}, (cut))
#define OK_RUN START_EVENT, END_OK, "!{}"

static const char *const argv[] = {"python3", "-c", "print('it''s')", NULL};

static void
a_command_gets_a_session(void **state)
{
	struct fix f = {.cloud = true};
	struct route r[] = {{START, {{0}}, 1, 0}};
	struct az_sb_result res;

	(void)state;
	r[0].step[0] = SCRIPT(&f, false, OK_RUN);
	fix_start(&f, r, 1);
	assert_int_equal(
	    az_sandbox_run(f.sb, &f.ref, &(struct az_sb_cmd){.argv = argv}, &res, &f.err), AZ_OK);
	assert_true(sent(&f, 0, "\"cmd\":\"/bin/sh\",\"args\":[\"-c\",\""));
	assert_true(sent(&f, 0, "\",\"sh\",\"python3\",\"-c\",\"print('it''s')\"]"));
	fix_stop(&f);
}

static void
what_a_command_left_is_killed_with_it(void **state)
{
	int how;

	(void)state;
	for (how = 0; how < 2; how++) { /* our limit; the service's */
		struct fix f = {.cloud = true};
		struct route r[] = {{START, {{0}}, 2, 0}, {SIGNAL, {{0}}, 1, 0}};
		struct az_sb_result res;

		r[0].step[0] = how ? SCRIPT(&f, false, START_EVENT,
					 "!{\"error\":{\"code\":\"deadline_exceeded\"}}")
				   : SCRIPT(&f, true, START_EVENT);
		if (!how)
			r[0].step[0].then = HTTP_THEN_STALL;
		r[0].step[1] = SCRIPT(&f, false, OK_RUN);
		r[1].step[0] = answer(&f, 200, "", "{}");
		fix_start(&f, r, 2);
		e2b_of(f.sb)->grace_ms = -900;
		assert_int_equal(
		    az_sandbox_run(f.sb, &f.ref, &(struct az_sb_cmd){.argv = argv, .timeout_s = 1},
			&res, &f.err),
		    AZ_OK);
		assert_int_equal(res.end, AZ_END_TIMEOUT);
		assert_int_equal(asked(&f, SIGNAL), 1);
		assert_int_equal(asked(&f, START), 2);
		assert_true(sent(&f, nth(&f, START, 1), "\"sh\",\"42\"]")); /* its session */
		fix_stop(&f);
	}
}

/* A child that runs the first script with a command; *out reads what it prints. */
static pid_t
start_session(bool leader, const char *command, int *out)
{
	int p[2];
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid) {
		if (leader)
			setpgid(0, 0);
		dup2(p[1], 1);
		close(p[0]);
		close(p[1]);
		execl("/bin/sh", "sh", "-c", e2b_session_begin, "sh", "sh", "-c", command,
		    (char *)NULL);
		_exit(99);
	}
	close(p[1]);
	*out = p[0];
	return pid;
}

static void
the_script_passes_on_what_the_command_says(void **state)
{
	int leader;

	(void)state;
	for (leader = 0; leader < 2; leader++) {
		int out, st = 0, shown = 0;
		pid_t pid = start_session(leader, "echo $$; exit 7", &out);
		char text[32] = "";

		assert_true(read(out, text, sizeof text - 1) > 0);
		assert_int_equal(waitpid(pid, &st, 0), pid);
		assert_int_equal(WEXITSTATUS(st), 7);
		assert_int_equal(sscanf(text, "%d", &shown), 1);
		assert_int_equal(shown, pid); /* SIGKILL by the id we know reaches it */
		close(out);
	}
}

static void
the_script_finds_what_is_left(void **state)
{
	int out, st = 0, child = 0;
	char text[32] = "", id[16];
	pid_t pid, sweeper;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	/* a grandchild in a group of its own, which a kill of the leader's group misses */
	pid =
	    start_session(false, "set -m 2>/dev/null; sleep 1000 & echo $!; exec sleep 1000", &out);
	assert_true(read(out, text, sizeof text - 1) > 0);
	assert_int_equal(sscanf(text, "%d", &child), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(kill(child, 0), 0); /* as on E2B's cloud */
	snprintf(id, sizeof id, "%d", (int)pid);
	sweeper = fork();
	if (!sweeper) {
		execl("/bin/sh", "sh", "-c", e2b_session_end, "sh", id, (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(sweeper, &st, 0), sweeper);
	assert_int_equal(st, 0);
	assert_int_equal(waitpid(child, &st, 0), child);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
	close(out);
}

/* ---- once ---- */

static enum az_code
retry(struct fix *f, struct az_str in, struct az_sb_result *res)
{
	return az_sandbox_run(f->sb, &f->ref,
	    &(struct az_sb_cmd){
		.argv = argv, .tag = "program-7", .stdin_bytes = in, .maybe_started = true},
	    res, &f->err);
}

static void
what_an_earlier_try_started_is_taken_up(void **state)
{
	struct fix f = {0};
	struct route r[] = {
	    {CONNECT, {{0}}, 1, 0}, {"POST /process.Process/CloseStdin", {{0}}, 1, 0}};
	struct az_sb_result res;

	(void)state;
	r[0].step[0] = SCRIPT(&f, false, START_EVENT,
	    "{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true,\"status\":\"exit status 3\"}}}",
	    "!{}");
	r[1].step[0] = answer(&f, 200, "", "{}");
	fix_start(&f, r, 2);
	assert_int_equal(retry(&f, AZ_S("fed before"), &res), AZ_OK);
	assert_int_equal(res.exit_code, 3);
	assert_non_null(strstr(res.error, "may be missing"));
	assert_true(sent(&f, 0, "{\"process\":{\"tag\":\"program-7\"}}"));
	assert_int_equal(asked(&f, START), 0);
	assert_int_equal(asked(&f, "POST /process.Process/SendInput"), 0);
	fix_stop(&f);
}

static void
what_was_not_started_is(void **state)
{
	int how;

	(void)state;
	for (how = 0; how < 2; how++) { /* the answer as a stream; as a plain one */
		struct fix f = {0};
		struct route r[] = {{CONNECT, {{0}}, 1, 0}, {START, {{0}}, 1, 0}};
		struct az_sb_result res;

		r[0].step[0] =
		    how ? answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"none\"}")
			: SCRIPT(&f, false, "!" NONE);
		r[1].step[0] = SCRIPT(&f, false, OK_RUN);
		fix_start(&f, r, 2);
		assert_int_equal(retry(&f, (struct az_str){NULL, 0}, &res), AZ_OK);
		assert_string_equal(res.error, "");
		assert_int_equal(asked(&f, START), 1);
		fix_stop(&f);
	}
}

/* The connection broke before an answer: nothing of that tag runs, so it never came through. */
static void
a_lost_start_is_made_again(void **state)
{
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 2, 0}, {HEALTH, {{0}}, 1, 0}, {CONNECT, {{0}}, 1, 0}};
	struct az_sb_result res;

	(void)state;
	r[0].step[0] = (struct http_peer_step){.bytes = "", .then = HTTP_THEN_RESET};
	r[0].step[1] = SCRIPT(&f, false, OK_RUN);
	r[1].step[0] = answer(&f, 204, "", "");
	r[2].step[0] = SCRIPT(&f, false, "!" NONE);
	fix_start(&f, r, 3);
	assert_int_equal(
	    az_sandbox_run(f.sb, &f.ref, &(struct az_sb_cmd){.argv = argv}, &res, &f.err), AZ_OK);
	assert_int_equal(res.end, AZ_END_EXITED);
	assert_int_equal(asked(&f, CONNECT), 1);
	assert_int_equal(asked(&f, START), 2);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_command_gets_a_session),
	    cmocka_unit_test(what_a_command_left_is_killed_with_it),
	    cmocka_unit_test(the_script_passes_on_what_the_command_says),
	    cmocka_unit_test(the_script_finds_what_is_left),
	    cmocka_unit_test(what_an_earlier_try_started_is_taken_up),
	    cmocka_unit_test(what_was_not_started_is),
	    cmocka_unit_test(a_lost_start_is_made_again),
	};

	return cmocka_run_group_tests_name("sandbox_session", tests, NULL, NULL);
}
