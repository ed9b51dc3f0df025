/* Files, names and watches of a box: what clients may ask, and hostile code try. */
#include "box_wire.h"

#include "box/files.h"

#define OCTET "application/octet-stream"

static void
signatures_are_those_of_the_protocol(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 64);
	files_signature(&b, AZ_S("/a b+c"), FILES_READ, AZ_S(""), AZ_S("ea_1"), -1);
	assert_string_equal(b.p, "v1_aKQbL64+D2MW4yPJZc1/4TC4xa5r0uXJTK6NmNqlv0E");
	az_buf_reset(&b);
	files_signature(&b, AZ_S(""), FILES_WRITE, AZ_S("user"), AZ_S("ea_2"), 1700000000);
	assert_string_equal(b.p, "v1_WPF1QYfFX30ShDF4RyKkL8W5lx9gEvE+t4gumguAAcY");
	az_buf_release(&b);
}

static void
codings_are_taken_as_the_header_says(void **state)
{
	static const struct {
		const char *header;
		int gzip, identity;
	} t[] = {
	    {"", -1, -1},
	    {"gzip", 1, -1},
	    {"GZIP;q=0.001", 1, -1},
	    {"br, gzip ; q=1.0 , deflate", 1, -1},
	    {"gzip;q=0", 0, -1},
	    {"gzip; q=0.000, *", 0, 1},
	    {"*;q=0", 0, 0},
	    {"identity;q=0, *;q=0.5", 1, 0},
	    {"xgzip, gzipx", -1, -1},
	    {"gzip;level=1;q=0.", 0, -1},
	    {",,;;=,gzip", 1, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		assert_int_equal(coding_taken(az_str_c(t[i].header), AZ_S("gzip")), t[i].gzip);
		assert_int_equal(
		    coding_taken(az_str_c(t[i].header), AZ_S("identity")), t[i].identity);
	}
}

static void
put(const char *query, size_t n, const char *extra)
{
	char *body = malloc(n);

	memset(body, 'x', n);
	envd("POST", "/files", query, OCTET, az_str_n(body, n), extra);
	free(body);
}

static void
in_box(const char *script, struct fix_result *r)
{
	struct box *b = box_find(fix.s, az_str_c(id));

	fix_run(b, script, 20000, r);
	box_unref(b);
}

static void
the_disk_limit_holds_for_uploads(void **state)
{
	struct fix_result r;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	/* 96 MiB is what there is */
	put("path=one", 60 << 20, NULL);
	says(200, "\"path\":\"/home/user/one\"");
	put("path=two", 60 << 20, NULL);
	says(507, "no space left");
	in_box("ls -A; test ! -e two", &r);
	assert_string_equal(r.out, "one\n");
	unary("/filesystem.Filesystem/Remove", "{\"path\":\"one\"}");
	says(200, "{}");
	put("path=two", 60 << 20, NULL);
	says(200, "two");
	kill_it();
}

/* What hostile code of the box plants never leads out of it, nor into the agent. */
static void
links_lead_nowhere_but_into_the_box(void **state)
{
	static const char *const traps[] = {"mem", "fd", "root/x", "exe"};
	struct fix_result r;
	char query[80];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	in_box("ln -s /proc/1/mem mem; ln -s /proc/1/fd/10 fd; ln -s /proc/1/root root; "
	       "ln -s /proc/1/exe exe; ln -s a b; ln -s b a; mkfifo pipe; ln -s /dev/zero zero",
	    &r);
	assert_int_equal(r.code, 0);
	for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) {
		snprintf(query, sizeof query, "path=%s", traps[i]);
		envd("GET", "/files", query, "", AZ_S(""), NULL);
		assert_in_range(a.status, 400, 500);
		put(query, 3, NULL);
		assert_in_range(a.status, 400, 500);
		snprintf(query, sizeof query, "{\"path\":\"%s\",\"recursive\":true}", traps[i]);
		unary("/filesystem.Filesystem/CreateWatcher", query);
		assert_in_range(a.status, 400, 500);
	}
	put("path=a", 3, NULL);
	says(400, "levels of symbolic links");
	envd("GET", "/files", "path=pipe", "", AZ_S(""), NULL);
	says(400, "not a regular file");
	envd("GET", "/files", "path=zero", "", AZ_S(""), NULL);
	says(400, "not a regular file");
	in_box("ls -A | tr '\\n' ' '", &r);
	assert_string_equal(r.out, "a b exe fd mem pipe root zero ");
	kill_it();
}

static void
what_is_under_way_is_not_seen_and_goes_when_given_up(void **state)
{
	static const char body[] = "--b\r\nContent-Disposition: form-data; name=\"file\"; "
				   "filename=\"whole\"\r\n\r\n1\r\n--b\r\nContent-Disposition: "
				   "form-data; name=\"file\"; filename=\"cut\"\r\n\r\n2";
	char text[80], watcher[40];
	struct fix_result r;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	unary("/filesystem.Filesystem/CreateWatcher", "{\"path\":\"\"}");
	member("watcherId", watcher, sizeof watcher);
	envd("POST", "/files", NULL, "multipart/form-data; boundary=b", az_str_c(body), NULL);
	says(400, "malformed");
	in_box("ls -A", &r);
	assert_string_equal(r.out, "whole\n");
	snprintf(text, sizeof text, "{\"watcherId\":\"%s\"}", watcher);
	unary("/filesystem.Filesystem/GetWatcherEvents", text);
	says(200, "{\"events\":[{\"name\":\"whole\",\"type\":\"EVENT_TYPE_CREATE\"},"
		  "{\"name\":\"whole\",\"type\":\"EVENT_TYPE_WRITE\"}]}");
	kill_it();
}

static void
watchers_are_few_and_go_with_their_box(void **state)
{
	char text[80], watcher[40];

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	for (int i = 0; i < 32; i++) {
		unary("/filesystem.Filesystem/CreateWatcher", "{\"path\":\".\"}");
		assert_int_equal(a.status, 200);
	}
	member("watcherId", watcher, sizeof watcher);
	unary("/filesystem.Filesystem/CreateWatcher", "{\"path\":\".\"}");
	says(429, "resource_exhausted");
	snprintf(text, sizeof text, "{\"watcherId\":\"%s\"}", watcher);
	put("path=f", 1, NULL);
	unary("/filesystem.Filesystem/GetWatcherEvents", text);
	says(200, "{\"events\":[{\"name\":\"f\",\"type\":\"EVENT_TYPE_CREATE\"},"
		  "{\"name\":\"f\",\"type\":\"EVENT_TYPE_WRITE\"}]}");
	unary("/filesystem.Filesystem/GetWatcherEvents", text);
	says(200, "{\"events\":[]}");
	unary("/filesystem.Filesystem/RemoveWatcher", text);
	says(200, "{}");
	unary("/filesystem.Filesystem/RemoveWatcher", text);
	says(404, "not_found");
	unary("/filesystem.Filesystem/CreateWatcher", "{\"path\":\".\"}");
	assert_int_equal(a.status, 200);
	kill_it();
}

static void
a_silent_watch_is_kept_alive_until_its_time_is_over(void **state)
{
	char i[80], t[120], m[120];
	const char *p[] = {HOST, i, t, "CONTENT_TYPE=application/connect+json",
	    "HTTP_KEEPALIVE_PING_INTERVAL=0", /* one second is the least */
	    "HTTP_CONNECT_TIMEOUT_MS=1500", NULL};
	struct az_buf b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	snprintf(i, sizeof i, "HTTP_E2B_SANDBOX_ID=%s", id);
	snprintf(t, sizeof t, "HTTP_X_ACCESS_TOKEN=%s", token);
	az_buf_init(&b, AZ_KIB(4));
	envelope_add(&b, 0, AZ_S("{\"path\":\".\",\"include_entry\":true}"));
	call("POST", "/filesystem.Filesystem/WatchDir", NULL, b.p, b.n, p);
	assert_int_equal(message(0, m, sizeof m), 0);
	assert_string_equal(m, "{\"start\":{}}");
	assert_int_equal(message(1, m, sizeof m), 0);
	assert_string_equal(m, "{\"keepalive\":{}}");
	assert_int_equal(message(2, m, sizeof m), 2);
	assert_non_null(strstr(m, "deadline_exceeded"));
	az_buf_release(&b);
	stream("/filesystem.Filesystem/WatchDir", "{\"path\":\"none\"}", NULL);
	assert_int_equal(message(0, m, sizeof m), 2);
	assert_non_null(strstr(m, "not_found"));
	kill_it();
}

static void
metadata_is_checked_before_anything_is_written(void **state)
{
	char big[AW_META_BYTES + 40], key[300];
	struct fix_result r;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	snprintf(big, sizeof big, "HTTP_X_METADATA_A=%0*d", (int)AW_META_BYTES, 0);
	put("path=f", 1, big);
	says(400, "larger than 4096 bytes");
	snprintf(key, sizeof key, "HTTP_X_METADATA_%0*d=1", (int)AW_META_KEY + 1, 0);
	put("path=f", 1, key);
	says(400, "bad metadata key");
	put("path=f", 1, "HTTP_X_METADATA_A\"B=1");
	says(400, "bad metadata key");
	put("path=f", 1, "HTTP_X_METADATA_A=\x01");
	says(400, "printable ASCII");
	in_box("ls -A", &r);
	assert_string_equal(r.out, "");
	kill_it();
}

static void
internal_routes_are_not_there(void **state)
{
	static const char *const paths[] = {
	    "/init", "/freeze", "/unfreeze", "/collapse", "/fsfreeze", "/fsthaw"};

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"envVars\":{\"A\":\"1\",\"E2B_SANDBOX\":\"mine\"}}");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		envd("POST", paths[i], NULL, "application/json", AZ_S("{}"), NULL);
		says(404, "{\"code\":404,");
	}
	envd("GET", "/envs", NULL, "", AZ_S(""), NULL);
	says(200, "\"A\":\"1\",\"E2B_SANDBOX\":\"mine\"");
	kill_it();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signatures_are_those_of_the_protocol),
	    cmocka_unit_test(codings_are_taken_as_the_header_says),
	    cmocka_unit_test(the_disk_limit_holds_for_uploads),
	    cmocka_unit_test(links_lead_nowhere_but_into_the_box),
	    cmocka_unit_test(what_is_under_way_is_not_seen_and_goes_when_given_up),
	    cmocka_unit_test(watchers_are_few_and_go_with_their_box),
	    cmocka_unit_test(a_silent_watch_is_kept_alive_until_its_time_is_over),
	    cmocka_unit_test(metadata_is_checked_before_anything_is_written),
	    cmocka_unit_test(internal_routes_are_not_there),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
