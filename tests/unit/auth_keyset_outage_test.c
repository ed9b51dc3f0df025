/* The keys of ID tokens when their source is away or says nonsense, and when the state directory
   does: kept up to a limit, then nobody. */
#include "auth_keyset_fixture.h"

static void
an_outage_is_bridged_up_to_a_limit(void **state)
{
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	source_is_broken();
	atomic_fetch_add(&now_s, 1001);
	assert_string_equal(check(h->ks, "k1", key1), "");
	fetched(h, 2);
	/* a key it never saw may be right: that is not to be told now */
	assert_string_equal(check(h->ks, "k2", key2), "identity");
	assert_string_equal(check(h->ks, "k1", key2), "signature");
	fetched(h, 2);
	atomic_store(&now_s, T0 + 1000 + DAY - 1);
	fetched_meanwhile(h, 3);
	/* past the limit nobody */
	atomic_store(&now_s, T0 + 1000 + DAY + 61);
	assert_string_equal(check(h->ks, "k1", key1), "identity");
	fetched(h, 4);
	/* and at once again when the source is back */
	source_has(&(struct token_named){"k1", key1}, 1, "");
	atomic_fetch_add(&now_s, KEYSET_GAP_NONE_S);
	assert_string_equal(check(h->ks, "k1", key1), "");
	fetched(h, 5);
}

static void
without_any_key_nobody(void **state)
{
	struct host *h = *state;

	source_is_broken();
	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "identity");
	for (int i = 0; i < 100; i++)
		assert_string_equal(check(h->ks, "k1", key1), "identity");
	fetched(h, 1);
	atomic_fetch_add(&now_s, KEYSET_GAP_NONE_S);
	assert_string_equal(check(h->ks, "k1", key1), "identity");
	fetched(h, 2);
	source_has(&(struct token_named){"k1", key1}, 1, "");
	atomic_fetch_add(&now_s, KEYSET_GAP_NONE_S);
	assert_string_equal(check(h->ks, "k1", key1), "");
}

static void
answers_that_are_no_keys(void **state)
{
	static const struct {
		const char *status, *body;
	} bad[] = {{"200 OK", "{}"}, {"200 OK", ""}, {"200 OK", "<html>"}, {"200 OK", "[]"},
	    {"200 OK", "{\"k1\":\"no certificate\"}"}, {"200 OK", "{\"k1\":7}"},
	    {"200 OK", "{\"keys\":[]}"}, {"200 OK", "{\"keys\":[{\"kid\":\"k1\",\"kty\":\"EC\"}]}"},
	    {"200 OK", "{\"keys\":[{\"kid\":\"k1\",\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}]}"},
	    {"302 Found", "{}"}, {"404 Not Found", "{}"}, {"500 Oops", "{}"}};
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		source_says(bad[i].status, "Location: /other\r\n", az_str_c(bad[i].body));
		atomic_fetch_add(&now_s, 1001);
		/* the last good ones stay */
		assert_string_equal(check(h->ks, "k1", key1), "");
		fetched_meanwhile(h, (int)i + 2);
	}
}

static void
a_source_that_hangs_up(void **state)
{
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	pthread_mutex_lock(&mu);
	then = HTTP_THEN_RESET;
	answer_n = 20;
	pthread_mutex_unlock(&mu);
	atomic_fetch_add(&now_s, 1001);
	assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "k2", key2), "identity");
}

static void
closing_ends_a_fetch_that_hangs(void **state)
{
	struct host *h = *state;

	pthread_mutex_lock(&mu);
	then = HTTP_THEN_STALL;
	answer_n = 20;
	pthread_mutex_unlock(&mu);
	process(h, &h->ks);
	fetched(h, 1);
	keyset_close(h->ks);
	h->ks = NULL;
}

static void
put(const struct host *h, const char *bytes, mode_t mode)
{
	char path[100];
	int fd;

	snprintf(path, sizeof path, "%s/firebase.json", h->dir);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(az_write_all(fd, bytes, strlen(bytes)), 0);
	fchmod(fd, mode);
	close(fd);
}

static void
shared_file(
    const struct host *h, const char *url, int64_t at, struct token_key *k, struct az_buf *b)
{
	struct az_buf certs;
	struct az_jw w;

	(void)h;
	az_buf_init(b, AZ_KIB(64));
	az_buf_init(&certs, AZ_KIB(32));
	token_certs(&(struct token_named){"k2", k}, 1, &certs);
	az_jw_init(&w, b);
	az_jw_obj(&w);
	az_jw_kc(&w, "url", url);
	az_jw_ki(&w, "fetched_s", at);
	az_jw_ki(&w, "life_s", 1000);
	az_jw_ks(&w, "body", az_buf_str(&certs));
	az_jw_end(&w, '}');
	az_buf_release(&certs);
}

/* What lies in the state directory and is not ours counts for nothing. */
static void
shared_files_that_are_not_believed(void **state)
{
	struct host *h = *state;
	struct az_buf b;

	for (int i = 0; i < 6; i++) {
		shared_file(h, i == 0 ? "https://elsewhere.example/" : h->url,
		    i == 1 ? T0 + 3600 : T0, key2, &b);
		put(h,
		    i == 2   ? ""
		    : i == 3 ? "{\"url\":"
		    : i == 4 ? "[]"
			     : b.p,
		    i == 5 ? 0666 : 0640);
		process(h, &h->ks);
		assert_string_equal(check(h->ks, "k1", key1), "");
		assert_string_not_equal(check(h->ks, "k2", key2), "");
		keyset_close(h->ks);
		h->ks = NULL;
		az_buf_release(&b);
		atomic_fetch_add(&now_s, 120);
	}
	/* the same file, well */
	shared_file(h, h->url, atomic_load(&now_s), key2, &b);
	put(h, b.p, 0640);
	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k2", key2), "");
	az_buf_release(&b);
}

static void
a_state_directory_that_takes_nothing(void **state)
{
	struct host *h = *state;
	char there[64];

	strcpy(there, h->dir);
	strcpy(h->dir, "/nonexistent/auth");
	process(h, &h->ks);
	strcpy(h->dir, there);
	assert_string_equal(check(h->ks, "k1", key1), "");
	assert_string_equal(check(h->ks, "k9", key2), "kid");
}

static void
a_clock_that_was_set_back(void **state)
{
	struct host *h = *state;

	process(h, &h->ks);
	assert_string_equal(check(h->ks, "k1", key1), "");
	atomic_fetch_sub(&now_s, 3 * DAY);
	assert_string_equal(check(h->ks, "k1", key1), "");
	fetched(h, 2);
}

static void
addresses_that_are_too_long(void **state)
{
	struct host *h = *state;
	static char url[3000];
	struct az_err err = AZ_ERR_INIT;

	memset(url, 'a', sizeof url - 1);
	assert_int_equal(keyset_open(
			     &(struct keyset_opts){
				 .http = h->http, .url = url, .dir = h->dir, .now_s = clock_now},
			     &h->ks, &err),
	    AZ_EINVAL);
	assert_null(h->ks);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_outage_is_bridged_up_to_a_limit),
	    TEST(without_any_key_nobody),
	    TEST(answers_that_are_no_keys),
	    TEST(a_source_that_hangs_up),
	    TEST(closing_ends_a_fetch_that_hangs),
	    TEST(shared_files_that_are_not_believed),
	    TEST(a_state_directory_that_takes_nothing),
	    TEST(a_clock_that_was_set_back),
	    TEST(addresses_that_are_too_long),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
