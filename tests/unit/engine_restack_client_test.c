/* engine: what a Restack engine's client and worker make of answers, against a scripted
   server. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "engine/restack.h"
#include "h2_peer.h"
#include "http/grpc_room.h"
#include "toy_flow.h"

enum { SCRIPTS = 4 };

static struct h2_peer *peer;
static struct h2_act script[SCRIPTS][4];
static struct az_engine *engine;
static struct az_arena *A;
static struct az_err err;

/* Answer request i with a message; the last one repeats. */
static void
answers(size_t i, const ProtobufCMessage *m)
{
	uint8_t *p = az_arena_alloc(A, protobuf_c_message_get_packed_size(m) + 1);

	script[i][0] = (struct h2_act)H2_OK_HEAD;
	script[i][1] = (struct h2_act){H2_MSG, (const char *)p, protobuf_c_message_pack(m, p)};
	script[i][2] = (struct h2_act)H2_OK_TAIL;
}

static void
refuses(size_t i, int code, const char *message)
{
	script[i][0] = (struct h2_act){H2_TAIL,
	    az_arena_printf(A,
		":status 200\ncontent-type application/grpc\ngrpc-status %d\ngrpc-message %s\n",
		code, message),
	    0};
}

static void
says(size_t i, enum h2_op op, const char *bytes)
{
	script[i][0] = (struct h2_act)H2_OK_HEAD;
	script[i][1] = (struct h2_act){op, bytes, 0};
	script[i][2] = (struct h2_act)H2_OK_TAIL;
}

static void
run_of(size_t i, Azt__WorkflowExecutionStatus__E status, bool cancel_requested, int64_t events)
{
	Azt__DescribeWorkflowExecutionResponse m = AZT__DESCRIBE_WORKFLOW_EXECUTION_RESPONSE__INIT;
	Azt__WorkflowExecutionInfo info = AZT__WORKFLOW_EXECUTION_INFO__INIT;
	Azt__WorkflowExecutionExtendedInfo more = AZT__WORKFLOW_EXECUTION_EXTENDED_INFO__INIT;
	Azt__WorkflowExecution x = AZT__WORKFLOW_EXECUTION__INIT;
	Azt__WorkflowType type = AZT__WORKFLOW_TYPE__INIT;

	x.workflow_id = "local-r1";
	x.run_id = "run-7";
	type.name = "Toy";
	info.execution = &x;
	info.type = &type;
	info.status = status;
	info.history_length = events;
	more.cancel_requested = cancel_requested;
	m.workflow_execution_info = &info;
	m.workflow_extended_info = &more;
	answers(i, &m.base);
}

static void
nothing(size_t i)
{
	Azt__Empty m = AZT__EMPTY__INIT;

	answers(i, &m.base);
}

static void
start(size_t n)
{
	static const struct h2_act *scripts[SCRIPTS];
	char address[40];

	for (size_t i = 0; i < n; i++)
		scripts[i] = script[i];
	peer = h2_peer_start(scripts, n, NULL);
	snprintf(address, sizeof address, "127.0.0.1:%d", h2_peer_port(peer));
	if (az_engine_restack_open(
		&(struct az_engine_restack_opts){.address = address, .no_endpoints = true}, &engine,
		&err))
		fail_msg("%s", err.text);
	((struct restack *)engine)->grpc->haste = 1000000;
}

static void
stop(void)
{
	az_engine_close(engine);
	h2_peer_stop(peer);
	memset(script, 0, sizeof script);
}

static int
setup(void **state)
{
	(void)state;
	A = az_arena_new(AZ_MIB(16));
	err = (struct az_err)AZ_ERR_INIT;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	az_arena_free(A);
	return 0;
}

static void
assert_method(int i, const char *name)
{
	const char *at = strstr(h2_peer_head(peer, i), name);

	if (!at || at[-1] != '/' || at[strlen(name)] != '\n')
		fail_msg("request %d is no %s", i, name);
}

/* ---- tests ---- */

static void
a_cancel_that_another_overtook_travels_as_a_signal(void **state)
{
	(void)state;
	run_of(0, AZT__WORKFLOW_EXECUTION_STATUS__E__RUNNING, false, 5);
	refuses(1, AZ_GRPC_ALREADY_EXISTS, "cancellation already requested");
	nothing(2);
	start(3);
	assert_int_equal(
	    az_engine_cancel(engine, AZ_S("r1"), AZ_S("{\"mode\":\"now\"}"), &err), AZ_OK);
	assert_int_equal(h2_peer_requests(peer), 3);
	assert_method(1, "RequestCancelWorkflowExecution");
	assert_method(2, "SignalWorkflowExecution");
	stop();
}

static void
what_is_removed_is_the_run_that_was_over(void **state)
{
	Azt__DeleteWorkflowExecutionRequest *req;
	const char *body;
	size_t n;

	(void)state;
	run_of(0, AZT__WORKFLOW_EXECUTION_STATUS__E__COMPLETED, false, 5);
	nothing(1);
	start(2);
	assert_int_equal(az_engine_remove(engine, AZ_S("r1"), &err), AZ_OK);
	assert_method(1, "DeleteWorkflowExecution");
	body = h2_peer_body(peer, 1, &n);
	req =
	    azt__delete_workflow_execution_request__unpack(NULL, n - 5, (const uint8_t *)body + 5);
	assert_non_null(req);
	assert_string_equal(req->workflow_execution->workflow_id, "local-r1");
	assert_string_equal(req->workflow_execution->run_id, "run-7");
	azt__delete_workflow_execution_request__free_unpacked(req, NULL);
	stop();
}

static void
refusals_say_whose_trouble_it_is(void **state)
{
	static const struct {
		int code;
		const char *message;
		enum az_code want;
	} t[] = {
	    {AZ_GRPC_NOT_FOUND, "Namespace elsewhere is not found.", AZ_EUNAVAIL},
	    {AZ_GRPC_NOT_FOUND, "workflow not found for ID: user-my_namespace-1", AZ_ENOTFOUND},
	    {AZ_GRPC_NOT_FOUND, "workflow not found for ID: user-completed-1", AZ_ENOTFOUND},
	    {AZ_GRPC_NOT_FOUND, "workflow execution already completed", AZ_ECONFLICT},
	    {AZ_GRPC_FAILED_PRECONDITION, "namespace is moving", AZ_EUNAVAIL},
	    {AZ_GRPC_ABORTED, "shard moved", AZ_EUNAVAIL},
	    {AZ_GRPC_RESOURCE_EXHAUSTED, "namespace rate limit exceeded", AZ_EUNAVAIL},
	    {AZ_GRPC_UNAUTHENTICATED, "no", AZ_EUNAVAIL},
	    {AZ_GRPC_UNAVAILABLE, "away", AZ_EUNAVAIL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		refuses(0, t[i].code, t[i].message);
		start(1);
		assert_int_equal(
		    az_engine_signal(engine, AZ_S("r1"), "s", AZ_S("1"), &err), t[i].want);
		assert_int_equal(err.code, t[i].want);
		stop();
	}
}

static void
a_wait_does_not_tell_of_what_was_before(void **state)
{
	struct az_run_info r;
	int64_t now;

	(void)state;
	/* whatever asks first sees one event, all others see nine */
	run_of(0, AZT__WORKFLOW_EXECUTION_STATUS__E__RUNNING, false, 1);
	run_of(1, AZT__WORKFLOW_EXECUTION_STATUS__E__RUNNING, false, 9);
	start(2);
	assert_int_equal(az_engine_wait(engine, AZ_S("r1"), 1, 10000, NULL, &now, &err), AZ_OK);
	assert_int_equal(az_engine_describe(engine, AZ_S("r1"), A, &r, &err), AZ_OK);
	assert_int_equal(r.last_event, 9);
	assert_int_equal(
	    az_engine_wait(engine, AZ_S("r1"), r.version, 50, NULL, &now, &err), AZ_OK);
	assert_int_equal(now, r.version);
	stop();
}

static void
a_run_that_was_not_there_is_looked_for_again(void **state)
{
	int64_t now;

	(void)state;
	refuses(0, AZ_GRPC_NOT_FOUND, "workflow not found");
	/* one more for the look at the task queue */
	refuses(1, AZ_GRPC_NOT_FOUND, "workflow not found");
	run_of(2, AZT__WORKFLOW_EXECUTION_STATUS__E__RUNNING, false, 1);
	start(3);
	assert_int_equal(
	    az_engine_wait(engine, AZ_S("r1"), 1, 10000, NULL, &now, &err), AZ_ENOTFOUND);
	assert_int_equal(az_engine_wait(engine, AZ_S("r1"), 1, 10000, NULL, &now, &err), AZ_OK);
	assert_int_not_equal(now, 1);
	stop();
}

static void
a_close_does_not_wait_for_an_answer(void **state)
{
	int64_t now;
	bool enough = true;

	(void)state;
	says(0, H2_STALL, NULL);
	start(1);
	((struct restack *)engine)->grpc->haste = 1;
	assert_int_equal(az_engine_wait(engine, AZ_S("r1"), 1, 10000, &enough, &now, &err), AZ_OK);
	while (h2_peer_requests(peer) == 0)
		(void)poll(NULL, 0, 5);
	stop(); /* its look would have 6 s */
}

/* ---- worker ---- */

static const struct az_function no_functions[] = {{NULL, NULL}};

static void *
work(void *arg)
{
	enum az_code *rc = arg;

	*rc = az_engine_work(engine,
	    &(struct az_worker){
		.workflows = toy_flows, .functions = no_functions, .slots = 1, .drain_ms = 5000},
	    &err);
	return NULL;
}

static void
a_task_that_cannot_be_read_does_not_end_the_worker(void **state)
{
	enum az_code rc = AZ_EINTERNAL;
	pthread_t t;

	(void)state;
	says(0, H2_MSG, "\x0a\x7f no such message");
	start(1);
	assert_int_equal(pthread_create(&t, NULL, work, &rc), 0);
	/* five poll; each comes back for more */
	while (h2_peer_requests(peer) < 1 + 2 * 5 && !((struct restack *)engine)->stopping)
		(void)poll(NULL, 0, 5);
	assert_false(((struct restack *)engine)->stopping);
	az_engine_stop(engine);
	pthread_join(t, NULL);
	if (rc)
		fail_msg("%s", err.text);
	stop();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_cancel_that_another_overtook_travels_as_a_signal),
	    T(what_is_removed_is_the_run_that_was_over),
	    T(refusals_say_whose_trouble_it_is),
	    T(a_wait_does_not_tell_of_what_was_before),
	    T(a_run_that_was_not_there_is_looked_for_again),
	    T(a_close_does_not_wait_for_an_answer),
	    T(a_task_that_cannot_be_read_does_not_end_the_worker),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
