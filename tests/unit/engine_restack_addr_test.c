/* What people and the original write as addresses, and what is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "engine/restack_addr.h"

#define KEY "rk_3xample"

static void
resolve(struct restack_addr *r, const struct restack_settings *s)
{
	struct az_err err = AZ_ERR_INIT;

	if (restack_addr_init(r, s, &err))
		fail_msg("%s: %s", s->engine_address ? s->engine_address : "", err.text);
}

static void
grpc_address_is_read_with_leniency(void **state)
{
	static const struct {
		const char *text, *key;
		bool force;
		const char *host;
		int port;
		bool tls;
		const char *authority;
	} v[] = {
	    {NULL, NULL, false, "localhost", 7233, false, "localhost:7233"},
	    {"  ", "", false, "localhost", 7233, false, "localhost:7233"},
	    {"http://restack:7233", NULL, false, "restack", 7233, false, "restack:7233"},
	    {"http://restack:7233/", "None", false, "restack", 7233, false, "restack:7233"},
	    {"restack", " None ", false, "restack", 7233, false, "restack:7233"},
	    {"restack:17233", "  ", false, "restack", 17233, false, "restack:17233"},
	    {" HTTP://restack_1:1 ", NULL, false, "restack_1", 1, false, "restack_1:1"},
	    {"10.0.0.7:7233//", NULL, false, "10.0.0.7", 7233, false, "10.0.0.7:7233"},
	    {"http://restack", NULL, false, "restack", 7233, false, "restack:7233"},
	    {"https://e.example.com", NULL, false, "e.example.com", 443, true, "e.example.com:443"},
	    {"https://e.example.com:7233", NULL, false, "e.example.com", 7233, true,
		"e.example.com:7233"},
	    {"e.example.com", KEY, false, "e.example.com", 443, true, "e.example.com:443"},
	    {"e.example.com:7233", KEY, false, "e.example.com", 7233, true, "e.example.com:7233"},
	    /* a key is never sent in clear */
	    {"http://restack:7233", KEY, false, "restack", 7233, true, "restack:7233"},
	    {"restack", NULL, true, "restack", 443, true, "restack:443"},
	    {"http://restack:7233", NULL, true, "restack", 7233, true, "restack:7233"},
	    {"[::1]", NULL, false, "::1", 7233, false, "[::1]:7233"},
	    {"http://[fd00::7]:17233/", NULL, false, "fd00::7", 17233, false, "[fd00::7]:17233"},
	    {"https://[::ffff:10.0.0.1]", NULL, false, "::ffff:10.0.0.1", 443, true,
		"[::ffff:10.0.0.1]:443"},
	    {"host:65535", NULL, false, "host", 65535, false, "host:65535"},
	};
	struct restack_addr r;

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		resolve(
		    &r, &(struct restack_settings){
			    .engine_address = v[i].text, .api_key = v[i].key, .tls = v[i].force});
		assert_string_equal(r.host, v[i].host);
		assert_int_equal(r.port, v[i].port);
		assert_int_equal(r.tls, v[i].tls);
		assert_string_equal(r.authority, v[i].authority);
		restack_addr_release(&r);
	}
}

/* The sentence names the variable and does not quote what may be a password. */
static void
wrong_addresses_are_refused_by_name(void **state)
{
	static const struct {
		const char *text, *says;
	} v[] = {
	    {"ftp://s3cret", "http://"},
	    {"://s3cret", "http://"},
	    {"http://", "no host"},
	    {"http://:7233", "no host"},
	    {"/s3cret", "no host"},
	    {"host:", "port"},
	    {"host:0", "port"},
	    {"host:65536", "port"},
	    {"host:s3cret", "port"},
	    {"host:-1", "port"},
	    {"user:s3cret@host:7233", "password"},
	    {"http://s3cret@host", "password"},
	    {"::1", "brackets"},
	    {"host:1:2", "brackets"},
	    {"[::1", "bracket"},
	    {"[::1]s3cret", "port"},
	    {"[s3cret]:7233", "host"},
	    {"[abc]", "host"},
	    {"two words", "host"},
	    {"http:// host", "host"},
	    {"h\xc3\xb6st", "host"},
	    {"host?x=s3cret", "host"},
	    {"host/a b", "path"},
	    {"host/s3cret", "path"},
	};
	struct restack_addr r;
	struct az_err err;

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct restack_settings s = {.engine_address = v[i].text};

		assert_int_equal(restack_addr_init(&r, &s, &err), AZ_EINVAL);
		if (!strstr(err.text, "RESTACK_ENGINE_ADDRESS") || !strstr(err.text, v[i].says) ||
		    strstr(err.text, "s3cret"))
			fail_msg("%s: %s", v[i].text, err.text);
		assert_null(r.mem);
		restack_addr_release(&r);
	}
}

static void
each_variable_is_named_when_it_is_wrong(void **state)
{
	static const struct {
		struct restack_settings s;
		const char *var;
	} v[] = {
	    {{.temporal_address = "a:b:c", .engine_address = "fine"}, "RESTACK_TEMPORAL_ADDRESS"},
	    {{.temporal_address = "fine", .engine_address = "a:x"}, "RESTACK_ENGINE_ADDRESS"},
	    {{.api_address = "a:x"}, "RESTACK_ENGINE_API_ADDRESS"},
	    {{.codec_address = "a:x"}, "AZLON_RESTACK_CODEC_ADDRESS"},
	    {{.engine_id = "two words"}, "RESTACK_ENGINE_ID"},
	    {{.engine_id = "user"}, "RESTACK_ENGINE_ID"},
	    {{.engine_id = "user-alice"}, "RESTACK_ENGINE_ID"},
	    {{.engine_id = "x' OR 'y"}, "RESTACK_ENGINE_ID"},
	    {{.engine_id = "a\nx-evil: 1"}, "RESTACK_ENGINE_ID"},
	    {{.ns = "two words"}, "AZLON_RESTACK_NAMESPACE"},
	    {{.queue = "q\x7f"}, "AZLON_RESTACK_QUEUE"},
	    {{.api_key = "a\r\nx-evil: 1"}, "RESTACK_ENGINE_API_KEY"},
	    /* the key would go out in clear */
	    {{.engine_address = "e.example.com",
		 .api_key = KEY,
		 .api_address = "http://e.example.com"},
		"RESTACK_ENGINE_API_ADDRESS"},
	};
	struct restack_addr r;
	struct az_err err;
	char longest[202];

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		assert_int_equal(restack_addr_init(&r, &v[i].s, &err), AZ_EINVAL);
		if (!strstr(err.text, v[i].var) || strstr(err.text, "evil"))
			fail_msg("%s: %s", v[i].var, err.text);
	}
	memset(longest, 'x', 201);
	longest[201] = '\0';
	assert_int_equal(
	    restack_addr_init(&r, &(struct restack_settings){.engine_id = longest}, &err),
	    AZ_EINVAL);
	assert_non_null(strstr(err.text, "RESTACK_ENGINE_ID"));
	longest[200] = '\0';
	resolve(&r, &(struct restack_settings){.engine_id = longest});
	restack_addr_release(&r);
}

static void
http_side_and_blobs_follow(void **state)
{
	static const struct {
		struct restack_settings s;
		const char *api, *codec;
	} v[] = {
	    {{0}, "http://localhost:6233", "http://localhost:12233"},
	    {{.engine_address = "http://restack:7233"}, "http://restack:6233",
		"http://restack:12233"},
	    {{.engine_address = "[::1]:7233"}, "http://[::1]:6233", "http://[::1]:12233"},
	    {{.api_address = "localhost:16233"}, "http://localhost:16233",
		"http://localhost:12233"},
	    {{.api_address = " http://restack:6233/ "}, "http://restack:6233",
		"http://restack:12233"},
	    {{.api_address = "172.17.0.2:6233"}, "http://172.17.0.2:6233",
		"http://172.17.0.2:12233"},
	    {{.api_address = "http://localhost"}, "http://localhost", "http://localhost:12233"},
	    /* a public name is https, and its blobs are on the same host's port 443 */
	    {{.api_address = "api.example.com", .api_key = KEY}, "https://api.example.com",
		"https://api.example.com"},
	    {{.api_address = "api.example.com:6233"}, "https://api.example.com:6233",
		"https://api.example.com"},
	    {{.api_address = "https://restack:6233/engine/"}, "https://restack:6233/engine",
		"https://restack"},
	    {{.api_address = "http://api.example.com"}, "http://api.example.com",
		"http://api.example.com:12233"},
	    {{.engine_address = "e.example.com", .api_key = KEY}, "https://e.example.com:6233",
		"https://e.example.com"},
	    {{.codec_address = "blobs:80"}, "http://localhost:6233", "http://blobs:80"},
	    {{.codec_address = "blobs.example.com"}, "http://localhost:6233",
		"https://blobs.example.com"},
	    {{.codec_address = "http://blobs.example.com:12233/lps/"}, "http://localhost:6233",
		"http://blobs.example.com:12233/lps"},
	};
	struct restack_addr r;

	(void)state;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		resolve(&r, &v[i].s);
		assert_string_equal(r.api_url, v[i].api);
		assert_string_equal(r.codec_url, v[i].codec);
		restack_addr_release(&r);
	}
}

/* The original: RESTACK_TEMPORAL_ADDRESS is gRPC, RESTACK_ENGINE_ADDRESS HTTP. */
static void
the_originals_variables_keep_their_meaning(void **state)
{
	struct restack_settings s = {.temporal_address = "http://restack:7233",
	    .engine_address = "http://restack:6233",
	    .api_key = "None"};
	struct restack_addr r;

	(void)state;
	resolve(&r, &s);
	assert_string_equal(r.authority, "restack:7233");
	assert_string_equal(r.api_url, "http://restack:6233");
	assert_string_equal(r.codec_url, "http://restack:12233");
	assert_null(r.api_key);
	restack_addr_release(&r);
	s.api_address = "other:6233"; /* what is named for it wins */
	resolve(&r, &s);
	assert_string_equal(r.api_url, "http://other:6233");
	restack_addr_release(&r);
	s = (struct restack_settings){.temporal_address = "restack"};
	resolve(&r, &s);
	assert_string_equal(r.authority, "restack:7233");
	assert_string_equal(r.api_url, "http://restack:6233");
	restack_addr_release(&r);
}

static void
public_hosts_are_told_from_private_ones(void **state)
{
	static const char *const private[] = {"localhost", "127.0.0.1", "host.docker.internal",
	    "10.1.2.3", "192.168.0.9", "172.17.0.2", "engine.prod.svc.cluster.local", "engine.svc",
	    "engine.prod.svc", "restack", "::1", ""};
	static const char *const public[] = {"api.restack.io", "a.b.c.svc", "11.0.0.1", "0.0.0.0",
	    "localhost.example.com", "svc.example"};

	(void)state;
	for (size_t i = 0; i < sizeof private / sizeof *private; i++)
		if (restack_addr_public(az_str_c(private[i])))
			fail_msg("%s", private[i]);
	for (size_t i = 0; i < sizeof public / sizeof *public; i++)
		if (!restack_addr_public(az_str_c(public[i])))
			fail_msg("%s", public[i]);
}

static void
ids_are_prefixed_once_queues_always(void **state)
{
	struct az_arena *a = az_arena_new(AZ_KIB(4));
	struct restack_addr r;

	(void)state;
	resolve(&r, &(struct restack_settings){.engine_id = " e1 ", .queue = "jobs"});
	assert_string_equal(r.queue, "e1-jobs");
	assert_string_equal(restack_addr_id(&r, a, AZ_S("x")), "e1-x");
	assert_string_equal(restack_addr_id(&r, a, AZ_S("e1-x")), "e1-x");
	assert_string_equal(restack_addr_id(&r, a, AZ_S("e1x")), "e1-e1x");
	assert_string_equal(restack_addr_id(&r, a, AZ_S("e1")), "e1-e1");
	assert_true(az_str_eqc(restack_addr_local(&r, AZ_S("e1-x")), "x"));
	assert_true(az_str_eqc(restack_addr_local(&r, AZ_S("e1-")), ""));
	assert_true(az_str_eqc(restack_addr_local(&r, AZ_S("e2-x")), "e2-x"));
	assert_true(az_str_eqc(restack_addr_local(&r, AZ_S("e1")), "e1"));
	assert_string_equal(restack_addr_queue(a, AZ_S("e1"), AZ_S("e1-jobs")), "e1-e1-jobs");
	restack_addr_release(&r);
	resolve(&r, &(struct restack_settings){0});
	assert_string_equal(r.engine_id, "local");
	assert_string_equal(r.ns, "default");
	assert_string_equal(r.queue, "local-restack");
	assert_null(r.ca_file);
	restack_addr_release(&r);
	az_arena_free(a);
}

static bool
has(const struct restack_addr *r, const char *line)
{
	for (size_t i = 0; r->headers[i]; i++)
		if (!strcmp(r->headers[i], line))
			return true;
	return false;
}

static void
every_call_carries_the_engines_headers(void **state)
{
	struct restack_addr r;
	size_t n = 0;

	(void)state;
	resolve(&r, &(struct restack_settings){.engine_id = "e1",
			.engine_address = "e.example.com:443",
			.api_address = "api.example.com",
			.api_key = " " KEY " ",
			.ns = "prod",
			.ca_file = " /etc/ca.pem "});
	assert_string_equal(r.api_key, KEY);
	assert_string_equal(r.ca_file, "/etc/ca.pem");
	assert_true(has(&r, "authorization: Bearer " KEY));
	assert_true(has(&r, "restack-engineid: e1"));
	assert_true(has(&r, "restack-apiaddress: https://api.example.com"));
	assert_true(has(&r, "restack-codecaddress: https://api.example.com"));
	assert_true(has(&r, "temporal-namespace: prod"));
	assert_true(has(&r, "client-name: azlon"));
	assert_true(has(&r, "supported-features: follows-next-run-id"));
	while (r.headers[n])
		n++;
	assert_int_equal(n, 8);
	restack_addr_release(&r);
	resolve(&r, &(struct restack_settings){0});
	for (size_t i = 0; r.headers[i]; i++)
		assert_null(strstr(r.headers[i], "authorization"));
	assert_true(has(&r, "restack-engineid: local"));
	assert_true(has(&r, "restack-apiaddress: http://localhost:6233"));
	restack_addr_release(&r);
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test(grpc_address_is_read_with_leniency),
	    cmocka_unit_test(wrong_addresses_are_refused_by_name),
	    cmocka_unit_test(each_variable_is_named_when_it_is_wrong),
	    cmocka_unit_test(http_side_and_blobs_follow),
	    cmocka_unit_test(the_originals_variables_keep_their_meaning),
	    cmocka_unit_test(public_hosts_are_told_from_private_ones),
	    cmocka_unit_test(ids_are_prefixed_once_queues_always),
	    cmocka_unit_test(every_call_carries_the_engines_headers),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
