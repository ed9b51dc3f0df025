/* Out of memory while a token, a set of keys or the file of API keys is read: AZ_ENOMEM, and
   never a caller, nor half a set. */
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
#include <azlon/path.h>
#include "auth/jwks.h"
#include "auth/jwt.h"
#include "token_maker.h"
#include "torture.h"

enum { NOW = 1800000000 };

static struct token_key *key;
static struct az_buf token, certs, jwk_set;
static char var[64], dir[80], header[200];

static int64_t
now_s(void)
{
	return NOW;
}

static enum az_code
id_token(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	struct jwt_claims c;
	struct jwt t;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = jwt_open(az_buf_str(&token), false, a, &t, err);
	if (!rc)
		rc = jwt_claims(&t, "p", NOW, a, &c, err);
	if (!rc)
		torture_made(c.sub);
	az_arena_free(a);
	return rc;
}

static enum az_code
set_of(struct az_str text, struct az_err *err)
{
	struct jwks *s;
	enum az_code rc = jwks_parse(text, &s, err);

	if (!rc)
		torture_made(s->n == 2 && jwks_find(s, AZ_S("k1")) && jwks_find(s, AZ_S("k2"))
				 ? AZ_S("both")
				 : AZ_S("half"));
	if (!rc)
		jwks_unref(s);
	return rc;
}

static enum az_code
certificates(struct az_err *err)
{
	return set_of(az_buf_str(&certs), err);
}

static enum az_code
numbers(struct az_err *err)
{
	return set_of(az_buf_str(&jwk_set), err);
}

/* Opened, asked and closed: a file that cannot be read for lack of memory lets nobody in. */
static enum az_code
api_key(struct az_err *err)
{
	const struct az_auth_opts o = {.identity = "keys", .var = var, .now_s = now_s};
	const struct az_auth_in in = {.authorization = az_str_c(header)};
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_auth *au = NULL;
	struct az_caller c;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = az_auth_open(&o, &au, err);
	if (!rc)
		rc = az_auth_identify(au, &in, a, &c, err);
	if (rc == AZ_EUNAVAIL)
		rc = az_fail(err, AZ_ENOMEM, "test", "as well");
	if (!rc)
		torture_made(c.uid);
	az_auth_close(au);
	az_arena_free(a);
	return rc;
}

static enum az_code
listed(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct az_apikey *k;
	enum az_code rc;
	size_t n;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	if (!(rc = az_apikey_list(dir, a, &k, &n, err)))
		torture_made(n == 1 ? k->user : AZ_S("other"));
	az_arena_free(a);
	return rc;
}

static enum az_code
revoked(struct az_err *err)
{
	return az_auth_sign_out(dir, AZ_S("bob"), NOW, err);
}

static void
every_allocation_fails_in_turn(void **state)
{
	(void)state;
	torture("id token", id_token);
	torture("certificates", certificates);
	torture("jwk set", numbers);
	torture("api key", api_key);
	torture("list", listed);
	torture("sign-out", revoked);
	/* what was there is there */
	torture("api key again", api_key);
}

static int
begin(void **state)
{
	const struct token_named both[2] = {
	    {"k1", key = token_key_new(2048)}, {"k2", token_key_new(2048)}};
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	const char *made;
	struct az_str id;
	struct az_buf b;

	(void)state;
	az_buf_init(&certs, AZ_KIB(32));
	az_buf_init(&jwk_set, AZ_KIB(32));
	token_certs(both, 2, &certs);
	token_jwks(both, 2, &jwk_set);
	token_of(key, AZ_S("{\"alg\":\"RS256\",\"kid\":\"k1\"}"),
	    AZ_S("{\"iss\":\"https://securetoken.google.com/p\",\"aud\":\"p\",\"sub\":\"alice\","
		 "\"exp\":1800003000,\"iat\":1,\"auth_time\":1}"),
	    &token);
	token_key_free(both[1].key);
	strcpy(var, "/tmp/azlon-auth-XXXXXX");
	assert_non_null(mkdtemp(var));
	assert_int_equal(az_auth_dir(var, a, &made, NULL), AZ_OK);
	snprintf(dir, sizeof dir, "%s", made);
	az_buf_init(&b, 200);
	assert_int_equal(az_apikey_create(dir,
			     &(struct az_apikey){
				 .user = AZ_S("alice"), .scopes = AZ_SCOPE_ALL, .created_s = NOW},
			     a, &id, &b, NULL),
	    AZ_OK);
	snprintf(header, sizeof header, "Bearer %s", b.p);
	az_buf_release(&b);
	az_arena_free(a);
	return 0;
}

static int
finish(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	(void)state;
	token_key_free(key);
	az_buf_release(&token);
	az_buf_release(&certs);
	az_buf_release(&jwk_set);
	assert_int_equal(az_remove_tree(tmp, var + 5), 0);
	close(tmp);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_fails_in_turn)};

	return cmocka_run_group_tests(tests, begin, finish);
}
