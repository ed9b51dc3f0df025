/* The dev identity: whom it believes, and whom it does not even listen to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/auth.h>
#include <azlon/limits.h>

struct fix {
	struct az_auth *au;
	struct az_arena *a;
};

static int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);
	const struct az_auth_opts o = {.identity = "dev"};

	f->a = az_arena_new(AZ_KIB(64));
	*state = f;
	return az_auth_open(&o, &f->au, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	az_auth_close(f->au);
	az_arena_free(f->a);
	free(f);
	return 0;
}

static enum az_code
ask(void **state, struct az_auth_in in, struct az_str *uid)
{
	struct fix *f = *state;
	struct az_caller c = {.uid = {NULL, 0}};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	if (!in.host.p)
		in.host = AZ_S("localhost:8000");
	rc = az_auth_identify(f->au, &in, f->a, &c, &err);
	assert_int_equal(rc, err.code);
	*uid = c.uid;
	return rc;
}

static void
header_then_body_then_anonymous(void **state)
{
	struct az_str uid;
	char name[] = "alice";

	assert_int_equal(
	    ask(state, (struct az_auth_in){.x_user_id = az_str_c(name), .body_user = AZ_S("bob")},
		&uid),
	    AZ_OK);
	name[0] = 'X'; /* the uid must be a copy of its own */
	assert_true(az_str_eqc(uid, "alice"));
	assert_int_equal(ask(state, (struct az_auth_in){.body_user = AZ_S("bob")}, &uid), AZ_OK);
	assert_true(az_str_eqc(uid, "bob"));
	assert_int_equal(ask(state, (struct az_auth_in){.x_user_id = AZ_S("")}, &uid), AZ_OK);
	assert_true(az_str_eqc(uid, "anonymous"));
	/* a token means nothing here and changes nothing */
	assert_int_equal(
	    ask(state,
		(struct az_auth_in){.authorization = AZ_S("Bearer x"), .x_user_id = AZ_S("carol")},
		&uid),
	    AZ_OK);
	assert_true(az_str_eqc(uid, "carol"));
}

static void
uid_is_bounded_text(void **state)
{
	static const struct {
		struct az_str uid;
		enum az_code want;
	} t[] = {
	    {{"a", 1}, AZ_OK},
	    {{"../../etc/passwd", 16}, AZ_OK}, /* a name of nothing */
	    {{"J\xc3\xb6rg \xe6\x97\xa5\xe6\x9c\xac", 12}, AZ_OK},
	    {{"a\nb", 3}, AZ_EAUTH},
	    {{"a\0b", 3}, AZ_EAUTH},
	    {{"a\x7f", 2}, AZ_EAUTH},
	    {{"a\xc2\x85", 3}, AZ_EAUTH},
	    {{"a\xc2", 2}, AZ_EAUTH},
	    {{"\xff", 1}, AZ_EAUTH},
	    {{"\xc0\xaf", 2}, AZ_EAUTH},
	    {{"\xed\xa0\x80", 3}, AZ_EAUTH},
	};
	char big[129];
	struct az_str uid;

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (ask(state, (struct az_auth_in){.x_user_id = t[i].uid}, &uid) != t[i].want)
			fail_msg("case %zu", i);
	memset(big, 'x', sizeof big);
	assert_int_equal(ask(state, (struct az_auth_in){.x_user_id = {big, 128}}, &uid), AZ_OK);
	assert_int_equal(uid.n, 128);
	assert_int_equal(ask(state, (struct az_auth_in){.x_user_id = {big, 129}}, &uid), AZ_EAUTH);
	assert_int_equal(ask(state, (struct az_auth_in){.body_user = {big, 129}}, &uid), AZ_EAUTH);
	assert_null(uid.p);
}

static void
only_loopback_hosts(void **state)
{
	static const char *const good[] = {"localhost", "localhost:8000", "LocalHost:1",
	    "127.0.0.1", "127.0.0.1:8444", "127.255.0.3:80", "[::1]", "[::1]:8000"};
	static const char *const bad[] = {"", "example.org", "localhost.example.org", "localhost.",
	    "127.0.0.1.nip.io", "127.0.0.1.", "127.1", "127.0.0.01", "0127.0.0.1", "0x7f.0.0.1",
	    "2130706433", "128.0.0.1", "10.0.0.1:8000", "192.168.0.1", "0.0.0.0", "127.0.0.256",
	    "127.0.0.-1", "127..0.1", "[::1]x", "[::1]:", "[::ffff:127.0.0.1]", "[::]", "::1",
	    "localhost:", "localhost:99999", "localhost:-1", "localhost:80:80", "localhost:8000 ",
	    "user@localhost", "localhost/", "xlocalhost"};
	struct az_str uid;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (ask(state, (struct az_auth_in){.host = az_str_c(good[i])}, &uid))
			fail_msg("refused %s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (ask(state, (struct az_auth_in){.host = az_str_c(bad[i])}, &uid) != AZ_EPERM)
			fail_msg("not refused: %s", bad[i]);
}

static void
forwarded_requests_are_refused(void **state)
{
	struct az_str uid;

	assert_int_equal(
	    ask(state, (struct az_auth_in){.x_user_id = AZ_S("alice"), .forwarded = true}, &uid),
	    AZ_EPERM);
	assert_null(uid.p);
}

static void
changes_by_foreign_pages_are_refused(void **state)
{
	struct az_str uid;

	assert_int_equal(ask(state, (struct az_auth_in){.foreign = true}, &uid), AZ_EPERM);
	assert_null(uid.p);
}

static void
does_not_start_where_it_would_be_unsafe(void **state)
{
	const struct az_auth_opts ext = {
	    .identity = "dev", .external_url = "https://azlon.example.org"};
	const struct az_auth_opts blank = {.identity = "dev", .external_url = ""};
	const struct az_auth_opts other = {.identity = "google"};
	const struct az_auth_opts none = {.identity = NULL};
	struct az_err err = AZ_ERR_INIT;
	struct az_auth *au = NULL;

	(void)state;
	assert_int_equal(az_auth_open(&ext, &au, &err), AZ_EINVAL);
	assert_non_null(strstr(err.text, "EXTERNAL_BACKEND_URL"));
	assert_null(au);
	assert_int_equal(az_auth_open(&other, &au, &err), AZ_EINVAL);
	assert_non_null(strstr(err.text, "google"));
	assert_int_equal(az_auth_open(&none, &au, &err), AZ_EINVAL);
	assert_int_equal(az_auth_open(&blank, &au, &err), AZ_OK);
	az_auth_close(au);
	az_auth_close(NULL);
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test_setup_teardown(header_then_body_then_anonymous, setup, teardown),
	    cmocka_unit_test_setup_teardown(uid_is_bounded_text, setup, teardown),
	    cmocka_unit_test_setup_teardown(only_loopback_hosts, setup, teardown),
	    cmocka_unit_test_setup_teardown(forwarded_requests_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(changes_by_foreign_pages_are_refused, setup, teardown),
	    cmocka_unit_test(does_not_start_where_it_would_be_unsafe),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
