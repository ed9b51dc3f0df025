/* store: what an answer of S3 means, and what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "store/s3.h"

#define KEYS "MINIO_ROOT_USER/MINIO_ROOT_PASSWORD"

static const struct {
	int status;
	const char *code;
	enum s3_next next;
	enum az_code rc;
	const char *says; /* a part of the sentence */
} cases[] = {
    {200, "", S3_DONE, AZ_OK, ""},
    {204, "", S3_DONE, AZ_OK, ""},
    {206, "", S3_DONE, AZ_OK, ""},
    {0, "", S3_RETRY, AZ_EUNAVAIL, "MINIO_ENDPOINT"},
    /* busy */
    {500, "InternalError", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {500, "", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {502, "", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {503, "", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {503, "SlowDown", S3_RETRY, AZ_EUNAVAIL, "SlowDown"},
    {503, "SlowDownRead", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {503, "SlowDownWrite", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {503, "ServerBusy", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {503, "XMinioServerNotInitialized", S3_RETRY, AZ_EUNAVAIL, "starting"},
    {503, "XMinioIAMNotInitialized", S3_RETRY, AZ_EUNAVAIL, "starting"},
    {503, "NeverHeardOfIt", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {429, "TooManyRequests", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {429, "", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {409, "OperationAborted", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {409, "ConditionalRequestConflict", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {200, "InternalError", S3_RETRY, AZ_EUNAVAIL, "busy"},
    {504, "", S3_RETRY, AZ_ETIMEOUT, "in time"},
    {408, "", S3_RETRY, AZ_ETIMEOUT, "in time"},
    {400, "RequestTimeout", S3_RETRY, AZ_ETIMEOUT, "in time"},
    {503, "RequestTimeout", S3_RETRY, AZ_ETIMEOUT, "in time"},
    /* to be mended, once */
    {403, "RequestTimeTooSkewed", S3_FIX_CLOCK, AZ_EUNAVAIL, "clocks"},
    {400, "AuthorizationHeaderMalformed", S3_FIX_REGION, AZ_EUNAVAIL, "AZLON_S3_REGION"},
    {301, "PermanentRedirect", S3_FIX_REGION, AZ_EUNAVAIL, "region"},
    {301, "", S3_FIX_REGION, AZ_EUNAVAIL, "MINIO_ENDPOINT"},
    {307, "TemporaryRedirect", S3_FIX_REGION, AZ_EUNAVAIL, "region"},
    {400, "InvalidRegion", S3_FIX_REGION, AZ_EUNAVAIL, "region"},
    {400, "ExpiredToken", S3_FIX_TOKEN, AZ_EUNAVAIL, "temporary credentials"},
    {400, "InvalidToken", S3_FIX_TOKEN, AZ_EUNAVAIL, "temporary credentials"},
    {403, "InvalidTokenId", S3_FIX_TOKEN, AZ_EUNAVAIL, "temporary credentials"},
    /* an operator's */
    {403, "InvalidAccessKeyId", S3_GIVE_UP, AZ_EUNAVAIL, "check " KEYS},
    {404, "XAdminUserNotFound", S3_GIVE_UP, AZ_EUNAVAIL, "check " KEYS},
    {403, "SignatureDoesNotMatch", S3_GIVE_UP, AZ_EUNAVAIL, "secret key"},
    {403, "SignatureDoesNotMatch", S3_GIVE_UP, AZ_EUNAVAIL, KEYS},
    {403, "AccessDenied", S3_GIVE_UP, AZ_EUNAVAIL, KEYS},
    {403, "", S3_GIVE_UP, AZ_EUNAVAIL, KEYS},
    {401, "", S3_GIVE_UP, AZ_EUNAVAIL, KEYS},
    {507, "XMinioStorageFull", S3_GIVE_UP, AZ_EUNAVAIL, "full"},
    {507, "", S3_GIVE_UP, AZ_EUNAVAIL, "full"},
    {403, "QuotaExceeded", S3_GIVE_UP, AZ_EUNAVAIL, "quota"},
    {400, "XMinioAdminBucketQuotaExceeded", S3_GIVE_UP, AZ_EUNAVAIL, "quota"},
    {503, "XMinioStorageFull", S3_GIVE_UP, AZ_EUNAVAIL, "full"},
    /* the caller's */
    {404, "NoSuchKey", S3_GIVE_UP, AZ_ENOTFOUND, "not there"},
    {404, "NoSuchBucket", S3_GIVE_UP, AZ_ENOTFOUND, "bucket"},
    {404, "NoSuchUpload", S3_GIVE_UP, AZ_ENOTFOUND, "NoSuchUpload"},
    {404, "", S3_GIVE_UP, AZ_ENOTFOUND, "not there"},
    {412, "PreconditionFailed", S3_GIVE_UP, AZ_EPRECOND, ""},
    {412, "", S3_GIVE_UP, AZ_EPRECOND, ""},
    {416, "InvalidRange", S3_GIVE_UP, AZ_ERANGE, ""},
    {416, "", S3_GIVE_UP, AZ_ERANGE, ""},
    {409, "XMinioObjectExistsAsDirectory", S3_GIVE_UP, AZ_ECONFLICT, "in the way"},
    {400, "XMinioParentIsObject", S3_GIVE_UP, AZ_ECONFLICT, "in the way"},
    {409, "ExistingObjectIsDirectory", S3_GIVE_UP, AZ_ECONFLICT, "in the way"},
    {409, "ObjectParentIsFile", S3_GIVE_UP, AZ_ECONFLICT, "in the way"},
    /* nonsense */
    {400, "InvalidArgument", S3_GIVE_UP, AZ_EUPSTREAM, "InvalidArgument"},
    {400, "", S3_GIVE_UP, AZ_EUPSTREAM, "no code"},
    {405, "", S3_GIVE_UP, AZ_EUPSTREAM, "405"},
    {409, "BucketAlreadyExists", S3_GIVE_UP, AZ_EUPSTREAM, "BucketAlreadyExists"},
    {501, "NotImplemented", S3_GIVE_UP, AZ_EUPSTREAM, "501"},
    {200, "InvalidPart", S3_GIVE_UP, AZ_EUPSTREAM, "InvalidPart"},
    {100, "", S3_GIVE_UP, AZ_EUPSTREAM, "MINIO_ENDPOINT"},
    {304, "", S3_GIVE_UP, AZ_EUPSTREAM, "304"},
};

static struct s3_reply
reply(int status, const char *code)
{
	struct s3_reply r = {.status = status, .tries = 3};

	snprintf(r.error.code, sizeof r.error.code, "%s", code);
	snprintf(r.error.message, sizeof r.error.message, "the user's words");
	return r;
}

static void
answers_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct s3_reply r = reply(cases[i].status, cases[i].code);
		struct az_err err = AZ_ERR_INIT;
		enum az_code rc = s3_rc(&r, "store.test", &err);

		if (rc != cases[i].rc || !strstr(err.text, cases[i].says) ||
		    s3_next(cases[i].status, cases[i].code) != cases[i].next)
			fail_msg("%d %s: %d, next %d, \"%s\"", cases[i].status, cases[i].code,
			    (int)rc, (int)s3_next(cases[i].status, cases[i].code), err.text);
		assert_int_equal(s3_rc(&r, "store.test", NULL), rc);
		if (!rc)
			continue;
		assert_int_equal(err.code, rc);
		assert_int_equal(err.sys, cases[i].status);
		assert_string_equal(err.op, "store.test");
		assert_string_equal(err.reason, strstr(err.text, "full") ? "store_full" : "");
		assert_null(strstr(err.text, "words"));
		assert_true(strlen(err.text) < sizeof err.text - 1); /* not cut */
	}
}

static void
the_longest_code_leaves_the_sentence_whole(void **state)
{
	char code[64];

	(void)state;
	memset(code, 'A', sizeof code - 1);
	code[sizeof code - 1] = '\0';
	for (int status = 300; status < 600; status++) {
		struct s3_reply r = reply(status, code);
		struct az_err err = AZ_ERR_INIT;

		r.tries = 100;
		assert_int_not_equal(s3_rc(&r, "store.test", &err), AZ_OK);
		assert_true(strlen(err.text) < sizeof err.text - 1);
	}
}

static void
a_code_that_is_no_word_is_not_shown(void **state)
{
	const char *odd[] = {"<b>", "a b", "x\ny", "a\xc3\xa4", "a=\"b\""};

	(void)state;
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		struct s3_reply r = reply(400, odd[i]);
		struct az_err err = AZ_ERR_INIT;

		assert_int_equal(s3_rc(&r, "store.test", &err), AZ_EUPSTREAM);
		assert_null(strstr(err.text, odd[i]));
		assert_non_null(strstr(err.text, "no code"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_are_understood),
	    cmocka_unit_test(the_longest_code_leaves_the_sentence_whole),
	    cmocka_unit_test(a_code_that_is_no_word_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
