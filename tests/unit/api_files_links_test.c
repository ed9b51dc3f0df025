/* Signed links: what they let in, and nothing else. */
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "files_fixture.h"

static struct az_store_ops link_ops;

static int
post(struct fixture *f, const char *user, const char *path, const char *body)
{
	return call(f, user, "POST", path, NULL, NULL, "application/json", az_str_c(body));
}

/* A request without identity. */
static int
anybody(struct fixture *f, const char *method, const char *path, const char *query)
{
	const char *params[] = {"HTTP_HOST=localhost", NULL};
	struct fcgi_req q = {.method = method, .path = path, .query = query, .params = params};

	fcgi_peer_release(&f->r);
	memset(&f->r, 0, sizeof f->r);
	assert_true(fcgi_peer_call(f->web.path, &q, &f->r));
	return f->r.status;
}

/* The link of the last answer: decoded path, as nginx hands it over, and query. */
static void
split(struct fixture *f, char **path, char **query)
{
	struct az_str url = az_json_gets(json(f), "url"), p;
	struct az_buf b;

	assert_true(az_str_cut(&url, '?', &p));
	assert_non_null(url.p);
	az_buf_init(&b, 4096);
	assert_true(az_pct_decode(&b, p, false));
	*path = az_arena_cstr(f->a, az_buf_str(&b));
	*query = az_arena_cstr(f->a, url);
	az_buf_release(&b);
}

static char *
swapped(struct fixture *f, const char *query, const char *name, const char *value)
{
	const char *at = strstr(query, name), *end;

	assert_non_null(at);
	end = at + strcspn(at, "&");
	return az_arena_printf(f->a, "%.*s%s=%s%s", (int)(at - query), query, name, value, end);
}

static void
test_link_reads_one_file(void **state)
{
	struct fixture *f = *state;
	char *path, *query;
	int64_t at;

	tree(f, DONE, -1, PATHS("d/a b+%.txt", "d/other"));
	assert_int_equal(
	    post(f, "alice", "/files/" DONE "/links", "{\"path\":\"d/a b+%.txt\"}"), 201);
	split(f, &path, &query);
	assert_string_equal(path, "/files/" DONE "/d/a b+%.txt");
	assert_true(az_rfc3339_parse(az_json_gets(json(f), "expires_at"), &at));
	assert_true(at > az_wall_ms() + 3500000 && at <= az_wall_ms() + 3600000);
	assert_string_equal(header(f, "Cache-Control"), "private, no-store");
	assert_int_equal(anybody(f, "GET", path, query), 200);
	assert_string_equal(f->r.body, "d/a b+%.txt");
	assert_string_equal(header(f, "Cross-Origin-Resource-Policy"), "cross-origin");
	assert_int_equal(anybody(f, "HEAD", path, query), 200);
	/* a link is who it was made for, whoever holds it */
	assert_int_equal(call(f, "bob", "GET", path, query, NULL, NULL, AZ_S("")), 200);
	/* and it is for this file, reading, and nothing else */
	assert_int_equal(anybody(f, "GET", "/files/" DONE "/d/other", query), 403);
	check_problem(f, "link_invalid", "link");
	assert_int_equal(anybody(f, "GET", "/files/" DONE, query), 404);
	assert_int_equal(anybody(f, "DELETE", path, query), 404);
	assert_int_equal(anybody(f, "GET", path, ""), 404);
	assert_int_equal(
	    anybody(f, "GET", path, az_arena_printf(f->a, "%s&iteration=1", query)), 403);
	assert_int_equal(anybody(f, "GET", path, swapped(f, query, "exp", "99999999999")), 403);
	assert_int_equal(anybody(f, "GET", path, swapped(f, query, "exp", "x")), 403);
	assert_int_equal(anybody(f, "GET", path, swapped(f, query, "sig", "")), 403);
	assert_int_equal(anybody(f, "GET", path, "sig=AAAA"), 403);
	check_problem(f, "link_invalid", "link");
	/* its owner too is judged by the link it used */
	assert_int_equal(get(f, path, "exp=1&sig=AAAA", NULL), 403);
	assert_int_equal(
	    anybody(f, "GET", path, az_arena_printf(f->a, "%s&format=zip", query)), 404);
}

static void
test_link_expires(void **state)
{
	struct fixture *f = *state;
	int64_t exp = az_wall_ms() / 1000 - 1;
	char *text = az_arena_printf(f->a, DONE "%c-1 %lld a", 0, (long long)exp);
	struct az_str secret = az_str_n((const char *)f->api.secrets.key[0], AZ_SECRET_BYTES);
	unsigned char mac[32], key[32];
	char *path, *query;
	struct az_buf q;
	struct az_err err;

	/* one that was made an hour and a second ago */
	tree(f, DONE, -1, PATHS("a"));
	assert_int_equal(
	    az_hkdf(secret, AZ_S("azlon"), AZ_S("links"), key, sizeof key, &err), AZ_OK);
	az_hmac_sha256(
	    az_str_n(key, 32), az_str_n(text, sizeof DONE + strlen(text + sizeof DONE)), mac);
	az_buf_init(&q, 200);
	az_buf_addf(&q, "exp=%lld&sig=", (long long)exp);
	az_base64url(&q, az_str_n(mac, 32));
	assert_int_equal(anybody(f, "GET", "/files/" DONE "/a", q.p), 403);
	check_problem(f, "link_expired", "expired");
	az_buf_release(&q);
}

static void
test_link_outlives_a_change_of_the_secret(void **state)
{
	struct fixture *f = *state;
	struct az_secrets *s = &f->api.secrets;
	char *path, *query, *later;

	tree(f, DONE, -1, PATHS("a"));
	assert_int_equal(post(f, "alice", "/files/" DONE "/links", "{\"path\":\"a\"}"), 201);
	split(f, &path, &query);
	/* the former one is believed beside the new one, which signs */
	memcpy(s->key[1], s->key[0], AZ_SECRET_BYTES);
	s->key[0][0] ^= 1;
	s->n = 2;
	assert_int_equal(anybody(f, "GET", path, query), 200);
	assert_int_equal(post(f, "alice", "/files/" DONE "/links", "{\"path\":\"a\"}"), 201);
	split(f, &path, &later);
	assert_string_not_equal(query, later);
	/* until it is taken away */
	s->n = 1;
	assert_int_equal(anybody(f, "GET", path, later), 200);
	assert_int_equal(anybody(f, "GET", path, query), 403);
	check_problem(f, "link_invalid", "link");
}

static void
test_link_of_an_iteration(void **state)
{
	struct fixture *f = *state;
	char *path, *query;

	tree(f, DONE, 1, PATHS("a", "gone"));
	tree(f, DONE, -1, PATHS("a"));
	assert_int_equal(
	    post(f, "alice", "/files/" DONE "/links", "{\"path\":\"gone\",\"iteration\":1}"), 201);
	split(f, &path, &query);
	assert_int_equal(anybody(f, "GET", path, query), 200);
	assert_string_equal(f->r.body, "gone");
	assert_int_equal(anybody(f, "GET", path, swapped(f, query, "iteration", "2")), 403);
	assert_int_equal(post(f, "alice", "/files/" DONE "/links", "{\"path\":\"gone\"}"), 404);
}

static void
test_links_of_sets_know_their_owner(void **state)
{
	struct fixture *f = *state;
	char *path, *query;

	for (const char *const *who = PATHS("alice", "bob"); *who; who++)
		assert_int_equal(call(f, *who, "PUT", "/files/inputs/default/x.txt", NULL, NULL,
				     NULL, az_str_c(*who)),
		    201);
	assert_int_equal(
	    post(f, "alice", "/files/inputs/default/links", "{\"path\":\"x.txt\",\"ttl_s\":1000}"),
	    201);
	split(f, &path, &query);
	assert_string_equal(path, "/files/inputs/default/x.txt");
	assert_int_equal(anybody(f, "GET", path, query), 200);
	assert_string_equal(f->r.body, "alice");
	assert_int_equal(call(f, "bob", "GET", path, query, NULL, NULL, AZ_S("")), 200);
	assert_string_equal(f->r.body, "alice");
	assert_int_equal(
	    anybody(f, "GET", path, swapped(f, query, "bucket", az_bucket_of(AZ_S("bob")).name)),
	    403);
	assert_int_equal(anybody(f, "GET", path, swapped(f, query, "bucket", "")), 403);
	assert_int_equal(post(f, "carol", "/files/inputs/default/links", "{\"path\":\"x\"}"), 404);
	assert_int_equal(call(f, "alice", "DELETE", path, NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(anybody(f, "GET", path, query), 404);
}

static void
test_who_may_make_links(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *says;
	} t[] = {
	    {"{}", 422, "Field required"},
	    {"{\"path\":1}", 422, "string_type"},
	    {"{\"path\":\"a\",\"ttl_s\":0}", 422, "ttl_s"},
	    {"{\"path\":\"a\",\"ttl_s\":604801}", 422, "ttl_s"},
	    {"{\"path\":\"a\",\"ttl_s\":\"60\"}", 422, "ttl_s"},
	    {"{\"path\":\"a\",\"iteration\":-1}", 422, "iteration"},
	    {"{\"path\":\"../a\"}", 400, ".."},
	    {"{\"path\":\".azlon/manifest\"}", 400, ""},
	    {"{\"path\":\"b\"}", 404, "nothing"},
	    {"[]", 400, "object"},
	    {"{", 400, ""},
	    {"{\"path\":\"a\",\"ttl_s\":604800}", 201, "url"},
	};
	struct fixture *f = *state;

	tree(f, DONE, -1, PATHS("a", "links"));
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		int got = post(f, "alice", "/files/" DONE "/links", t[i].body);

		if (got != t[i].status || !strstr(f->r.body, t[i].says))
			fail_msg("%s: %d %s", t[i].body, got, f->r.body);
	}
	assert_int_equal(post(f, "bob", "/files/" DONE "/links", "{\"path\":\"a\"}"), 404);
	assert_int_equal(call(f, "alice", "POST", "/files/" DONE "/links", NULL, NULL, "text/plain",
			     AZ_S("{\"path\":\"a\"}")),
	    415);
	/* a file may have that name */
	assert_int_equal(get(f, "/files/" DONE "/links", NULL, NULL), 200);
	assert_string_equal(f->r.body, "links");
	assert_int_equal(post(f, "alice", "/files/" DONE "/a", "{\"path\":\"a\"}"), 405);
	assert_string_equal(header(f, "Allow"), "GET, HEAD, DELETE");
	assert_int_equal(post(f, "alice", "/files/inputs/default/a", "{}"), 405);
	assert_string_equal(header(f, "Allow"), "PUT, GET, HEAD, DELETE");
}

/* Dev identity believes callers, so not even a link comes in from elsewhere. */
static void
test_host_rules_stay(void **state)
{
	const char *host[] = {"HTTP_HOST=evil.example", NULL};
	const char *proxy[] = {"HTTP_HOST=localhost", "HTTP_X_FORWARDED_FOR=10.0.0.1", NULL};
	struct fixture *f = *state;
	struct fcgi_req q = {.method = "GET"};
	char *path, *query;

	tree(f, DONE, -1, PATHS("a"));
	assert_int_equal(post(f, "alice", "/files/" DONE "/links", "{\"path\":\"a\"}"), 201);
	split(f, &path, &query);
	q.path = path;
	q.query = query;
	for (int i = 0; i < 2; i++) {
		q.params = i ? proxy : host;
		fcgi_peer_release(&f->r);
		memset(&f->r, 0, sizeof f->r);
		assert_true(fcgi_peer_call(f->web.path, &q, &f->r));
		assert_int_equal(f->r.status, 403);
		check_problem(f, "forbidden", "");
	}
}

static enum az_code
store_link(struct az_store *s, const struct az_bucket *b, struct az_str key,
    const struct az_link *l, struct az_buf *out, struct az_err *err)
{
	(void)s, (void)b, (void)err;
	az_buf_addf(out, "https://files.example/%.*s?ttl=%d&type=%s&d=%.*s", AZ_FMT(key), l->ttl_s,
	    l->mime, AZ_FMT(l->disposition));
	return AZ_OK;
}

static void
test_links_as_browsers_reach_us(void **state)
{
	struct fixture *f = *state;
	struct az_str url;

	tree(f, DONE, -1, PATHS("a.html"));
	f->api.external_url = "https://azlon.example/base/";
	assert_int_equal(post(f, "alice", "/files/" DONE "/links", "{\"path\":\"a.html\"}"), 201);
	url = az_json_gets(json(f), "url");
	assert_true(
	    az_str_starts(url, AZ_S("https://azlon.example/base/files/" DONE "/a.html?exp=")));
	/* the store's own, where it has them */
	f->api.store_links = true;
	assert_int_equal(post(f, "alice", "/files/" DONE "/links", "{\"path\":\"a.html\"}"), 201);
	assert_true(
	    az_str_starts(az_json_gets(json(f), "url"), AZ_S("https://azlon.example/base/files/")));
	link_ops = *f->api.store->ops;
	link_ops.link = store_link;
	f->api.store->ops = &link_ops;
	assert_int_equal(
	    post(f, "alice", "/files/" DONE "/links", "{\"path\":\"a.html\",\"ttl_s\":60}"), 201);
	url = az_json_gets(json(f), "url");
	assert_true(az_str_starts(url, AZ_S("https://files.example/" DONE "/.azlon/blobs/")));
	assert_true(az_str_ends(
	    url, AZ_S("?ttl=60&type=text/html; charset=utf-8&d=attachment; filename=\"a.html\"")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    MEM(test_link_reads_one_file),
	    MEM(test_link_expires),
	    MEM(test_link_outlives_a_change_of_the_secret),
	    MEM(test_link_of_an_iteration),
	    MEM(test_links_of_sets_know_their_owner),
	    MEM(test_who_may_make_links),
	    MEM(test_host_rules_stay),
	    MEM(test_links_as_browsers_reach_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
