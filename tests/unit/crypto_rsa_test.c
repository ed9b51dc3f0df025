/* RS256 and nothing else: keys out of certificates and numbers, signatures of one length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "token_maker.h"

static struct token_key *key, *other;

static int
begin(void **state)
{
	(void)state;
	key = token_key_new(2048);
	other = token_key_new(2048);
	return key && other ? 0 : -1;
}

static int
finish(void **state)
{
	(void)state;
	token_key_free(key);
	token_key_free(other);
	return 0;
}

static struct az_rsa *
of_cert(struct token_key *k)
{
	struct az_rsa *r;
	struct az_err err = AZ_ERR_INIT;

	if (az_rsa_from_cert(az_str_c(token_key_cert(k)), &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static void
right_signatures_only(void **state)
{
	struct az_rsa *r = of_cert(key), *o = of_cert(other);
	struct az_str text = AZ_S("what is signed");
	struct az_buf sig;

	(void)state;
	az_buf_init(&sig, AZ_KIB(4));
	token_sign(key, "RS256", text, &sig);
	assert_true(az_rs256_ok(r, text, az_buf_str(&sig)));
	assert_false(az_rs256_ok(o, text, az_buf_str(&sig)));
	assert_false(az_rs256_ok(r, AZ_S("what is signeD"), az_buf_str(&sig)));
	/* a byte less, a byte more, none */
	assert_false(az_rs256_ok(r, text, az_str_sub(az_buf_str(&sig), 0, sig.n - 1)));
	assert_false(az_rs256_ok(r, text, AZ_S("")));
	sig.p[sig.n - 1] ^= 1;
	assert_false(az_rs256_ok(r, text, az_buf_str(&sig)));
	sig.p[sig.n - 1] ^= 1;
	az_buf_addch(&sig, 0);
	assert_false(az_rs256_ok(r, text, az_buf_str(&sig)));
	/* the same key with another padding or digest */
	az_buf_reset(&sig);
	token_sign(key, "PS256", text, &sig);
	assert_false(az_rs256_ok(r, text, az_buf_str(&sig)));
	az_buf_reset(&sig);
	token_sign(key, "RS512", text, &sig);
	assert_false(az_rs256_ok(r, text, az_buf_str(&sig)));
	az_buf_release(&sig);
	az_rsa_free(r);
	az_rsa_free(o);
}

static void
the_same_key_out_of_numbers(void **state)
{
	struct az_str text = AZ_S("x");
	struct az_buf n, e, sig;
	struct az_rsa *r;

	(void)state;
	az_buf_init(&n, AZ_KIB(2));
	az_buf_init(&e, AZ_KIB(2));
	az_buf_init(&sig, AZ_KIB(4));
	token_key_numbers(key, &n, &e);
	assert_int_equal(az_rsa_from_numbers(az_buf_str(&n), az_buf_str(&e), &r, NULL), AZ_OK);
	token_sign(key, "RS256", text, &sig);
	assert_true(az_rs256_ok(r, text, az_buf_str(&sig)));
	az_rsa_free(r);
	assert_int_equal(az_rsa_from_numbers(az_buf_str(&n), AZ_S("\x01"), &r, NULL), AZ_EINVAL);
	assert_null(r);
	assert_int_equal(az_rsa_from_numbers(az_buf_str(&n), AZ_S("\x04"), &r, NULL), AZ_EINVAL);
	assert_int_equal(az_rsa_from_numbers(az_buf_str(&n), AZ_S(""), &r, NULL), AZ_EINVAL);
	assert_int_equal(az_rsa_from_numbers(AZ_S(""), az_buf_str(&e), &r, NULL), AZ_EINVAL);
	assert_int_equal(
	    az_rsa_from_numbers(az_buf_str(&n), AZ_S("123456789"), &r, NULL), AZ_EINVAL);
	/* half a modulus is a short key */
	assert_int_equal(
	    az_rsa_from_numbers(az_str_sub(az_buf_str(&n), 0, n.n / 2), az_buf_str(&e), &r, NULL),
	    AZ_EINVAL);
	for (int i = 0; i < 8; i++)
		az_buf_adds(
		    &n, AZ_S("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
			     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
	assert_int_equal(az_rsa_from_numbers(az_buf_str(&n), az_buf_str(&e), &r, NULL), AZ_EINVAL);
	az_buf_release(&n);
	az_buf_release(&e);
	az_buf_release(&sig);
}

static void
what_is_no_certificate(void **state)
{
	struct token_key *small = token_key_new(1024), *curve = token_key_new(0);
	struct az_str pem = az_str_c(token_key_cert(key));
	static char big[AZ_KIB(20)];
	struct az_rsa *r;

	(void)state;
	assert_int_equal(az_rsa_from_cert(AZ_S(""), &r, NULL), AZ_EINVAL);
	assert_int_equal(az_rsa_from_cert(AZ_S("hello"), &r, NULL), AZ_EINVAL);
	assert_int_equal(az_rsa_from_cert(az_str_sub(pem, 0, pem.n / 2), &r, NULL), AZ_EINVAL);
	assert_int_equal(az_rsa_from_cert(az_str_c(token_key_cert(small)), &r, NULL), AZ_EINVAL);
	assert_int_equal(az_rsa_from_cert(az_str_c(token_key_cert(curve)), &r, NULL), AZ_EINVAL);
	memset(big, 'A', sizeof big);
	assert_int_equal(az_rsa_from_cert(az_str_n(big, sizeof big), &r, NULL), AZ_EINVAL);
	assert_null(r);
	az_rsa_free(NULL);
	token_key_free(small);
	token_key_free(curve);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(right_signatures_only),
	    cmocka_unit_test(the_same_key_out_of_numbers),
	    cmocka_unit_test(what_is_no_certificate),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
