/* A service that says nothing more does not hold a caller that is told to stop. */
#include "e2b_fixture.h"

#define STALL                                                                                      \
	{                                                                                          \
		.bytes = "", .n = 0, .then = HTTP_THEN_STALL                                       \
	}
#define BOX "{\"sandboxID\":\"iabc\",\"envdVersion\":\"0.6.13\",\"envdAccessToken\":\"ea_t\"}"

static struct fix F;
static struct az_sandbox *view;
static int after; /* requests that the service has seen by then */

/* The caller is told to stop while its call waits. */
static bool
told(void *arg)
{
	assert_ptr_equal(arg, &F);
	return http_peer_requests(F.peer) >= after;
}

static void
open_view(struct route *routes, size_t n)
{
	F = (struct fix){0};
	after = 1;
	fix_start(&F, routes, n);
	assert_int_equal(az_sandbox_watched(F.sb, told, &F, F.a, &view, &F.err), AZ_OK);
}

static enum az_code
create(void)
{
	struct az_box_ref ref;

	return az_sandbox_create(view,
	    &(struct az_sb_create){.timeout_s = 300, .idempotency_key = "k"}, F.a, &ref, &F.err);
}

static enum az_code
attach(void)
{
	struct az_box_ref ref;

	return az_sandbox_connect(view, AZ_S("iabc"), 60, F.a, &ref, &F.err);
}

static enum az_code
find(void)
{
	struct az_str *ids;
	size_t n;

	return az_sandbox_find(view, "k", "v", F.a, &ids, &n, &F.err);
}

static enum az_code
kill_it(void)
{
	return az_sandbox_kill(view, AZ_S("iabc"), &F.err);
}

static enum az_code
network(void)
{
	return az_sandbox_network(view, &F.ref, false, NULL, &F.err);
}

static enum az_code
blocked(void)
{
	struct az_sb_blocked *v;
	size_t n;

	return az_sandbox_blocked(view, &F.ref, F.a, &v, &n, &F.err);
}

static enum az_code
kill_all(void)
{
	return az_sandbox_kill_all(view, &F.ref, &F.err);
}

static enum az_code
no_bytes(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	(void)arg;
	(void)p;
	(void)n;
	(void)err;
	*got = 0;
	return AZ_OK;
}

static enum az_code
upload(void)
{
	return az_sandbox_upload(view, &F.ref, "a", 0, no_bytes, NULL, &F.err);
}

static enum az_code
take(void *arg, struct az_str chunk, struct az_err *err)
{
	(void)arg;
	(void)chunk;
	(void)err;
	return AZ_OK;
}

static enum az_code
download(void)
{
	return az_sandbox_download(view, &F.ref, "a", take, NULL, &F.err);
}

static enum az_code
list(void)
{
	struct az_sb_entry *es;
	size_t n;

	return az_sandbox_list(view, &F.ref, "/", 1, F.a, &es, &n, &F.err);
}

static enum az_code
mkdir_it(void)
{
	return az_sandbox_mkdir(view, &F.ref, "/a", &F.err);
}

static enum az_code
remove_it(void)
{
	return az_sandbox_remove(view, &F.ref, "/a", &F.err);
}

static enum az_code
ping(void)
{
	return az_sandbox_ping(view, &F.err);
}

static void
every_call_can_be_left(void **state)
{
	static enum az_code (*const calls[])(void) = {create, attach, find, kill_it, network,
	    blocked, kill_all, upload, download, list, mkdir_it, remove_it, ping};

	(void)state;
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		struct route r[] = {{"", {STALL}, 1, 0}};

		open_view(r, 1);
		if (calls[i]() != AZ_ECANCELLED)
			fail_msg("call %zu: %s", i, F.err.text);
		assert_int_equal(F.err.code, AZ_ECANCELLED);
		assert_int_equal(http_peer_requests(F.peer), 1); /* and no look at its health */
		fix_stop(&F);
	}
}

/* The connection broke; asking whether the sandbox lives can be left as well. */
static void
the_probe_can_be_left(void **state)
{
	struct route r[] = {{"GET /health", {STALL}, 1, 0},
	    {"", {{.bytes = "", .n = 0, .then = HTTP_THEN_CLOSE}}, 1, 0}};

	(void)state;
	open_view(r, 2);
	after = 2;
	assert_int_equal(mkdir_it(), AZ_ECANCELLED);
	assert_int_equal(asked(&F, "GET /health"), 1);
	fix_stop(&F);
}

/* A command without a hook of its own has the view's, and is killed all the same. */
static void
a_command_is_killed_though_its_caller_leaves(void **state)
{
	static const char *const argv[] = {"sleep", "99", NULL};
	struct route r[] = {
	    {"POST /process.Process/SendSignal", {{0}}, 1, 0},
	    {"POST /process.Process/Start", {STALL}, 1, 0},
	};
	struct az_sb_result res;

	(void)state;
	open_view(r, 2);
	r[0].step[0] = answer(&F, 200, "", "{}");
	assert_int_equal(
	    az_sandbox_run(view, &F.ref, &(struct az_sb_cmd){.argv = argv}, &res, &F.err), AZ_OK);
	assert_int_equal(res.end, AZ_END_CANCELLED);
	assert_int_equal(asked(&F, "POST /process.Process/SendSignal"), 1);
	fix_stop(&F);
}

static bool
always(void *arg)
{
	(void)arg;
	return true;
}

/* Told to stop before it began: what is being made is still waited for, so that it is
   known and can be ended. */
static void
a_sandbox_in_the_making_is_not_lost(void **state)
{
	struct route r[] = {{"POST /v2/sandboxes", {{0}}, 1, 0}};

	(void)state;
	open_view(r, 1);
	r[0].step[0] = answer(&F, 201, "", BOX);
	assert_int_equal(az_sandbox_watched(F.sb, always, &F, F.a, &view, &F.err), AZ_OK);
	assert_int_equal(create(), AZ_OK);
	assert_int_equal(find(), AZ_ECANCELLED);
	fix_stop(&F);
}

/* What one caller learns of the service, the others know. */
static void
views_share_what_is_known(void **state)
{
	struct route r[] = {
	    {"POST /v2/sandboxes", {{0}}, 1, 0},
	    {"POST /sandboxes", {{0}}, 1, 0},
	};

	(void)state;
	open_view(r, 2);
	r[0].step[0] = answer(&F, 404, "", "{\"code\":404,\"message\":\"not found\"}");
	r[1].step[0] = answer(&F, 201, "", BOX);
	after = 1000;
	assert_int_equal(create(), AZ_OK);
	az_sandbox_close(view); /* not the view's to do */
	view = F.sb;
	assert_int_equal(create(), AZ_OK);
	assert_int_equal(asked(&F, "POST /v2/"), 1);
	fix_stop(&F);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_call_can_be_left),
	    cmocka_unit_test(the_probe_can_be_left),
	    cmocka_unit_test(a_command_is_killed_though_its_caller_leaves),
	    cmocka_unit_test(a_sandbox_in_the_making_is_not_lost),
	    cmocka_unit_test(views_share_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
