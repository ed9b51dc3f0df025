/* What the S3 adapter makes of refusals while it finds out about conditional PUT. */
#include "s3_fixture.h"

#define EMPTY "Content-Length: 0\r\n\r\n"

static const char *refusal; /* of a PUT with a condition, NULL = it works */

/* As if the probe's object were there once it was put. */
static const struct http_peer_step *
server(void *arg, const char *r, int i)
{
	static const struct http_peer_step
	    ok = {.bytes = "HTTP/1.1 200 OK\r\nETag: \"t\"\r\n" EMPTY},
	    missing = {.bytes = "HTTP/1.1 404 Not Found\r\n" EMPTY},
	    changed = {.bytes = "HTTP/1.1 412 Precondition Failed\r\n" EMPTY},
	    nothing_listed = {.bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
				       "<ListBucketResult><IsTruncated>false</IsTruncated>"
				       "</ListBucketResult>",
		.then = HTTP_THEN_CLOSE};
	static struct http_peer_step step;
	static char of[100]; /* the last name that was put */
	const char *eol = strstr(r, " HTTP/1.1");
	size_t n = eol ? (size_t)(eol - r) : 0;
	bool again = n < sizeof of && n && !strncmp(of, r, n) && !of[n];

	(void)arg, (void)i;
	if (strstr(r, "list-type="))
		return &nothing_listed;
	if (!strncmp(r, "GET", 3) || !strncmp(r, "HEAD", 4))
		return &missing;
	if (strncmp(r, "PUT", 3) || !(strstr(r, "if-none-match:") || strstr(r, "if-match:")))
		return &ok;
	if (refusal) {
		step = (struct http_peer_step){.bytes = refusal, .then = HTTP_THEN_CLOSE};
		return &step;
	}
	snprintf(of, sizeof of, "%.*s", (int)n, r);
	return again && !strstr(r, "if-match: \"t\"") ? &changed : &ok;
}

static int
setup_open(void **state)
{
	refusal = NULL;
	if (setup(state))
		return -1;
	against_picked(server);
	return 0;
}

static enum az_code
put(void)
{
	return az_store_put_if(
	    store, &bucket, AZ_S("m"), (struct az_str){NULL, 0}, AZ_S("mine"), &err);
}

static int
can(void)
{
	return ((struct s3 *)store)->conditional;
}

#define SAYS(status, code)                                                                         \
	"HTTP/1.1 " status " No\r\nConnection: close\r\n\r\n<Error><Code>" code "</Code></Error>"

static void
a_refusal_of_the_condition_is_an_answer(void **state)
{
	static const char *const says[] = {SAYS("501", "NotImplemented"),
	    SAYS("400", "NotImplemented"), SAYS("400", "InvalidArgument"),
	    SAYS("400", "InvalidRequest"), ("HTTP/1.1 501 No\r\n" EMPTY)};

	(void)state;
	for (size_t i = 0; i < N(says); i++) {
		((struct s3 *)store)->conditional = S3_UNKNOWN;
		refusal = says[i];
		assert_int_equal(put(), AZ_OK);
		assert_int_equal(can(), S3_NO);
	}
}

/* It says nothing about the condition: the next writer finds out. */
static void
any_other_refusal_leaves_it_open(void **state)
{
	static const struct {
		const char *says;
		enum az_code rc;
	} t[] = {{SAYS("400", "RequestTimeout"), AZ_ETIMEOUT},
	    {SAYS("400", "ExpiredToken"), AZ_EUNAVAIL},
	    {SAYS("400", "InvalidAccessKeyId"), AZ_EUNAVAIL},
	    {"HTTP/1.1 400 Bad Request\r\n" EMPTY, AZ_EUPSTREAM},
	    {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>nginx</html>",
		AZ_EUPSTREAM}};

	(void)state;
	for (size_t i = 0; i < N(t); i++) {
		refusal = t[i].says;
		assert_int_equal(put(), t[i].rc);
		assert_int_equal(can(), S3_UNKNOWN);
	}
	refusal = NULL;
	assert_int_equal(put(), AZ_OK);
	assert_int_equal(can(), S3_YES);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_open, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_refusal_of_the_condition_is_an_answer), T(any_other_refusal_leaves_it_open)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
