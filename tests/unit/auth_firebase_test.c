/* Bearer tokens from the header to the caller: what is taken, what a client is told, what is
   logged, and that nothing else says who calls. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/auth.h>
#include <azlon/log.h>
#include <azlon/path.h>
#include "http_peer.h"
#include "token_maker.h"

enum { NOW = 1800000000 };

#define HEAD "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"
#define ISS "\"iss\":\"https://securetoken.google.com/demo-azlon\","
#define GOOD                                                                                       \
	"{" ISS "\"aud\":\"demo-azlon\",\"sub\":\"alice\",\"exp\":1800003000,\"iat\":1799999400,"  \
	"\"auth_time\":1799999000}"
#define LATE                                                                                       \
	"{" ISS "\"aud\":\"demo-azlon\",\"sub\":\"alice\",\"exp\":1799999939,\"iat\":1799996000,"  \
	"\"auth_time\":1799996000}"

static struct token_key *key1, *key2;

struct fix {
	struct http_peer *peer;
	struct az_http *http;
	struct az_auth *au;
	struct az_arena *a;
	char var[64], url[100], dir[80];
	struct az_buf keys;
	char *answer;
	struct http_peer_step step;
};

static int64_t
now_s(void)
{
	return NOW;
}

static struct az_auth_opts
opts(struct fix *f, const char *identity)
{
	return (struct az_auth_opts){.identity = identity,
	    .var = f->var,
	    .http = f->http,
	    .project = "demo-azlon",
	    .keys_url = f->url,
	    .now_s = now_s};
}

static int
setup_as(void **state, const char *identity, bool emulator)
{
	struct fix *f = calloc(1, sizeof *f);
	struct az_err err = AZ_ERR_INIT;
	struct az_auth_opts o;

	az_log_open("test", "stderr", AZ_ERROR);
	strcpy(f->var, "/tmp/azlon-auth-XXXXXX");
	assert_non_null(mkdtemp(f->var));
	snprintf(f->dir, sizeof f->dir, "%s/auth", f->var);
	f->a = az_arena_new(AZ_MIB(64));
	az_buf_init(&f->keys, AZ_KIB(32));
	token_certs(&(struct token_named){"k1", key1}, 1, &f->keys);
	assert_true(asprintf(&f->answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			f->keys.n, f->keys.p) > 0);
	f->step.bytes = f->answer;
	f->peer = http_peer_start(&f->step, 1, NULL, NULL);
	http_peer_url(f->peer, "/keys", f->url, sizeof f->url);
	assert_int_equal(az_http_new(&f->http, NULL), AZ_OK);
	o = opts(f, identity);
	o.emulator = emulator;
	if (az_auth_open(&o, &f->au, &err))
		fail_msg("%s", err.text);
	*state = f;
	return 0;
}

static int
setup(void **state)
{
	return setup_as(state, "firebase", false);
}

static int
setup_keys(void **state)
{
	return setup_as(state, "keys", false);
}

static int
setup_emulator(void **state)
{
	return setup_as(state, "firebase", true);
}

static int
teardown(void **state)
{
	struct fix *f = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_auth_close(f->au);
	az_http_free(f->http);
	http_peer_stop(f->peer);
	assert_int_equal(az_remove_tree(tmp, f->var + 5), 0);
	close(tmp);
	az_buf_release(&f->keys);
	free(f->answer);
	az_arena_free(f->a);
	free(f);
	return 0;
}

static enum az_code
ask(struct fix *f, struct az_auth_in in, struct az_caller *c, struct az_err *err)
{
	enum az_code rc;

	*err = (struct az_err)AZ_ERR_INIT;
	if (!in.host.p)
		in.host = AZ_S("azlon.example.org");
	rc = az_auth_identify(f->au, &in, f->a, c, err);
	assert_int_equal(rc, err->code);
	if (rc)
		assert_int_equal(c->uid.n + c->scopes, 0);
	return rc;
}

/* With this header: the uid, or what is said, in static memory. */
static const char *
header(struct fix *f, const char *text)
{
	static char said[128];
	static struct az_err err;
	struct az_caller c;

	if (ask(f, (struct az_auth_in){.authorization = az_str_c(text)}, &c, &err)) {
		assert_int_equal(err.code, AZ_EAUTH);
		/* what is told is a sentence and never part of the token */
		assert_true(strlen(err.text) > 10 && err.text[strlen(err.text) - 1] == '.');
		return err.reason;
	}
	snprintf(said, sizeof said, "%.*s", AZ_FMT(c.uid));
	return said;
}

static const char *
bearer(struct fix *f, struct token_key *k, const char *head, const char *claims)
{
	struct az_buf t;
	char *text = NULL;
	const char *said;

	token_of(k, az_str_c(head), az_str_c(claims), &t);
	assert_true(asprintf(&text, "Bearer %s", t.p) > 0);
	said = header(f, text);
	free(text);
	az_buf_release(&t);
	return said;
}

static void
an_id_token_says_who_calls(void **state)
{
	struct fix *f = *state;
	struct az_caller c;
	struct az_err err;
	struct az_buf t;
	char *text = NULL;

	assert_string_equal(bearer(f, key1, HEAD, GOOD), "alice");
	/* and nothing else does */
	token_of(key1, AZ_S(HEAD), AZ_S(GOOD), &t);
	assert_true(asprintf(&text, "bEaReR %s", t.p) > 0);
	assert_int_equal(ask(f,
			     (struct az_auth_in){.authorization = az_str_c(text),
				 .x_user_id = AZ_S("bob"),
				 .body_user = AZ_S("carol"),
				 .forwarded = true},
			     &c, &err),
	    AZ_OK);
	assert_true(az_str_eqc(c.uid, "alice"));
	assert_int_equal(c.scopes, AZ_SCOPE_ALL);
	free(text);
	az_buf_release(&t);
	assert_int_equal(
	    ask(f, (struct az_auth_in){.x_user_id = AZ_S("bob"), .body_user = AZ_S("b")}, &c, &err),
	    AZ_EAUTH);
	assert_string_equal(err.reason, "unauthorized");
	assert_non_null(strstr(err.text, "Authorization: Bearer"));
}

static void
headers_that_are_none(void **state)
{
	static const char *const bad[] = {"Bearer", "Bearer ", "Basic YTpi", "bearer", "Bearer  x",
	    "Bearer x y", "Bearer x, Bearer y", "Bearer x,y", "Bearerx", "Bearer\tx", "x",
	    "Bearer x\n", "Bearer \xc3\xa4", "Token x", "Bearer \x7f"};
	struct fix *f = *state;

	assert_string_equal(header(f, NULL), "unauthorized");
	assert_string_equal(header(f, ""), "unauthorized");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_string_equal(header(f, bad[i]), "token_invalid");
	assert_string_equal(header(f, "Bearer x.y.z"), "token_invalid");
}

static void
who_was_refused_learns_no_more_than_needed(void **state)
{
	struct fix *f = *state;

	assert_string_equal(bearer(f, key1, HEAD, LATE), "token_expired");
	/* signed by somebody else it is not even said that it is late */
	assert_string_equal(bearer(f, key2, HEAD, LATE), "token_invalid");
	assert_string_equal(bearer(f, key2, HEAD, GOOD), "token_invalid");
	assert_string_equal(bearer(f, NULL, HEAD, GOOD), "token_invalid");
	assert_string_equal(bearer(f, NULL, "{\"alg\":\"none\"}", GOOD), "token_invalid");
	assert_string_equal(
	    bearer(f, key1, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", GOOD), "token_invalid");
	assert_string_equal(bearer(f, key1, HEAD, "{\"sub\":\"alice\"}"), "token_invalid");
	assert_string_equal(
	    bearer(f, key1, "{\"alg\":\"RS256\",\"kid\":\"k2\"}", GOOD), "token_invalid");
}

/* It would be shown and compared: not in the form of a uid. */
static void
a_subject_with_a_bell_in_it(void **state)
{
	struct fix *f = *state;
	struct az_caller c;
	struct az_err err;
	struct az_buf t;
	char *text = NULL;

	token_of(key1, AZ_S(HEAD),
	    AZ_S("{" ISS "\"aud\":\"demo-azlon\",\"sub\":\"a\\u0007\",\"exp\":1800003000,"
		 "\"iat\":1,\"auth_time\":1}"),
	    &t);
	assert_true(asprintf(&text, "Bearer %s", t.p) > 0);
	assert_int_equal(
	    ask(f, (struct az_auth_in){.authorization = az_str_c(text)}, &c, &err), AZ_EAUTH);
	assert_string_equal(err.reason, "");
	free(text);
	az_buf_release(&t);
}

/* Tokens that end before a key is looked for: nothing is fetched for them. */
static void
wrong_algorithms_cost_no_fetch(void **state)
{
	static const char *const heads[] = {"{\"alg\":\"none\",\"kid\":\"k9\"}",
	    "{\"alg\":\"HS256\",\"kid\":\"k9\"}", "{\"alg\":\"ES256\",\"kid\":\"k9\"}",
	    "{\"alg\":\"RS256\"}", "{\"alg\":\"RS256\",\"kid\":\"k9\",\"crit\":[]}"};
	struct fix *f = *state;
	int before;

	assert_string_equal(bearer(f, key1, HEAD, GOOD), "alice");
	before = http_peer_requests(f->peer);
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		assert_string_equal(bearer(f, key1, heads[i], GOOD), "token_invalid");
	assert_int_equal(http_peer_requests(f->peer), before);
	/* an unknown key does */
	assert_string_equal(
	    bearer(f, key1, "{\"alg\":\"RS256\",\"kid\":\"k9\"}", GOOD), "token_invalid");
	assert_int_equal(http_peer_requests(f->peer), before + 1);
}

static void
signed_out(void **state)
{
	struct fix *f = *state;

	assert_string_equal(bearer(f, key1, HEAD, GOOD), "alice");
	assert_int_equal(az_auth_sign_out(f->dir, AZ_S("bob"), NOW, NULL), AZ_OK);
	assert_int_equal(az_auth_sign_out(f->dir, AZ_S("alice"), 1799998999, NULL), AZ_OK);
	assert_string_equal(bearer(f, key1, HEAD, GOOD), "alice");
	assert_int_equal(az_auth_sign_out(f->dir, AZ_S("alice"), 1799999000, NULL), AZ_OK);
	assert_string_equal(bearer(f, key1, HEAD, GOOD), "token_invalid");
	assert_int_equal(az_auth_sign_out(f->dir, AZ_S(""), NOW, NULL), AZ_EINVAL);
}

static void
without_keys_or_with_half_a_choice(void **state)
{
	struct fix *f = *state;
	struct az_caller c;
	struct az_err err;
	struct az_auth_opts o = opts(f, "firebase");
	struct az_auth *au;

	/* no source of keys: not a word against the token */
	az_auth_close(f->au);
	o.keys_url = "http://127.0.0.1:9/keys";
	assert_int_equal(az_auth_open(&o, &f->au, &err), AZ_OK);
	for (int i = 0; i < 2; i++) {
		struct az_buf t;
		char *text = NULL;

		token_of(key1, AZ_S(HEAD), AZ_S(GOOD), &t);
		assert_true(asprintf(&text, "Bearer %s", t.p) > 0);
		assert_int_equal(
		    ask(f, (struct az_auth_in){.authorization = az_str_c(text)}, &c, &err),
		    AZ_EUNAVAIL);
		assert_string_equal(err.reason, "identity");
		assert_true(err.retry_after_ms > 0);
		free(text);
		az_buf_release(&t);
	}
	/* half a choice */
	o.project = "";
	assert_int_equal(az_auth_open(&o, &au, &err), AZ_EINVAL);
	assert_non_null(strstr(err.text, "FIREBASE_PROJECT_ID"));
	o = opts(f, "firebase");
	o.var = NULL;
	assert_int_equal(az_auth_open(&o, &au, &err), AZ_EINVAL);
	o.var = "/nonexistent/azlon";
	assert_int_equal(az_auth_open(&o, &au, &err), AZ_EIO);
	assert_null(au);
}

static void
the_emulators_tokens(void **state)
{
	struct fix *f = *state;
	struct az_auth_in in = {.host = AZ_S("localhost:8000")};
	struct az_auth_opts o = opts(f, "firebase");
	struct az_caller c;
	struct az_err err;
	struct az_auth *au;
	struct az_buf t;
	char *text = NULL;

	token_of(NULL, AZ_S("{\"alg\":\"none\",\"typ\":\"JWT\"}"), AZ_S(GOOD), &t);
	assert_true(asprintf(&text, "Bearer %s", t.p) > 0);
	in.authorization = az_str_c(text);
	assert_int_equal(ask(f, in, &c, &err), AZ_OK);
	assert_true(az_str_eqc(c.uid, "alice"));
	/* only this machine asks */
	in.host = AZ_S("azlon.example.org");
	assert_int_equal(ask(f, in, &c, &err), AZ_EPERM);
	in.host = AZ_S("localhost");
	in.forwarded = true;
	assert_int_equal(ask(f, in, &c, &err), AZ_EPERM);
	free(text);
	az_buf_release(&t);
	/* claims are looked at all the same, and real tokens are none here */
	in = (struct az_auth_in){.host = AZ_S("127.0.0.1")};
	for (int i = 0; i < 2; i++) {
		token_of(i ? key1 : NULL, i ? AZ_S(HEAD) : AZ_S("{\"alg\":\"none\"}"),
		    i ? AZ_S(GOOD) : AZ_S("{\"sub\":\"alice\"}"), &t);
		assert_true(asprintf(&text, "Bearer %s", t.p) > 0);
		in.authorization = az_str_c(text);
		assert_int_equal(ask(f, in, &c, &err), AZ_EAUTH);
		free(text);
		az_buf_release(&t);
	}
	assert_int_equal(http_peer_requests(f->peer), 0);
	/* where it does not start */
	o.emulator = true;
	o.external_url = "https://azlon.example.org";
	assert_int_equal(az_auth_open(&o, &au, &err), AZ_EINVAL);
	assert_non_null(strstr(err.text, "EXTERNAL_BACKEND_URL"));
	o.external_url = NULL;
	o.project = "azlon";
	assert_int_equal(az_auth_open(&o, &au, &err), AZ_EINVAL);
	assert_non_null(strstr(err.text, "demo-"));
	assert_null(au);
}

static char *
api_key(struct fix *f, const char *user, unsigned scopes, int64_t expires_s, struct az_str *id)
{
	struct az_buf b;
	struct az_err err;
	char *text;

	az_buf_init(&b, 200);
	az_buf_addc(&b, "Bearer ");
	if (az_apikey_create(f->dir,
		&(struct az_apikey){.user = az_str_c(user),
		    .scopes = scopes,
		    .created_s = NOW,
		    .expires_s = expires_s},
		f->a, id, &b, &err))
		fail_msg("%s", err.text);
	text = az_arena_cstr(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return text;
}

static void
api_keys_beside_id_tokens(void **state)
{
	struct fix *f = *state;
	struct az_str id, bid;
	char *k = api_key(f, "alice", AZ_SCOPE_RUNS_READ | AZ_SCOPE_FILES_READ, 0, &id);
	char *late = api_key(f, "alice", AZ_SCOPE_ALL, NOW, &bid);
	char *wrong = az_arena_cstr(f->a, az_str_c(k));
	struct az_caller c;
	struct az_err err;

	assert_int_equal(
	    ask(f, (struct az_auth_in){.authorization = az_str_c(k)}, &c, &err), AZ_OK);
	assert_true(az_str_eqc(c.uid, "alice"));
	assert_int_equal(c.scopes, AZ_SCOPE_RUNS_READ | AZ_SCOPE_FILES_READ);
	assert_string_equal(header(f, late), "token_expired");
	/* one character of the secret; one of the id; one more; none */
	wrong[strlen(wrong) - 1] = wrong[strlen(wrong) - 1] == 'a' ? 'b' : 'a';
	assert_string_equal(header(f, wrong), "token_invalid");
	wrong = az_arena_cstr(f->a, az_str_c(k));
	wrong[11] = wrong[11] == 'a' ? 'b' : 'a';
	assert_string_equal(header(f, wrong), "token_invalid");
	assert_string_equal(header(f, az_arena_printf(f->a, "%sa", k)), "token_invalid");
	assert_string_equal(header(f, "Bearer azk_"), "token_invalid");
	assert_string_equal(header(f, "Bearer AZK_x"), "token_invalid");
	/* revoked between two requests */
	assert_int_equal(az_apikey_revoke(f->dir, id, NOW, NULL), AZ_OK);
	assert_string_equal(header(f, k), "token_invalid");
	/* a late key with a wrong secret is not told apart */
	late[strlen(late) - 1] = late[strlen(late) - 1] == 'a' ? 'b' : 'a';
	assert_string_equal(header(f, late), "token_invalid");
	/* keys are not signed in with */
	k = api_key(f, "bob", AZ_SCOPE_ALL, NOW + 1, &id);
	assert_int_equal(az_auth_sign_out(f->dir, AZ_S("bob"), NOW, NULL), AZ_OK);
	assert_string_equal(header(f, k), "bob");
}

static void
api_keys_alone(void **state)
{
	struct fix *f = *state;
	struct az_str id;
	char *k = api_key(f, "u", AZ_SCOPE_ALL, 0, &id);

	assert_string_equal(header(f, k), "u");
	assert_string_equal(header(f, NULL), "unauthorized");
	assert_string_equal(bearer(f, key1, HEAD, GOOD), "token_invalid");
	assert_int_equal(http_peer_requests(f->peer), 0);
}

static int
begin(void **state)
{
	(void)state;
	key1 = token_key_new(2048);
	key2 = token_key_new(2048);
	return 0;
}

static int
finish(void **state)
{
	(void)state;
	token_key_free(key1);
	token_key_free(key2);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_id_token_says_who_calls),
	    TEST(headers_that_are_none),
	    TEST(who_was_refused_learns_no_more_than_needed),
	    TEST(a_subject_with_a_bell_in_it),
	    TEST(wrong_algorithms_cost_no_fetch),
	    TEST(signed_out),
	    TEST(without_keys_or_with_half_a_choice),
	    TEST(api_keys_beside_id_tokens),
	    cmocka_unit_test_setup_teardown(the_emulators_tokens, setup_emulator, teardown),
	    cmocka_unit_test_setup_teardown(api_keys_alone, setup_keys, teardown),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
