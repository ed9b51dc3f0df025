/* engine: what the folds want becomes Temporal's commands, what Temporal's server wrote
   down becomes our events, and what does not fit is refused. */
#include "engine_restack_fixture.h"
#include "h2_peer.h"

/* A run with one function under way; its event. */
static int64_t
begin_fn(void)
{
	struct az_cmds c = {.n = 1};
	Azt__Command **v;
	size_t n;

	c.v[0] = (struct az_cmd){.type = AZ_CMD_SCHEDULE_FN,
	    .name = AZ_S("f"),
	    .payload = AZ_S("1"),
	    .opts = {.start_to_close_ms = 1000}};
	sim_start(&S, "Toy", "\"alice\"", JSON(&S, "\"x\""));
	sim_task(&S);
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(commands_put(&R, A, &E, &c, &v, &n, &err), AZ_OK);
	sim_commands(&S, v, n);
	return (int64_t)S.n;
}

/* ---- pages ---- */

static void
long_history(int rounds)
{
	struct az_cmds c = {.n = 1};
	Azt__Command **v;
	size_t n;

	(void)begin_fn();
	c.v[0] = (struct az_cmd){.type = AZ_CMD_SCHEDULE_FN,
	    .name = AZ_S("f"),
	    .payload = AZ_S("1"),
	    .opts = {.start_to_close_ms = 1000}};
	for (int i = 0; i < rounds; i++) {
		sim_done(&S, (int64_t)S.n, 1, "{\"ok\":true}");
		sim_task(&S);
		assert_int_equal(read_all(), AZ_OK);
		assert_int_equal(commands_put(&R, A, &E, &c, &v, &n, &err), AZ_OK);
		sim_commands(&S, v, n);
	}
}

static void
a_long_history_comes_in_pages(void **state)
{
	size_t whole;

	(void)state;
	long_history(60);
	assert_true(S.n > 300);
	assert_int_equal(read_all(), AZ_OK);
	whole = E.n;
	assert_int_equal(E.n_activities, 61);
	assert_int_equal(whole, 1 + 61 + 60);
	for (size_t page = 1; page < 300; page = page * 3 + 1) {
		events_init(&E, A);
		for (size_t i = 0; i < S.n; i += page)
			assert_int_equal(
			    events_add(
				&R, &E, sim_page(&S, i, i + page < S.n ? i + page : S.n), &err),
			    AZ_OK);
		assert_int_equal(events_add(&R, &E, NULL, &err), AZ_OK);
		assert_int_equal(E.n, whole);
		assert_int_equal(E.last_id, (int64_t)S.n);
	}
	/* a page twice, one left out */
	events_init(&E, A);
	assert_int_equal(events_add(&R, &E, sim_page(&S, 0, 10), &err), AZ_OK);
	assert_int_equal(events_add(&R, &E, sim_page(&S, 5, 15), &err), AZ_EUPSTREAM);
	assert_string_equal(err.reason, "history_gap");
	events_init(&E, A);
	assert_int_equal(events_add(&R, &E, sim_page(&S, 1, 10), &err), AZ_EUPSTREAM);
	assert_string_equal(err.reason, "history_gap");
}

static struct h2_act
page_of(size_t from, size_t to, const char *token, bool raw)
{
	Azt__GetWorkflowExecutionHistoryResponse m =
	    AZT__GET_WORKFLOW_EXECUTION_HISTORY_RESPONSE__INIT;
	Azt__DataBlob blob = AZT__DATA_BLOB__INIT, *blobs[] = {&blob};
	uint8_t *p;

	if (raw) {
		blob.encoding_type = AZT__ENCODING_TYPE__E__PROTO3;
		blob.data = rpc_bytes(sim_bytes(&S, from, to));
		m.raw_history = blobs;
		m.n_raw_history = 1;
	} else {
		m.history = sim_page(&S, from, to);
	}
	m.next_page_token = rpc_bytes(az_str_c(token));
	p = az_arena_alloc(A, azt__get_workflow_execution_history_response__get_packed_size(&m));
	assert_non_null(p);
	return (struct h2_act){
	    H2_MSG, (const char *)p, azt__get_workflow_execution_history_response__pack(&m, p)};
}

static void
pages_are_fetched_one_by_one(void **state)
{
	struct h2_act script[3][4] = {0};
	const struct h2_act *const scripts[] = {script[0], script[1], script[2]};
	struct az_grpc_opts o = {.host = "127.0.0.1"};
	Azt__GetWorkflowExecutionHistoryRequest *req;
	struct h2_peer *p;
	const char *body;
	size_t n;

	(void)state;
	long_history(60);
	for (size_t i = 0; i < 3; i++) {
		script[i][0] = (struct h2_act)H2_OK_HEAD;
		script[i][1] =
		    page_of(i * 100, i == 2 ? S.n : i * 100 + 100, i == 2 ? "" : "token", i == 1);
		script[i][2] = (struct h2_act)H2_OK_TAIL;
	}
	events_init(&E, A);
	p = h2_peer_start(scripts, 3, NULL);
	o.port = h2_peer_port(p);
	assert_int_equal(az_grpc_new(&o, &R.grpc, &err), AZ_OK);
	if (events_fetch(&R, &E, AZ_S("w-1"), "run", NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(E.last_id, (int64_t)S.n);
	assert_int_equal(E.n, 122);
	assert_int_equal(h2_peer_requests(p), 3);
	body = h2_peer_body(p, 1, &n);
	req = azt__get_workflow_execution_history_request__unpack(
	    NULL, n - 5, (const uint8_t *)body + 5);
	assert_non_null(req);
	assert_string_equal(req->execution->workflow_id, "local-w-1");
	assert_string_equal(req->execution->run_id, "run");
	assert_text(az_str_n(req->next_page_token.data, req->next_page_token.len), "token");
	azt__get_workflow_execution_history_request__free_unpacked(req, NULL);
	az_grpc_free(R.grpc);
	h2_peer_stop(p);
}

/* ---- single mappings ---- */

static void
a_cancel_says_how(void **state)
{
	static const char *const t[][2] = {{"{\"mode\":\"now\"}", "{\"mode\":\"now\"}"}, {"", ""},
	    {"because", ""}, {"[1]", ""}, {"{", ""}};

	(void)state;
	sim_start(&S, "Toy", NULL, JSON(&S, "1"));
	for (size_t i = 0; i < N(t); i++) {
		sim_cancel(&S, t[i][0]);
		sim_signal(&S, RESTACK_SIGNAL_CANCEL, t[i][0][0] ? JSON(&S, t[i][0]) : NULL);
	}
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(E.n, 1 + 2 * N(t));
	for (size_t i = 1; i < E.n; i++) {
		assert_int_equal(E.v[i].type, AZ_EV_CANCEL_REQUESTED);
		assert_text(E.v[i].payload, t[(i - 1) / 2][1]);
	}
}

static const struct ending {
	const char *type; /* of the application failure; NULL: a timeout */
	int timeout, retry_state, attempt;
	bool final;
	enum az_ev_type as;
	const char *reason, *message;
	int got_attempt;
} endings[] = {
    {"no_recording", 0, 2, 3, true, AZ_EV_FN_FAILED, "no_recording", "m", 3},
    {"", 0, 2, 0, true, AZ_EV_FN_FAILED, "error", "m", 1},
    {"x", 0, 3, 2, false, AZ_EV_FN_FAILED, "x", "m", 2},
    {"x", 0, 7, 2, false, AZ_EV_FN_CANCELED, "", "", 2},
    {"x", 0, 7, 2, true, AZ_EV_FN_FAILED, "x", "m", 2},
    {NULL, 1, 4, 2, false, AZ_EV_FN_FAILED, "timeout", "start_to_close", 2},
    {NULL, 2, 4, 0, false, AZ_EV_FN_FAILED, "timeout", "schedule_to_start", 1},
    {NULL, 3, 3, 0, false, AZ_EV_FN_FAILED, "timeout", "schedule_to_close", 1},
    {NULL, 4, 4, 2, false, AZ_EV_FN_FAILED, "timeout", "heartbeat", 2},
    {NULL, 4, 7, 2, false, AZ_EV_FN_CANCELED, "", "", 2},
    {NULL, 3, 7, 2, false, AZ_EV_FN_FAILED, "timeout", "schedule_to_close", 2},
};

static void
functions_end_as_in_the_local_engine(void **state)
{
	for (size_t i = 0; i < N(endings); i++) {
		const struct ending *t = &endings[i];
		const struct az_event *ev;
		Azt__Failure *f;
		int64_t ref;

		fresh(state);
		ref = begin_fn();
		if (t->type) {
			f = sim_failure(&S, t->type, "m");
			f->application->non_retryable = t->final;
			sim_failed(&S, ref, t->attempt, f, t->retry_state);
		} else {
			f = sim_timeout(&S, t->timeout);
			f->cause = sim_failure(&S, "earlier", "attempt");
			sim_timed_out(&S, ref, t->attempt, f, t->retry_state);
		}
		assert_int_equal(read_all(), AZ_OK);
		ev = &E.v[E.n - 1];
		assert_int_equal(ev->type, t->as);
		assert_int_equal(ev->ref, ref);
		assert_int_equal(ev->attempt, t->got_attempt);
		assert_text(ev->reason, t->reason);
		assert_text(ev->message, t->message);
		assert_false(events_pending(&E, ref));
	}
	fresh(state);
	sim_canceled(&S, begin_fn(), 0, "\"ACTIVITY_ID_NOT_STARTED\"");
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(E.v[E.n - 1].type, AZ_EV_FN_CANCELED);
	assert_text(E.v[E.n - 1].payload, "");
}

static void
payloads_are_json_or_refused(void **state)
{
	static const struct {
		const char *encoding, *data;
		enum az_code code;
		const char *out;
	} t[] = {{"json/plain", "{\"a\":[1, 2]}", AZ_OK, "{\"a\":[1, 2]}"},
	    {"binary/null", "", AZ_OK, ""}, {NULL, "1", AZ_EUNPROC, ""},
	    {"binary/plain", "1", AZ_EUNPROC, ""}, {"binary/encrypted", "1", AZ_EUNPROC, ""},
	    {"json/plain", "{", AZ_EUNPROC, ""}, {"json/plain", "", AZ_EUNPROC, ""}};
	struct az_str out;

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		Azt__Payloads *p = sim_payloads(&S, t[i].encoding, t[i].data);

		assert_int_equal(payloads_get(&R, A, p, &out, &err), t[i].code);
		assert_text(out, t[i].out);
	}
	assert_non_null(strstr(err.text, "not JSON"));
	assert_int_equal(payloads_get(&R, A, NULL, &out, &err), AZ_OK);
	/* a start without an input; a signal that nobody can read does not stop the run */
	sim_start(&S, "Toy", NULL, NULL);
	sim_signal(&S, "odd", sim_payloads(&S, "binary/plain", "\1"));
	assert_int_equal(read_all(), AZ_OK);
	assert_text(E.v[0].payload, "null");
	assert_text(E.uid, "");
	assert_text(E.v[1].name, "odd");
	assert_text(E.v[1].payload, "");
}

static void
what_cannot_be_read_ends_a_run_and_hides_none(void **state)
{
	Azt__Payloads *p = JSON(&S, "{\"no\":\"reference\"}");
	Azt__Payload__MetadataEntry *m = p->payloads[0]->metadata[0];
	struct az_str out;

	(void)state;
	/* whose input it is stays known, so that the run can be failed */
	sim_start(&S, "Toy", NULL, sim_payloads(&S, "binary/plain", "\1"));
	assert_int_equal(read_all(), AZ_EUNPROC);
	assert_text(E.type, "Toy");
	/* a large payload that is none: no later try makes it one */
	m->key = "temporal.io/remote-codec";
	m->value = rpc_bytes(AZ_S("v2"));
	assert_int_equal(payloads_get(&R, A, p, &out, &err), AZ_EUNPROC);
	/* the result of another worker */
	fresh(state);
	sim_start(&S, "Toy", NULL, NULL);
	SIM_EVENT(&S, WORKFLOW_EXECUTION_COMPLETED, workflow_execution_completed)
	    ->workflow_execution_completed->result = sim_payloads(&S, "binary/plain", "\1");
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(E.v[1].type, AZ_EV_COMPLETED);
	assert_text(E.v[1].payload, "");
}

static void
times_have_an_end(void **state)
{
	Azt__Duration d = AZT__DURATION__INIT;

	(void)state;
	assert_int_equal(msg_duration_ms(NULL), 0);
	d.seconds = INT64_MIN;
	assert_int_equal(msg_duration_ms(&d), 0);
	d.seconds = INT64_MAX;
	d.nanos = INT32_MAX;
	/* it is added to a clock */
	assert_in_range(msg_duration_ms(&d), INT64_C(1000000000000), INT64_MAX / 2);
}

/* ---- refusals ---- */

static void
history_bad(size_t i)
{
	int64_t ref = begin_fn();

	switch (i) {
	case 0:
		sim_done(&S, ref + 100, 0, "1");
		break;
	case 1:
		sim_done(&S, 0, 0, "1");
		break;
	case 2:
		sim_done(&S, ref, 1, "1");
		sim_done(&S, ref, 0, "1");
		break;
	case 3:
		sim_fired(&S, ref);
		break;
	case 4:
		sim_start(&S, "Toy", NULL, NULL);
		break;
	case 5:
		sim_event(&S, AZT__EVENT_TYPE__E__ACTIVITY_TASK_COMPLETED, 0, NULL);
		break;
	case 6:
		sim_done(&S, ref, 1, "1");
		S.ev[S.n - 1]->event_type = AZT__EVENT_TYPE__E__TIMER_FIRED;
		break;
	case 7:
		SIM_EVENT(&S, ACTIVITY_TASK_SCHEDULED, activity_task_scheduled);
		break;
	case 8:
		SIM_EVENT(&S, WORKFLOW_EXECUTION_TERMINATED, workflow_execution_terminated);
		sim_signal(&S, "late", NULL);
		break;
	case 9:
		SIM_EVENT(&S, ACTIVITY_TASK_CANCEL_REQUESTED, activity_task_cancel_requested)
		    ->activity_task_cancel_requested->scheduled_event_id = -1;
		break;
	default:
		S.ev[S.n - 1]->event_id = INT64_MIN;
		break;
	}
}

static void
histories_that_do_not_fit_are_refused(void **state)
{
	for (size_t i = 0; i < 11; i++) {
		fresh(state);
		history_bad(i);
		assert_int_equal(read_all(), AZ_EUPSTREAM);
		assert_string_equal(err.reason, i < 10 ? "history_damaged" : "history_gap");
	}
	fresh(state);
}

static void
what_we_never_ask_for_is_refused_and_the_rest_ignored(void **state)
{
	static const int refused[] = {19, 25, 29, 40, 41, 43, 46, 48, 0, 22, 99, 1000000, -5};
	static const int ignored[] = {5, 7, 8, 9, 28, 47, 55, 58, 59, 60};

	for (size_t i = 0; i < N(refused); i++) {
		fresh(state);
		sim_start(&S, "Toy", NULL, NULL);
		sim_event(&S, refused[i], 0, NULL);
		assert_int_equal(read_all(), AZ_EINTERNAL);
		assert_string_equal(err.reason, "nondeterminism");
		S.ev[1]->worker_may_ignore = true;
		assert_int_equal(read_all(), AZ_OK);
		assert_int_equal(E.n, 1);
	}
	fresh(state);
	sim_start(&S, "Toy", NULL, NULL);
	for (size_t i = 0; i < N(ignored); i++)
		sim_event(&S, ignored[i], 0, NULL);
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(E.n, 1);
	SIM_EVENT(&S, WORKFLOW_TASK_STARTED, workflow_task_started)
	    ->workflow_task_started->suggest_continue_as_new = true;
	assert_int_equal(read_all(), AZ_OK);
	assert_true(E.suggest_end);
}

/* ---- commands ---- */

static enum az_code
put1(struct az_cmd c, Azt__Command **m)
{
	struct az_cmds cmds = {.v = {c}, .n = 1};
	Azt__Command **v;
	size_t n;
	enum az_code rc = commands_put(&R, A, &E, &cmds, &v, &n, &err);

	assert_int_equal(n, rc ? 0 : 1);
	*m = n ? v[0] : NULL;
	return rc;
}

static void
a_function_carries_all_its_options(void **state)
{
	const struct az_cmd full = {.type = AZ_CMD_SCHEDULE_FN,
	    .name = AZ_S("g"),
	    .payload = AZ_S("{}"),
	    .opts = {1500, 60000, 2000, 500, 10000, 3, 4}};
	const struct az_cmd bare = {
	    .type = AZ_CMD_SCHEDULE_FN, .name = AZ_S("g"), .opts = {.start_to_close_ms = 1}};
	const Azt__ScheduleActivityTask *x;
	Azt__Command *m;

	(void)state;
	begin_fn();
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(put1(full, &m), AZ_OK);
	assert_int_equal(m->command_type, AZT__COMMAND_TYPE__E__SCHEDULE_ACTIVITY_TASK);
	x = m->schedule_activity_task;
	assert_string_equal(x->activity_id, "2");
	assert_string_equal(x->activity_type->name, "g");
	assert_string_equal(x->task_queue->name, "local-restack");
	assert_int_equal(msg_duration_ms(x->start_to_close_timeout), 1500);
	assert_int_equal(msg_duration_ms(x->schedule_to_close_timeout), 60000);
	assert_int_equal(msg_duration_ms(x->heartbeat_timeout), 2000);
	assert_int_equal(msg_duration_ms(x->retry_policy->initial_interval), 500);
	assert_int_equal(msg_duration_ms(x->retry_policy->maximum_interval), 10000);
	assert_true(x->retry_policy->backoff_coefficient > 2.9);
	assert_int_equal(x->retry_policy->maximum_attempts, 4);
	assert_false(x->request_eager_execution);
	assert_text(header_string(&R, A, x->header, RESTACK_HEADER_UID), "alice");

	E.uid = AZ_S("");
	assert_int_equal(put1(bare, &m), AZ_OK);
	x = m->schedule_activity_task;
	assert_null(x->header);
	assert_null(x->input);
	assert_null(x->schedule_to_close_timeout);
	assert_null(x->heartbeat_timeout);
	assert_int_equal(msg_duration_ms(x->retry_policy->initial_interval), 1000);
	assert_int_equal(msg_duration_ms(x->retry_policy->maximum_interval), 100000);
	assert_true(x->retry_policy->backoff_coefficient > 1.9);
	assert_int_equal(x->retry_policy->maximum_attempts, 0);
}

static void
commands_that_a_server_would_refuse_are_not_sent(void **state)
{
	static char big[AZ_LIM_PAYLOAD_BYTES + 1];
	const struct az_str large = az_str_n(big, sizeof big);
	const struct {
		struct az_cmd c;
		enum az_code code;
	} t[] = {
	    {{.type = AZ_CMD_SCHEDULE_FN, .name = AZ_S("f")}, AZ_EINTERNAL},
	    {{.type = AZ_CMD_SCHEDULE_FN, .opts.start_to_close_ms = 1}, AZ_EINTERNAL},
	    {{.type = AZ_CMD_SCHEDULE_FN, .name = AZ_S("a\0b"), .opts.start_to_close_ms = 1},
		AZ_EINTERNAL},
	    {{.type = AZ_CMD_CANCEL_FN, .ref = 1}, AZ_EINTERNAL},
	    {{.type = AZ_CMD_CANCEL_FN, .ref = 99}, AZ_EINTERNAL},
	    {{.type = (enum az_cmd_type)77}, AZ_EINTERNAL},
	    {{.type = AZ_CMD_COMPLETE, .payload = large}, AZ_ETOOBIG},
	    {{.type = AZ_CMD_FAIL, .message = large}, AZ_ETOOBIG},
	};
	struct az_cmds two = {
	    .v = {{.type = AZ_CMD_START_TIMER}, {.type = AZ_CMD_COMPLETE}}, .n = 2};
	Azt__Command *m, **v;
	size_t n;

	(void)state;
	begin_fn();
	assert_int_equal(read_all(), AZ_OK);
	for (size_t i = 0; i < N(t); i++)
		assert_int_equal(put1(t[i].c, &m), t[i].code);
	assert_int_equal(commands_put(&R, A, &E, &two, &v, &n, &err), AZ_EINTERNAL);
	two.n = AZ_CMDS_MAX + 1;
	assert_int_equal(commands_put(&R, A, &E, &two, &v, &n, &err), AZ_EINTERNAL);
	two.n = 0;
	assert_int_equal(commands_put(&R, A, &E, &two, &v, &n, &err), AZ_OK);
	assert_int_equal(n, 0);
}

static void
a_history_that_begins_anew_keeps_owner_and_type(void **state)
{
	const Azt__ContinueAsNewWorkflowExecution *x;
	Azt__Command *m;

	(void)state;
	sim_start(&S, "Toy", "\"alice\"", NULL);
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(
	    put1((struct az_cmd){.type = AZ_CMD_CONTINUE, .payload = AZ_S("{\"n\":1}")}, &m),
	    AZ_OK);
	assert_int_equal(m->command_type, AZT__COMMAND_TYPE__E__CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
	x = m->continue_as_new_workflow_execution;
	assert_string_equal(x->workflow_type->name, "Toy");
	assert_ptr_equal(x->task_queue->name, R.addr.queue);
	assert_string_equal(x->memo->fields[0]->key, "uid");
	assert_text(az_str_n((const char *)x->input->payloads[0]->data.data,
			x->input->payloads[0]->data.len),
	    "{\"n\":1}");
}

static void
a_failed_run_says_why_in_utf8(void **state)
{
	const Azt__Failure *f;
	Azt__Command *m;

	(void)state;
	begin_fn();
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(put1((struct az_cmd){.type = AZ_CMD_FAIL,
				  .reason = AZ_S("stuck"),
				  .message = AZ_S("caf\xc3\xa9 \xc3"),
				  .payload = AZ_S("{\"s\":1}")},
			     &m),
	    AZ_OK);
	f = m->fail_workflow_execution->failure;
	assert_string_equal(f->message, "caf\xc3\xa9 ?");
	assert_string_equal(f->application->type, "stuck");
	assert_true(f->application->non_retryable);
	sim_commands(&S, &m, 1);
	assert_int_equal(read_all(), AZ_OK);
	assert_int_equal(E.v[E.n - 1].type, AZ_EV_FAILED);
	assert_text(E.v[E.n - 1].reason, "stuck");
	assert_text(E.v[E.n - 1].payload, "{\"s\":1}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_long_history_comes_in_pages),
	    T(pages_are_fetched_one_by_one),
	    T(a_cancel_says_how),
	    T(functions_end_as_in_the_local_engine),
	    T(payloads_are_json_or_refused),
	    T(what_cannot_be_read_ends_a_run_and_hides_none),
	    T(times_have_an_end),
	    T(histories_that_do_not_fit_are_refused),
	    T(what_we_never_ask_for_is_refused_and_the_rest_ignored),
	    T(a_function_carries_all_its_options),
	    T(commands_that_a_server_would_refuse_are_not_sent),
	    T(a_history_that_begins_anew_keeps_owner_and_type),
	    T(a_failed_run_says_why_in_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
