/* What a box uses, and what happened to it, as the control plane tells it. */
#include "box_wire.h"

static int64_t
number(const char *key)
{
	const char *p = strstr(a.body, key);

	assert_non_null(p);
	return strtoll(p + strlen(key), NULL, 10);
}

static void
what_it_uses_is_told(void **state)
{
	static char big[AZ_MIB(1)];
	char q[200], other[40];
	struct fix_result r;
	struct box *b;
	int64_t at;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	memcpy(other, id, sizeof other);
	create("{\"templateID\":\"base\"}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	memset(big, 'x', sizeof big);
	envd("POST", "/files", "path=big", "application/octet-stream", az_str_n(big, sizeof big),
	    NULL);
	fix_run(b, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", 20000, &r);
	assert_true(r.ended);
	meter_disk(b, home_used(b, fix.s->disk));
	b->meter.ask_at = 0;
	meter_look(b, az_boot_ms());
	/* answers come in order: when this one is here, so is that */
	envd("GET", "/metrics", NULL, "", (struct az_str){0}, NULL);
	says(200, "\"cpu_count\":1");
	assert_int_equal(number("\"mem_total\":"), 128 << 20);
	assert_int_equal(number("\"mem_total_mib\":"), 128);
	assert_int_equal(number("\"disk_total\":"), 96 << 20);
	assert_true(number("\"mem_used\":") > 0);
	assert_true(number("\"mem_used\":") + number("\"mem_cache\":") <= 128 << 20);
	assert_true(number("\"disk_used\":") >= 1 << 20);
	assert_true(number("\"ts\":") >= b->started_ms / 1000);
	control("GET", of("/metrics"), NULL, NULL);
	says(200, "\"cpuCount\":1");
	says(200, "\"timestamp\":\"2");
	assert_int_equal(number("\"memTotal\":"), 128 << 20);
	assert_true(number("\"diskUsed\":") >= 1 << 20);
	/* of a short span, in which the quota of two periods may fall: only not absurd */
	assert_in_range(number("\"cpuUsedPct\":"), 0, 400);
	at = number("\"timestampUnix\":");
	snprintf(q, sizeof q, "start=%lld&end=%lld", (long long)at, (long long)at);
	control("GET", of("/metrics"), q, NULL);
	says(200, "memUsed");
	snprintf(q, sizeof q, "end=%lld", (long long)b->started_ms / 1000 - 1);
	control("GET", of("/metrics"), q, NULL);
	assert_string_equal(a.body, "[]");
	control("GET", of("/metrics"), "start=2&end=1", NULL);
	says(400, "end");
	control("GET", of("/metrics"), "start=x", NULL);
	says(400, "start");
	snprintf(q, sizeof q, "sandbox_ids=%s,i00000000000000000000", id);
	control("GET", "/sandboxes/metrics", q, NULL);
	says(200, "{\"sandboxes\":{\"i");
	says(200, id);
	assert_null(strstr(a.body, "i0000"));
	control("GET", "/sandboxes/metrics", NULL, NULL);
	says(400, "sandbox_ids");
	memset(big, ',', 100);
	memcpy(big, "sandbox_ids=a", 13);
	big[200] = 0;
	memset(big + 100, ',', 100);
	control("GET", "/sandboxes/metrics", big, NULL);
	says(400, "more than 100");
	kill_it();
	memcpy(id, other, sizeof other);
	kill_it();
	control("GET", of("/metrics"), NULL, NULL);
	says(404, "doesn't exist");
	box_unref(b);
}

static size_t
logs(const char *query)
{
	struct az_json *j = NULL;
	size_t n;

	control("GET", of_v2("/logs"), query, NULL);
	if (a.status != 200)
		fail_msg("%s: %d %s", query, a.status, a.body);
	assert_int_equal(
	    az_json_parse(az_str_n(a.body, a.body_n), &az_json_own_limits, &j, NULL), AZ_OK);
	n = az_json_len(az_json_get(j, "logs"));
	az_json_free(j);
	return n;
}

static void
its_life_is_on_record(void **state)
{
	char q[100];
	long long now;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\",\"envVars\":{\"S\":\"hush-env\"}}");
	stream("/process.Process/Start",
	    "{\"process\":{\"cmd\":\"/bin/sh\",\"args\":[\"-c\",\"echo $S hush-out; exit 3 # "
	    "hush-arg\"],\"envs\":{\"T\":\"hush-req\"}},\"tag\":\"t-1\",\"stdin\":false}",
	    NULL);
	control("POST", of("/timeout"), NULL, "{\"timeout\":100}");
	control("POST", of("/pause"), NULL, "{}");
	control("POST", of_v2("/connect"), NULL, "{}");
	assert_true(logs(NULL) >= 6);
	assert_null(strstr(a.body, "hush"));
	says(200, "{\"logs\":[{\"timestamp\":\"");
	says(200,
	    "\"level\":\"info\",\"message\":\"sandbox started\",\"fields\":{\"template\":\"base\"");
	says(200, "\"message\":\"command started\",\"fields\":{\"pid\":\"");
	says(200, "\"cmd\":\"/bin/sh\",\"tag\":\"t-1\"");
	says(200, "\"level\":\"warn\",\"message\":\"command ended\"");
	says(200, "\"exit_code\":\"3\"");
	says(200, "\"message\":\"timeout changed\",\"fields\":{\"timeout\":\"100\"}");
	says(200,
	    "\"message\":\"sandbox paused\",\"fields\":{\"by\":\"request\",\"mode\":\"full\"}");
	says(200, "\"message\":\"sandbox resumed\"");
	assert_int_equal(logs("limit=1"), 1);
	says(200, "sandbox started");
	assert_int_equal(logs("limit=1&direction=backward"), 1);
	says(200, "sandbox resumed");
	assert_int_equal(logs("level=warn"), 1);
	assert_int_equal(logs("level=error"), 0);
	assert_int_equal(logs("search=paused"), 1);
	assert_int_equal(logs("search=t-1"), 1);
	now = (long long)az_wall_ms() + 1000;
	snprintf(q, sizeof q, "cursor=%lld", now);
	assert_int_equal(logs(q), 0);
	snprintf(q, sizeof q, "direction=backward&cursor=%lld", now);
	assert_true(logs(q) >= 6);
	control("GET", of_v2("/logs"), "limit=1001", NULL);
	says(400, "limit");
	control("GET", of_v2("/logs"), "level=loud", NULL);
	says(400, "level");
	control("GET", of_v2("/logs"), "direction=up", NULL);
	says(400, "direction");
	control("GET", of("/logs"), "limit=1", NULL);
	says(200, "{\"logs\":[{\"timestamp\":\"");
	says(200, "\"line\":\"info sandbox started {");
	says(200, "\"logEntries\":[{\"timestamp\":\"");
	/* how it ended can be asked when it is over */
	kill_it();
	logs("direction=backward&limit=1");
	says(200, "\"message\":\"sandbox ended\",\"fields\":{\"reason\":\"killed\"}");
	memcpy(id, "i00000000000000000000", 22);
	control("GET", of_v2("/logs"), NULL, NULL);
	says(404, "doesn't exist");
}

static void
its_record_is_bounded(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	create("{\"templateID\":\"base\"}");
	assert_non_null(b = box_find(fix.s, az_str_c(id)));
	pthread_mutex_lock(&b->mu);
	for (int i = 0; i < 5000; i++)
		note(b, AZ_INFO, "noise", AZ_KN("n", i));
	assert_true(b->journal.bytes <= JOURNAL_MAX);
	pthread_mutex_unlock(&b->mu);
	assert_int_equal(logs("search=\"4999\""), 1);
	assert_int_equal(logs("search=\"0\""), 0);
	kill_it();
	box_unref(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_it_uses_is_told),
	    cmocka_unit_test(its_life_is_on_record),
	    cmocka_unit_test(its_record_is_bounded),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
