/*
 * The functions and the fold hosted by the local engine: what it journals is what the
 * fold can read, and a run goes from start to end, through a dead sandbox service and a
 * cancel.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <azlon/path.h>

#include "work_rig.h"

#define REQ                                                                                        \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"p\",\"test_conditions\":\"\","  \
	"\"model\":\"recording/"                                                                   \
	"x\",\"limits\":{\"iterations\":3},\"checks\":[{\"id\":\"c1\",\"run\":"                    \
	"\"python3 main.py\",\"expect\":{\"stdout_equals\":\"hello\\n\"}}]}}"
#define PROG(body)                                                                                 \
	"1\n### FILE: main.py\n~~~~~\n" body "~~~~~\n### FILE: Dockerfile\n~~~~~\n"                \
	"FROM python:3\nWORKDIR /app\nCOPY . .\nCMD [\"python3\", \"main.py\"]\n~~~~~\n### END\n"

static struct rig R;
static struct az_engine *E;
static char dir[64];
static pthread_t thread;

static void *
work(void *arg)
{
	static struct az_workflow flows[2];
	struct az_err err = AZ_ERR_INIT;

	flows[0] = az_flow_coding;
	if (az_engine_work(E,
		&(struct az_worker){
		    .workflows = flows, .functions = az_work_functions, .app = arg, .slots = 2},
		&err) != AZ_OK)
		return (void *)1;
	return NULL;
}

static void
start(const struct fake_answer *a, size_t n)
{
	struct az_err err = AZ_ERR_INIT;
	bool existed = true;

	rig_open(&R, a, n, "{}");
	R.box->exec = rig_exec;
	snprintf(dir, sizeof(dir), "/tmp/azwork.XXXXXX");
	assert_non_null(mkdtemp(dir));
	if (az_engine_local_open(&(struct az_engine_local_opts){.dir = dir}, &E, &err) != AZ_OK)
		fail_msg("engine: %s", err.text);
	if (az_engine_start(E,
		&(struct az_start){.workflow_id = AZ_S(RIG_WID),
		    .type = az_flow_coding.name,
		    .uid = AZ_S("alice"),
		    .input = AZ_S(REQ),
		    .memo = AZ_S("{}")},
		&existed, &err) != AZ_OK)
		fail_msg("start: %s", err.text);
	assert_false(existed);
	assert_int_equal(pthread_create(&thread, NULL, work, &R.app), 0);
}

static int
teardown(void **state)
{
	int tmp = open("/tmp", O_DIRECTORY | O_CLOEXEC);
	int removed;
	void *end;

	(void)state;
	az_engine_stop(E);
	pthread_join(thread, &end);
	az_engine_close(E);
	rig_close(&R);
	removed = az_remove_tree(tmp, strrchr(dir, '/') + 1);
	close(tmp);
	return end != NULL || removed != 0;
}

/* Wait until the run is in such a state (view), 20 s at most. */
static struct az_flow_view
wait_for(bool (*is)(const struct az_flow_view *v, const struct az_run_info *i))
{
	int64_t seen = -1;
	struct az_flow_view v = {.status = "?"};

	for (int i = 0; i < 400; i++) {
		struct az_err err = AZ_ERR_INIT;
		struct az_run_info info;
		struct az_history h;

		assert_int_equal(
		    az_engine_wait(E, AZ_S(RIG_WID), seen, 50, NULL, &seen, &err), AZ_OK);
		assert_int_equal(az_engine_describe(E, AZ_S(RIG_WID), R.a, &info, &err), AZ_OK);
		assert_int_equal(
		    az_engine_history(E, AZ_S(RIG_WID), 0, 10000, R.a, &h, &err), AZ_OK);
		if (az_flow_view(&h, R.a, &v, &err) != AZ_OK)
			fail_msg("view: %s", err.text);
		if (is(&v, &info))
			return v;
	}
	fail_msg("still %s (%s)", v.status, v.phase ? v.phase : "-");
	return v;
}

static bool
over(const struct az_flow_view *v, const struct az_run_info *i)
{
	(void)i;
	return v->phase == NULL;
}

static bool
waiting_for_a_sandbox(const struct az_flow_view *v, const struct az_run_info *i)
{
	(void)v;
	return i->n_pending > 0 && i->pending[0].attempt >= 2 &&
	       az_str_eqc(i->pending[0].last_reason, "sandbox_unavailable");
}

static void
a_run_from_start_to_end(void **state)
{
	static const struct fake_answer a[] = {
	    {.text = PROG("out bye\n")}, {.text = PROG("out hello\n")}};
	struct az_flow_view v;

	(void)state;
	start(a, 2);
	v = wait_for(over);
	assert_string_equal(v.status, "succeeded");
	assert_int_equal(v.best_iteration, 2);
	assert_int_equal(v.llm_calls, 2);
	assert_string_equal(rig_final(&R, "main.py"), "out hello\n");
}

static void
a_dead_sandbox_service_is_waited_for(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("out hello\n")}};

	(void)state;
	start(a, 1);
	__atomic_store_n(&R.box->down, AZ_EUNAVAIL, __ATOMIC_SEQ_CST);
	wait_for(waiting_for_a_sandbox);
	__atomic_store_n(&R.box->down, AZ_OK, __ATOMIC_SEQ_CST);
	assert_string_equal(wait_for(over).status, "succeeded");
}

static void
cancel_while_waiting(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG("out hello\n")}};
	struct az_flow_view v;

	(void)state;
	start(a, 1);
	__atomic_store_n(&R.box->down, AZ_EUNAVAIL, __ATOMIC_SEQ_CST);
	wait_for(waiting_for_a_sandbox);
	assert_int_equal(
	    az_engine_cancel(E, AZ_S(RIG_WID), AZ_S("{\"mode\":\"now\"}"), NULL), AZ_OK);
	/* ending it needs the service: it comes back */
	__atomic_store_n(&R.box->down, AZ_OK, __ATOMIC_SEQ_CST);
	v = wait_for(over);
	assert_string_equal(v.status, "cancelled");
	assert_string_equal(v.reason, "user_cancelled");
	assert_string_equal(rig_final(&R, "main.py"), "out hello\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(a_run_from_start_to_end, teardown),
	    cmocka_unit_test_teardown(a_dead_sandbox_service_is_waited_for, teardown),
	    cmocka_unit_test_teardown(cancel_while_waiting, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
