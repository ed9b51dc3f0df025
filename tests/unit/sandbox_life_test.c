/* From a sandbox's creation to its end: lost replies, busy services, the line at the cap,
   lives prolonged, and why one is gone. */
#include <pthread.h>
#include <sched.h>
#include <azlon/clock.h>
#include "e2b_fixture.h"

#define BOX(id) "{\"sandboxID\":\"" id "\",\"envdVersion\":\"0.6.13\",\"envdAccessToken\":\"ea_t\"}"
#define LISTED(id) "{\"sandboxID\":\"" id "\",\"metadata\":{\"azlon_create\":\"run-1-a1\"}}"
#define CAP "{\"code\":429,\"message\":\"maximum number of concurrent E2B sandboxes (20)\"}"
#define CREATE "POST /v2/sandboxes"
#define LIST "GET /v2/sandboxes?"
#define KILL "DELETE /sandboxes/"
#define CONNECT "POST /sandboxes/iabc/connect"

static const struct http_peer_step lost = {.bytes = "", .then = HTTP_THEN_CLOSE};

static enum az_code
create_in(struct az_sandbox *s, struct fix *f, int wait_s, struct az_box_ref *ref)
{
	return az_sandbox_create(s,
	    &(struct az_sb_create){
		.timeout_s = 300, .idempotency_key = "run-1-a1", .wait_s = wait_s},
	    f->a, ref, &f->err);
}

static void
a_lost_sandbox_is_adopted(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CREATE, {{0}}, 1, 0}, {LIST, {{0}}, 1, 0},
	    {"POST /sandboxes/i1/connect", {{0}}, 1, 0}, {KILL "i2", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = lost;
	r[1].step[0] = answer(&f, 200, "", "[" LISTED("i1") "," LISTED("i2") "]");
	r[2].step[0] = answer(&f, 200, "", BOX("i1"));
	r[3].step[0] = answer(&f, 204, "", "");
	fix_start(&f, r, 4);
	assert_int_equal(create_in(f.sb, &f, 0, &ref), AZ_OK);
	assert_true(az_str_eqc(ref.id, "i1"));
	assert_int_equal(asked(&f, CREATE), 1); /* no second one */
	assert_int_equal(asked(&f, KILL), 1);   /* and no orphan */
	assert_true(sent(&f, nth(&f, LIST, 0), "metadata=azlon_create%3Drun-1-a1"));
	assert_true(sent(&f, nth(&f, CREATE, 0), "\"azlon_create\":\"run-1-a1\""));
	fix_stop(&f);
}

/* A service that knows no keys makes two when the first request comes through late. */
static void
asked_again_it_leaves_no_orphan(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CREATE, {{0}}, 2, 0}, {LIST, {{0}}, 2, 0}, {KILL "i4", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = lost;
	r[0].step[1] = answer(&f, 201, "", BOX("i5"));
	r[1].step[0] = answer(&f, 200, "", "[]");
	r[1].step[1] = answer(&f, 200, "", "[" LISTED("i4") "," LISTED("i5") "]");
	r[2].step[0] = answer(&f, 204, "", "");
	fix_start(&f, r, 3);
	assert_int_equal(create_in(f.sb, &f, 0, &ref), AZ_OK);
	assert_true(az_str_eqc(ref.id, "i5"));
	assert_int_equal(asked(&f, KILL), 1);
	fix_stop(&f);
}

static void
an_old_services_lost_sandbox_is_adopted_too(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /sandboxes/i1/connect", {{0}}, 1, 0},
	    {"POST /sandboxes", {{0}}, 1, 0}, {"GET /sandboxes?metadata", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 200, "", BOX("i1"));
	r[1].step[0] = lost;
	r[2].step[0] = answer(&f, 200, "", "[" LISTED("i1") "]");
	fix_start(&f, r, 3);
	assert_int_equal(create_in(f.sb, &f, 0, &ref), AZ_OK);
	assert_true(az_str_eqc(ref.id, "i1"));
	assert_int_equal(asked(&f, "POST /sandboxes "), 1);
	fix_stop(&f);
}

static void
a_service_that_is_away_is_not_asked_twice(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = lost;
	fix_start(&f, r, 1);
	assert_true(create_in(f.sb, &f, 0, &ref) != AZ_OK);
	assert_string_equal(f.err.reason, E2B_AWAY);
	assert_int_equal(asked(&f, CREATE), 1);
	fix_stop(&f);
}

static void
a_creation_without_a_key_gets_one(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CREATE, {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 201, "", BOX("i1"));
	fix_start(&f, r, 1);
	assert_int_equal(
	    az_sandbox_create(f.sb, &(struct az_sb_create){.timeout_s = 9}, f.a, &ref, &f.err),
	    AZ_OK);
	assert_true(sent(&f, 0, "Idempotency-Key: "));
	assert_true(sent(&f, 0, "\"metadata\":{\"azlon_create\":\""));
	fix_stop(&f);
}

static void
a_busy_service_is_asked_again_as_it_wishes(void **state)
{
	static const struct {
		int status;
		const char *extra;
		int asked;
	} t[] = {
	    {429, "Retry-After: 0\r\nRetry-After-Ms: 3\r\n", 2},
	    {503, "Retry-After-Ms: 3\r\n", 2},
	    {502, "", 2},
	    {500, "Should-Retry: true\r\n", 2},
	    {500, "", 1},
	    {503, "Should-Retry: false\r\n", 1},
	    {503, "Retry-After: 3600\r\n", 1}, /* that is the caller's to wait for */
	    {400, "", 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct route r[] = {{CREATE, {{0}}, 2, 0}};
		struct az_box_ref ref;

		r[0].step[0] =
		    answer(&f, t[i].status, t[i].extra, "{\"code\":1,\"message\":\"m\"}");
		r[0].step[1] = answer(&f, 201, "", BOX("i1"));
		fix_start(&f, r, 1);
		assert_int_equal(create_in(f.sb, &f, 0, &ref) == AZ_OK, t[i].asked == 2);
		assert_int_equal(asked(&f, CREATE), t[i].asked);
		fix_stop(&f);
	}
}

static bool
after_one(void *arg)
{
	return http_peer_requests(((struct fix *)arg)->peer) > 0;
}

static void
waiting_for_a_busy_service_can_be_left(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"PUT /sandboxes/iabc/network", {{0}}, 1, 0}};
	struct az_sandbox *view;

	(void)state;
	r[0].step[0] = answer(&f, 503, "Retry-After: 9\r\n", "{}");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_watched(f.sb, after_one, &f, f.a, &view, &f.err), AZ_OK);
	assert_int_equal(az_sandbox_network(view, &f.ref, false, NULL, &f.err), AZ_ECANCELLED);
	assert_int_equal(http_peer_requests(f.peer), 1);
	fix_stop(&f);
}

/* ---- at the cap ---- */

struct waiter {
	struct fix *f;
	struct az_box_ref ref;
	struct az_err err;
	enum az_code rc;
	struct az_arena *a;
	pthread_t thread;
};

static void *
stand(void *arg)
{
	struct waiter *w = arg;

	w->rc = az_sandbox_create(w->f->sb, &(struct az_sb_create){.timeout_s = 300, .wait_s = 60},
	    w->a, &w->ref, &w->err);
	return NULL;
}

static void
start_waiter(struct waiter *w, struct fix *f)
{
	*w = (struct waiter){.f = f, .a = az_arena_new(AZ_MIB(1))};
	assert_int_equal(pthread_create(&w->thread, NULL, stand, w), 0);
}

static void
end_waiter(struct waiter *w, const char *id)
{
	pthread_join(w->thread, NULL);
	if (w->rc != AZ_OK)
		fail_msg("%s", w->err.text);
	assert_true(az_str_eqc(w->ref.id, id));
	az_arena_free(w->a);
}

static void
who_waits_gets_the_next_one_in_order(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CREATE, {{0}}, 4, 0}, {KILL, {{0}}, 1, 0}};
	struct waiter one, two;

	(void)state;
	r[0].step[0] = answer(&f, 429, "", CAP);
	r[0].step[1] = answer(&f, 201, "", BOX("i1"));
	r[0].step[2] = answer(&f, 429, "", CAP);
	r[0].step[3] = answer(&f, 201, "", BOX("i2"));
	r[1].step[0] = answer(&f, 204, "", "");
	fix_start(&f, r, 2);
	e2b_of(f.sb)->line_ms = 100000; /* only an end of ours helps */
	start_waiter(&one, &f);
	while (!e2b_line_busy(e2b_of(f.sb)))
		sched_yield();
	start_waiter(&two, &f);
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S("ix"), &f.err), AZ_OK);
	end_waiter(&one, "i1");
	while (asked(&f, CREATE) < 3)
		sched_yield();
	while (!e2b_line_busy(e2b_of(f.sb)))
		sched_yield();
	assert_int_equal(az_sandbox_kill(f.sb, AZ_S("iy"), &f.err), AZ_OK);
	end_waiter(&two, "i2");
	assert_int_equal(asked(&f, CREATE), 4);
	fix_stop(&f);
}

static void
others_sandboxes_end_as_well(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CREATE, {{0}}, 3, 0}};
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 429, "", CAP);
	r[0].step[1] = answer(&f, 429, "", CAP);
	r[0].step[2] = answer(&f, 201, "", BOX("i1"));
	fix_start(&f, r, 1);
	e2b_of(f.sb)->line_ms = 20;
	assert_int_equal(create_in(f.sb, &f, 60, &ref), AZ_OK);
	assert_int_equal(asked(&f, CREATE), 3);
	fix_stop(&f);
}

static bool
always(void *arg)
{
	(void)arg;
	return true;
}

static void
waiting_ends(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CREATE, {{0}}, 1, 0}};
	struct az_sandbox *view;
	struct az_box_ref ref;

	(void)state;
	r[0].step[0] = answer(&f, 429, "", CAP);
	fix_start(&f, r, 1);
	assert_int_equal(create_in(f.sb, &f, 0, &ref), AZ_EUNAVAIL); /* not asked to wait */
	assert_int_equal(create_in(f.sb, &f, 1, &ref), AZ_EUNAVAIL); /* its time is up */
	assert_string_equal(f.err.reason, E2B_CAP);
	assert_int_equal(az_sandbox_watched(f.sb, always, NULL, f.a, &view, &f.err), AZ_OK);
	assert_int_equal(create_in(view, &f, 600, &ref), AZ_ECANCELLED);
	assert_false(e2b_line_busy(e2b_of(f.sb)));
	fix_stop(&f);
}

/* ---- lives ---- */

static struct fix *F;

static bool
prolonged(void *arg)
{
	(void)arg;
	return asked(F, CONNECT) > 1; /* the first was ours */
}

/* Attached with a life of 300 s, of which little is left. */
static void
nearly_over(struct fix *f)
{
	struct az_box_ref ref;

	F = f;
	assert_int_equal(az_sandbox_connect(f->sb, AZ_S("iabc"), 300, f->a, &ref, &f->err), AZ_OK);
	e2b_of(f->sb)->shared->lease[0].ends_ms = az_boot_ms() + 1000;
}

static void
assert_prolonged(struct fix *f)
{
	assert_int_equal(asked(f, CONNECT), 2);
	assert_true(sent(f, nth(f, CONNECT, 1), "{\"timeout\":300}"));
	assert_true(e2b_of(f->sb)->shared->lease[0].ends_ms > az_boot_ms() + 200000);
}

static void
a_command_under_way_keeps_its_sandbox(void **state)
{
	static const char *const argv[] = {"sleep", "99", NULL};
	struct fix f = {0};
	struct route r[] = {{CONNECT, {{0}}, 1, 0}, {"POST /process.Process/Start", {{0}}, 1, 0},
	    {"POST /process.Process/SendSignal", {{0}}, 1, 0}};
	struct az_sb_result res;

	(void)state;
	r[0].step[0] = answer(&f, 200, "", BOX("iabc"));
	r[1].step[0] = (struct http_peer_step){.bytes = "", .then = HTTP_THEN_STALL};
	r[2].step[0] = answer(&f, 200, "", "{}");
	fix_start(&f, r, 3);
	nearly_over(&f);
	assert_int_equal(
	    az_sandbox_run(f.sb, &f.ref, &(struct az_sb_cmd){.argv = argv, .cancelled = prolonged},
		&res, &f.err),
	    AZ_OK);
	assert_int_equal(res.end, AZ_END_CANCELLED);
	assert_prolonged(&f);
	fix_stop(&f);
}

/* Reads on until the life was prolonged. */
static enum az_code
until_prolonged(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	(void)arg;
	(void)err;
	*got = prolonged(NULL) ? 0 : n < 100 ? n : 100;
	memset(p, 'x', *got);
	return AZ_OK;
}

static void
a_long_upload_keeps_its_sandbox(void **state)
{
	struct fix f = {0};
	struct route r[] = {{CONNECT, {{0}}, 1, 0}, {"POST /files?path=", {{0}}, 1, 0}};

	(void)state;
	r[0].step[0] = answer(&f, 200, "", BOX("iabc"));
	r[1].step[0] = answer(&f, 200, "", "[{\"path\":\"/x\"}]");
	fix_start(&f, r, 2);
	nearly_over(&f);
	assert_int_equal(
	    az_sandbox_upload(f.sb, &f.ref, "b", -1, until_prolonged, NULL, &f.err), AZ_OK);
	assert_prolonged(&f);
	fix_stop(&f);
}

/* Where the time is set and counts from now, it is set only to put the end off. */
static void
a_life_is_never_cut(void **state)
{
	struct az_buf soon, late;
	struct fix f = {0};
	struct route r[] = {
	    {"GET /sandboxes/iabc", {{0}}, 2, 0}, {"POST /sandboxes/iabc/timeout", {{0}}, 1, 0}};
	struct az_box_ref ref;

	(void)state;
	az_buf_init(&soon, 400);
	az_buf_init(&late, 400);
	az_buf_addc(&late, "{\"sandboxID\":\"iabc\",\"endAt\":\"");
	az_rfc3339(&late, az_wall_ms() + 3600000);
	az_buf_addc(&late, "\"}");
	az_buf_addc(&soon, "{\"sandboxID\":\"iabc\",\"endAt\":\"");
	az_rfc3339(&soon, az_wall_ms() + 30000);
	az_buf_addc(&soon, "\"}");
	r[0].step[0] = answer(&f, 200, "", late.p);
	r[0].step[1] = answer(&f, 200, "", soon.p);
	r[1].step[0] = answer(&f, 204, "", "");
	fix_start(&f, r, 2);
	assert_int_equal(az_sandbox_connect(f.sb, AZ_S("iabc"), 60, f.a, &ref, &f.err), AZ_OK);
	assert_int_equal(asked(&f, "POST /sandboxes/iabc/timeout"), 0);
	assert_int_equal(az_sandbox_connect(f.sb, AZ_S("iabc"), 60, f.a, &ref, &f.err), AZ_OK);
	assert_int_equal(asked(&f, "POST /sandboxes/iabc/timeout"), 1);
	az_buf_release(&soon);
	az_buf_release(&late);
	fix_stop(&f);
}

static void
gone_has_one_cause(void **state)
{
	static const struct {
		int status;
		const char *body;
		bool over; /* its time, as far as we know */
		enum az_sb_cause want;
	} t[] = {
	    {502, "{\"message\":\"The sandbox was not found\",\"code\":502}", false,
		AZ_CAUSE_KILLED},
	    {502, "{\"message\":\"The sandbox was not found\",\"code\":502}", true,
		AZ_CAUSE_EXPIRED},
	    {502, "{\"message\":\"The sandbox was not found: its time expired\",\"code\":502}",
		false, AZ_CAUSE_EXPIRED},
	    {502, "{\"message\":\"The sandbox was not found: out of memory\",\"code\":502}", false,
		AZ_CAUSE_MEMORY},
	    {502, "{\"message\":\"The sandbox is running but port is not open\",\"code\":502}",
		false, AZ_CAUSE_UNREACHABLE},
	    {502, "<html>Bad Gateway</html>", false, AZ_CAUSE_UNREACHABLE},
	    {503, "", false, AZ_CAUSE_NONE},
	    {404, "{\"code\":\"not_found\",\"message\":\"no such file\"}", true, AZ_CAUSE_NONE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct route r[] = {
		    {CONNECT, {{0}}, 1, 0}, {"POST /filesystem.Filesystem/MakeDir", {{0}}, 1, 0}};

		r[0].step[0] = answer(&f, 200, "", BOX("iabc"));
		r[1].step[0] = answer(&f, t[i].status, "", t[i].body);
		fix_start(&f, r, 2);
		nearly_over(&f);
		if (t[i].over)
			e2b_of(f.sb)->shared->lease[0].ends_ms = az_boot_ms() - 1;
		assert_true(az_sandbox_mkdir(f.sb, &f.ref, "d", &f.err) != AZ_OK);
		assert_int_equal(az_sandbox_cause(&f.err), t[i].want);
		assert_int_equal(az_sandbox_is_gone(&f.err),
		    t[i].want != AZ_CAUSE_NONE && t[i].want != AZ_CAUSE_UNREACHABLE);
		fix_stop(&f);
	}
	assert_int_equal(az_sandbox_cause(NULL), AZ_CAUSE_NONE);
	assert_false(az_sandbox_is_gone(NULL));
}

/* The connection breaks: whether it lives, and why not, is found out. */
static void
a_broken_connection_has_a_cause(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"GET /health", {{0}}, 2, 0}, {"", {{0}}, 1, 0}};

	(void)state;
	r[0].step[0] = answer(
	    &f, 502, "", "{\"message\":\"The sandbox was not found: out of memory\",\"code\":502}");
	r[0].step[1] = lost;
	r[1].step[0] = lost;
	fix_start(&f, r, 2);
	assert_int_equal(az_sandbox_mkdir(f.sb, &f.ref, "d", &f.err), AZ_ENOTFOUND);
	assert_int_equal(az_sandbox_cause(&f.err), AZ_CAUSE_MEMORY);
	assert_int_equal(az_sandbox_mkdir(f.sb, &f.ref, "d", &f.err), AZ_EUNAVAIL);
	assert_int_equal(az_sandbox_cause(&f.err), AZ_CAUSE_UNREACHABLE);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_lost_sandbox_is_adopted),
	    cmocka_unit_test(asked_again_it_leaves_no_orphan),
	    cmocka_unit_test(an_old_services_lost_sandbox_is_adopted_too),
	    cmocka_unit_test(a_service_that_is_away_is_not_asked_twice),
	    cmocka_unit_test(a_creation_without_a_key_gets_one),
	    cmocka_unit_test(a_busy_service_is_asked_again_as_it_wishes),
	    cmocka_unit_test(waiting_for_a_busy_service_can_be_left),
	    cmocka_unit_test(who_waits_gets_the_next_one_in_order),
	    cmocka_unit_test(others_sandboxes_end_as_well),
	    cmocka_unit_test(waiting_ends),
	    cmocka_unit_test(a_command_under_way_keeps_its_sandbox),
	    cmocka_unit_test(a_long_upload_keeps_its_sandbox),
	    cmocka_unit_test(a_life_is_never_cut),
	    cmocka_unit_test(gone_has_one_cause),
	    cmocka_unit_test(a_broken_connection_has_a_cause),
	};

	return cmocka_run_group_tests_name("sandbox_life", tests, NULL, NULL);
}
