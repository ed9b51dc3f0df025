/* What may be asked of the control plane, and what it says to the rest. */
#include <azlon/crypto.h>
#include "box_wire.h"

static void
wishes_are_checked(void **state)
{
	static const struct {
		const char *body, *says;
	} t[] = {
	    {"{\"templateID\":\"base\",\"autoPause\":1}", "autoPause"},
	    {"{\"templateID\":\"base\",\"autoPauseMemory\":\"x\"}", "autoPauseMemory"},
	    {"{\"templateID\":\"base\",\"autoResume\":true}", "autoResume"},
	    {"{\"templateID\":\"base\",\"autoResume\":{\"enabled\":1}}", "enabled"},
	    {"{\"templateID\":\"base\",\"autoPause\":true,\"autoPauseMemory\":false,"
	     "\"autoResume\":{\"enabled\":true}}",
		"autoPauseMemory"},
	    {"{\"templateID\":\"base\",\"allow_internet_access\":\"false\"}",
		"allow_internet_access"},
	    {"{\"templateID\":\"base\",\"network\":[1]}", "network"},
	    {"{\"templateID\":\"base\",\"network\":{\"denyOut\":\"0.0.0.0/0\"}}", "denyOut"},
	    {"{\"templateID\":\"base\",\"network\":{\"allowPublicTraffic\":0}}",
		"allowPublicTraffic"},
	    {"{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":\"a b\"}}",
		"maskRequestHost"},
	    {"{\"templateID\":\"base\",\"network\":{\"maskRequestHost\":1}}", "maskRequestHost"},
	    {"{\"templateID\":\"base\",\"iam\":{\"tokens\":{}}}", "iam"},
	    {"{\"templateID\":\"base\",\"mcp\":{\"a\":1}}", "mcp"},
	};
	static const char *const queries[][2] = {{"state=asleep", "state"}, {"order=up", "order"},
	    {"limit=0", "limit"}, {"limit=101", "limit"},
	    {"startedAfter=yesterday", "startedAfter"}, {"nextToken=AAAA", "Invalid next token"}};

	(void)state;
	NEEDS_BOX(&fix);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		control("POST", "/v2/sandboxes", NULL, t[i].body);
		if (a.status != 400 || !strstr(a.body, t[i].says))
			fail_msg("%s: %d %s", t[i].body, a.status, a.body);
	}
	for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
		control("GET", "/v2/sandboxes", queries[i][0], NULL);
		if (a.status != 400 || !strstr(a.body, queries[i][1]))
			fail_msg("%s: %d %s", queries[i][0], a.status, a.body);
	}
	create("{\"templateID\":\"base:latest\"}");
	control("POST", of("/refreshes"), NULL, "{\"duration\":3601}");
	says(400, "duration");
	control("POST", of("/refreshes"), NULL, NULL);
	says(204, "");
	control("POST", of("/timeout"), NULL, "{\"timeout\":-1}");
	says(400, "timeout");
	control("POST", of("/timeout"), NULL, "{}");
	says(400, "timeout");
	control("PUT", of("/network"), NULL, "{\"rules\":{\"a.example\":[]}}");
	says(400, "rules");
	control("PUT", of("/network"), NULL, "{\"allowPublicTraffic\":false}");
	says(400, "allowPublicTraffic");
	/* all of it is replaced: what is not said is cleared */
	control("PUT", of("/network"), NULL,
	    "{\"allowOut\":[\"pkgs.example\"],\"denyOut\":[\"0.0.0.0/0\"]}");
	says(204, "");
	control("GET", of(""), NULL, NULL);
	says(200, "\"network\":{\"allowOut\":[\"pkgs.example\"],\"denyOut\":[\"0.0.0.0/0\"],"
		  "\"allowPublicTraffic\":true}");
	control("PUT", of("/network"), NULL, "{}");
	says(204, "");
	control("GET", of(""), NULL, NULL);
	says(200, "\"allowInternetAccess\":true,\"network\":{\"allowOut\":[],\"denyOut\":[],"
		  "\"allowPublicTraffic\":true}");
	control("GET", "/v2/sandboxes", "template=base", NULL);
	says(200, id);
	control("GET", "/v2/sandboxes", "template=other", NULL);
	assert_string_equal(a.body, "[]");
	/* its time set to nothing */
	control("POST", of("/timeout"), NULL, "{\"timeout\":0}");
	says(204, "");
	do {
		control("GET", of(""), NULL, NULL);
	} while (a.status == 200);
	says(404, "doesn't exist");
}

static void
it_is_said_how_boxes_are_paused(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	control("GET", "/azlon/health", NULL, NULL);
	says(200, cg_freezer(&fix.s->cg) == CG_FREEZE_NONE ? "\"pause\":\"signals\""
							   : "\"pause\":\"freezer\"");
}

static void
started_after_includes_the_moment(void **state)
{
	char at[40], q[80];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	control("GET", of(""), NULL, NULL);
	member("startedAt", at, sizeof at);
	snprintf(q, sizeof q, "startedAfter=%s", at);
	control("GET", "/v2/sandboxes", q, NULL);
	says(200, id);
	control("GET", "/v2/sandboxes", "startedAfter=2999-01-01T00:00:00Z", NULL);
	assert_string_equal(a.body, "[]");
	kill_it();
}

static void
templates_are_listed_by_name(void **state)
{
	static const char *const lists[] = {"/templates", "/v2/templates"};

	(void)state;
	NEEDS_BOX(&fix);
	for (int i = 0; i < 2; i++) {
		control("GET", lists[i], NULL, NULL);
		says(200, "\"templateID\":\"base\"");
		says(200, "\"buildStatus\":\"ready\"");
	}
	control("GET", "/templates/aliases/base", NULL, NULL);
	assert_string_equal(a.body, "{\"templateID\":\"base\",\"public\":true}");
	control("GET", "/templates/aliases/other", NULL, NULL);
	says(404, "template 'other' not found");
	control("POST", "/v3/templates", NULL, "{}");
	says(501, "templates");
	control("POST", "/sandboxes/i00000000000000000000/snapshots", NULL, "{}");
	says(501, "snapshots");
	control("POST", "/sandboxes/i00000000000000000000/fork", NULL, "{}");
	says(501, "fork");
}

static void
who_asks_twice_at_once_is_told_to_come_again(void **state)
{
	static const char *const p[] = {HOST, KEY, "HTTP_IDEMPOTENCY_KEY=twice", NULL};
	static const char body[] = "{\"templateID\":\"base\"}";
	struct idem k = {.key = (char[]){"twice"}};

	(void)state;
	NEEDS_BOX(&fix);
	/* as if the first were under way */
	az_sha256_of(az_str_c(body), k.body);
	fix.s->idem = &k;
	call("POST", "/v2/sandboxes", NULL, body, sizeof body - 1, p);
	fix.s->idem = NULL;
	says(409, "idempotency_in_progress");
	assert_non_null(strstr(a.head, "Should-Retry: true"));
	assert_non_null(strstr(a.head, "Retry-After: 1"));
}

static void
wait_state(struct box *b, enum box_state want)
{
	int64_t deadline = az_boot_ms() + 20000;

	pthread_mutex_lock(&b->mu);
	while (b->state != want)
		if (!az_cond_wait(&b->cond, &b->mu, deadline))
			fail_msg("state %d", b->state);
	pthread_mutex_unlock(&b->mu);
}

static void
its_time_may_end_in_a_pause(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"timeout\":1,\"autoPause\":true}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	wait_state(b, BOX_PAUSED);
	control("GET", of(""), NULL, NULL);
	says(200, "\"lifecycle\":{\"onTimeout\":\"pause\",\"autoResume\":false}");
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"/\"}");
	says(502, "was not found");
	/* it is not kept for ever */
	pthread_mutex_lock(&fix.s->mu);
	assert_true(b->deadline_ms > az_boot_ms() + 3600000);
	b->deadline_ms = 0;
	pthread_cond_broadcast(&fix.s->changed);
	pthread_mutex_unlock(&fix.s->mu);
	pthread_mutex_lock(&b->mu);
	while (!b->gone && az_cond_wait(&b->cond, &b->mu, az_boot_ms() + 20000))
		;
	assert_true(b->gone);
	assert_string_equal(b->why, "expired");
	pthread_mutex_unlock(&b->mu);
	box_unref(b);
}

static void
requests_may_wake_it(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"timeout\":1,\"autoPause\":true,"
	       "\"autoResume\":{\"enabled\":true}}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	wait_state(b, BOX_PAUSED);
	envd("GET", "/health", NULL, "", (struct az_str){0}, NULL);
	says(502, "was not found");
	/* only who has the token */
	token[0] ^= 1;
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"/\"}");
	says(401, "");
	assert_true(box_paused(b));
	token[0] ^= 1;
	unary("/filesystem.Filesystem/Stat", "{\"path\":\"/\"}");
	says(200, "entry");
	assert_false(box_paused(b));
	/* for a minute at least */
	assert_true(b->deadline_ms > az_boot_ms() + 30000);
	kill_it();
	box_unref(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wishes_are_checked),
	    cmocka_unit_test(it_is_said_how_boxes_are_paused),
	    cmocka_unit_test(started_after_includes_the_moment),
	    cmocka_unit_test(templates_are_listed_by_name),
	    cmocka_unit_test(who_asks_twice_at_once_is_told_to_come_again),
	    cmocka_unit_test(its_time_may_end_in_a_pause),
	    cmocka_unit_test(requests_may_wake_it),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
