/* Registration of workflows: what is sent, when it is tried again, when it ends. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/arena.h>
#include <azlon/json.h>
#include "engine/restack_endpoints.h"
#include "http_peer.h"

#define ANSWER(status) "HTTP/1.1 " status " X\r\nContent-Length: 0\r\n\r\n"

static const struct restack_endpoint flows[] = {
    {"AutonomousCodingWorkflow", "writes \"code\"",
	"{\"type\":\"object\",\"required\":[\"user_prompt\"]}", "{\"type\":\"boolean\"}"},
    {.name = "UserWorkflow"},
};

static struct az_http *http;
static struct http_peer *peer;
static char url[64];
static int threads_before; /* the registration's */

/* The peer tells when the request it waits for came. */
static struct {
	pthread_mutex_t mu;
	pthread_cond_t came;
	const struct http_peer_step *steps;
	int n_steps, seen;
} script = {.mu = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static const struct http_peer_step *
next(void *arg, const char *request, int i)
{
	(void)arg;
	(void)request;
	pthread_mutex_lock(&script.mu);
	script.seen = i + 1;
	pthread_cond_broadcast(&script.came);
	pthread_mutex_unlock(&script.mu);
	return &script.steps[i < script.n_steps ? i : script.n_steps - 1];
}

static void
wait_for_requests(int n)
{
	pthread_mutex_lock(&script.mu);
	while (script.seen < n)
		pthread_cond_wait(&script.came, &script.mu);
	pthread_mutex_unlock(&script.mu);
}

static int
setup(void **state)
{
	(void)state;
	script.seen = 0;
	return az_http_new(&http, NULL) == AZ_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	az_http_free(http);
	if (peer)
		http_peer_stop(peer);
	peer = NULL;
	return 0;
}

static int
threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static struct restack_endpoints_opts
opts(void)
{
	return (struct restack_endpoints_opts){.http = http,
	    .api_url = url,
	    .engine_id = "e1",
	    .queue = "restack",
	    .workflows = flows,
	    .n = 2,
	    .retry_ms = 1};
}

static struct restack_endpoints *
begin(const struct http_peer_step *steps, int n)
{
	struct restack_endpoints_opts o = opts();
	struct restack_endpoints *e = NULL;

	script.steps = steps;
	script.n_steps = n;
	peer = http_peer_start(NULL, 0, next, NULL);
	http_peer_url(peer, "", url, sizeof url);
	threads_before = threads();
	assert_int_equal(restack_endpoints_start(&o, &e, NULL), AZ_OK);
	return e;
}

static void
body_is_what_the_engine_expects(void **state)
{
	struct restack_endpoints_opts o = opts();
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	const struct az_json *j, *w;
	char local[32];
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_KIB(16));
	restack_endpoints_body(&o, &b);
	assert_string_equal(b.p,
	    "{\"identity\":\"e1\",\"workflows\":[{\"name\":\"AutonomousCodingWorkflow\","
	    "\"type\":\"class\",\"input_schema\":{\"type\":\"object\",\"required\":"
	    "[\"user_prompt\"]},\"output_schema\":{\"type\":\"boolean\"},\"description\":"
	    "\"writes \\\"code\\\"\",\"mcp\":false,\"task_queue\":\"restack\"},"
	    "{\"name\":\"UserWorkflow\",\"type\":\"class\",\"input_schema\":{},"
	    "\"output_schema\":{},\"description\":\"\",\"mcp\":false,\"task_queue\":"
	    "\"restack\"}],\"agents\":[]}");
	/* many a developer calls the engine local: the pid tells them apart */
	o.engine_id = "local";
	o.n = 0;
	az_buf_reset(&b);
	restack_endpoints_body(&o, &b);
	assert_int_equal(az_json_parse_in(a, az_buf_str(&b), &az_json_request_limits, &j, NULL), 0);
	snprintf(local, sizeof local, "local-%ld", (long)getpid());
	assert_true(az_str_eqc(az_json_gets(j, "identity"), local));
	w = az_json_get(j, "workflows");
	assert_int_equal(az_json_type(w), AZ_JARR);
	assert_int_equal(az_json_len(w), 0);
	az_buf_release(&b);
	az_arena_free(a);
}

static void
failures_are_tried_again_until_taken(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = ANSWER("500")},
	    {.bytes = ANSWER("401")},
	    {.bytes = "", .n = 0, .then = HTTP_THEN_RESET},
	    {.bytes = "SSH-2.0-x\r\n\r\n", .then = HTTP_THEN_CLOSE},
	    {.bytes = ANSWER("201")},
	};
	struct restack_endpoints *e;
	const char *q;

	(void)state;
	e = begin(s, 5);
	wait_for_requests(5);
	restack_endpoints_stop(e);
	assert_int_equal(http_peer_requests(peer), 5);
	for (int i = 0; i < 5; i++) {
		q = http_peer_request(peer, i, NULL);
		assert_non_null(strstr(q, "POST /api/engine/endpoints HTTP/1.1\r\n"));
		assert_non_null(strstr(q, "Content-Type: application/json\r\n"));
		assert_non_null(strstr(q, "\r\n\r\n{\"identity\":\"e1\""));
		assert_null(strstr(q, "Authorization"));
	}
}

/* Its thread ends by itself after one request. */
static void
a_server_without_the_route_is_left_alone(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = ANSWER("404"), .then = HTTP_THEN_CLOSE}};
	struct restack_endpoints *e;

	(void)state;
	e = begin(s, 1);
	while (threads() > threads_before)
		sched_yield();
	assert_int_equal(http_peer_requests(peer), 1);
	restack_endpoints_stop(e);
}

static void
stop_interrupts_the_wait_for_the_next_try(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 503 X\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"}};
	struct restack_endpoints *e;

	(void)state;
	e = begin(s, 1);
	wait_for_requests(1);
	restack_endpoints_stop(e); /* or this test never ends */
	assert_int_equal(http_peer_requests(peer), 1);
}

static void
stop_interrupts_a_call(void **state)
{
	static const struct http_peer_step s[] = {
	    {.bytes = "HTTP/1.1 200 X\r\n", .then = HTTP_THEN_STALL}};
	struct restack_endpoints *e;

	(void)state;
	e = begin(s, 1);
	wait_for_requests(1);
	restack_endpoints_stop(e);
	assert_int_equal(http_peer_requests(peer), 1);
	restack_endpoints_stop(NULL);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest t[] = {
	    T(body_is_what_the_engine_expects),
	    T(failures_are_tried_again_until_taken),
	    T(a_server_without_the_route_is_left_alone),
	    T(stop_interrupts_the_wait_for_the_next_try),
	    T(stop_interrupts_a_call),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
