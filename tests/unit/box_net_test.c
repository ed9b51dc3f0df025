/* The way out of a box: the agent's proxy, the server's rules, bytes kept whole. */
#include "box_fixture.h"
#include "box/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define BIG 3000000

static struct box_fixture fix;
static struct fix_result r;
static int origin_fd = -1, origin_port;
static char seen[4096]; /* head of the last request */

static bool
vet_origin(const struct sockaddr *sa, int port)
{
	return port == origin_port && sa->sa_family == AF_INET;
}

/* A web server that answers every request with its first line and then some. */
static void *
origin_main(void *arg)
{
	static char body[BIG];

	(void)arg;
	memset(body, 'x', sizeof body);
	for (;;) {
		char b[4096], head[200];
		size_t n = 0;
		ssize_t k;
		int fd = accept(origin_fd, NULL, NULL), hn;

		if (fd < 0)
			return NULL;
		while (n < sizeof b - 1 && (k = read(fd, b + n, sizeof b - 1 - n)) > 0) {
			n += (size_t)k;
			b[n] = 0;
			if (strstr(b, "\r\n\r\n"))
				break;
		}
		b[n] = 0;
		memcpy(seen, b, n + 1);
		hn = snprintf(head, sizeof head,
		    "HTTP/1.1 200 OK\r\nContent-Length: %d"
		    "\r\nConnection: close\r\n\r\n",
		    BIG);
		if (write(fd, head, (size_t)hn) == hn)
			az_write_all(fd, body, sizeof body);
		close(fd);
	}
}

static int
group_setup(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof a;
	pthread_t t;

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	origin_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(origin_fd, (const struct sockaddr *)&a, sizeof a) < 0 ||
	    listen(origin_fd, 16) < 0 || getsockname(origin_fd, (struct sockaddr *)&a, &n) < 0)
		return -1;
	origin_port = ntohs(a.sin_port);
	if (pthread_create(&t, NULL, origin_main, NULL))
		return -1;
	pthread_detach(t);
	return fix_open(&fix);
}

static int
group_teardown(void **state)
{
	(void)state;
	fix_close(&fix);
	shutdown(origin_fd, SHUT_RDWR);
	return 0;
}

static void
policy(struct box *b, bool internet, const char *allow)
{
	struct az_json *j = NULL;
	struct az_err err = AZ_ERR_INIT;

	assert_int_equal(az_json_parse(az_str_c(allow), &az_json_own_limits, &j, &err), AZ_OK);
	pthread_mutex_lock(&b->mu);
	assert_int_equal(net_policy(b, internet, j, &err), AZ_OK);
	pthread_mutex_unlock(&b->mu);
	az_json_free(j);
}

/* Send a request to the proxy with bash alone; its answer's first line and byte count. */
static void
ask(struct box *b, const char *request)
{
	char script[1024];

	snprintf(script, sizeof script,
	    "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128 || "
	    "exit 7; printf \"%s\" >&3; head -c 20000000 <&3 > got; "
	    "head -1 got | tr -d \"\\r\"; stat -c %%s got; tail -n 1 got | "
	    "head -c 300 | tr -d x'",
	    request);
	fix_run(b, script, 20000, &r);
}

static void
plain_requests_are_rewritten_and_whole(void **state)
{
	char q[400];
	struct box *b;
	long n;

	(void)state;
	NEEDS_BOX(&fix);
	fix.s->vet = vet_origin;
	b = fix_box(&fix, NULL, 60);
	policy(b, true, "[]");
	snprintf(q, sizeof q,
	    "GET http://127.0.0.1:%d/a?b=c HTTP/1.1\\r\\nHost: x\\r\\n"
	    "Proxy-Connection: keep-alive\\r\\nConnection: keep-alive\\r\\nA: b\\r\\n\\r\\n",
	    origin_port);
	ask(b, q);
	if (strncmp(r.out, "HTTP/1.1 200 OK\n", 16))
		fail_msg("code %d, out '%s', err '%s', error '%s'", r.code, r.out, r.err, r.error);
	n = strtol(r.out + 16, NULL, 10);
	assert_in_range(n, BIG, BIG + 200);
	assert_true(!strncmp(seen,
	    "GET /a?b=c HTTP/1.1\r\nHost: x\r\nA: b\r\n"
	    "Connection: close\r\n\r\n",
	    58));
	pthread_mutex_lock(&b->mu);
	assert_int_equal(b->net_opened, 1);
	assert_true(b->net_down >= BIG);
	pthread_mutex_unlock(&b->mu);
	box_destroy(b, "done", true);
	box_unref(b);
}

static void
tunnels_carry_bytes_both_ways(void **state)
{
	char q[400];
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	fix.s->vet = vet_origin;
	b = fix_box(&fix, NULL, 60);
	policy(b, false, "[\"localhost\"]");
	snprintf(q, sizeof q,
	    "CONNECT localhost:%d HTTP/1.1\\r\\n\\r\\n"
	    "GET /tunnelled HTTP/1.1\\r\\nX: y\\r\\n\\r\\n",
	    origin_port);
	ask(b, q);
	if (strncmp(r.out, "HTTP/1.1 200 Connection established\n", 36))
		fail_msg("code %d, out '%s', err '%s', error '%s'", r.code, r.out, r.err, r.error);
	assert_in_range(strtol(r.out + 36, NULL, 10), BIG, BIG + 300);
	assert_true(!strncmp(seen, "GET /tunnelled HTTP/1.1\r\nX: y\r\n\r\n", 33));
	fix_run(b, "env | grep -c -i '_proxy=http://127.0.0.1:3128'", 5000, &r);
	assert_true(strtol(r.out, NULL, 10) >= 4);
	box_destroy(b, "done", true);
	box_unref(b);
}

static void
what_is_refused_is_counted(void **state)
{
	char q[400];
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	fix.s->vet = vet_public;
	b = fix_box(&fix, NULL, 60);
	policy(b, true, "[]");
	/* this host, by address, by name, by v6 */
	snprintf(q, sizeof q, "CONNECT 127.0.0.1:%d HTTP/1.1\\r\\n\\r\\n", origin_port);
	ask(b, q);
	assert_true(!strncmp(r.out, "HTTP/1.1 403", 12));
	assert_non_null(strstr(r.out, "blocked by the sandbo"));
	ask(b, "CONNECT localhost:80 HTTP/1.1\\r\\n\\r\\n");
	assert_true(!strncmp(r.out, "HTTP/1.1 403", 12));
	ask(b, "GET http://[::1]/ HTTP/1.1\\r\\n\\r\\n");
	assert_true(!strncmp(r.out, "HTTP/1.1 403", 12));
	ask(b, "GET http://169.254.169.254/latest/meta-data HTTP/1.1\\r\\n\\r\\n");
	assert_true(!strncmp(r.out, "HTTP/1.1 403", 12));
	ask(b, "GET http://0x7f000001/ HTTP/1.1\\r\\n\\r\\n");
	assert_true(!strncmp(r.out, "HTTP/1.1 403", 12));
	ask(b, "BREW coffee\\r\\n\\r\\n");
	assert_true(!strncmp(r.out, "HTTP/1.1 400", 12));
	policy(b, false, "[\"pkgs.example\"]");
	ask(b, "CONNECT example.com:443 HTTP/1.1\\r\\n\\r\\n");
	assert_true(!strncmp(r.out, "HTTP/1.1 403", 12));
	assert_non_null(strstr(r.out, "domain not allowed"));
	pthread_mutex_lock(&b->mu);
	assert_int_equal(b->net_opened, 0);
	assert_int_equal(b->nblocked, 6);
	assert_string_equal(b->blocked[5].host, "example.com");
	assert_string_equal(b->blocked[5].why, "domain");
	assert_int_equal(b->nconns, 0);
	pthread_mutex_unlock(&b->mu);
	box_destroy(b, "done", true);
	box_unref(b);
}

/* Off means off, and who asks all the same is told so. */
static void
without_a_network_wishes_are_refused_and_counted(void **state)
{
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	fix.s->vet = vet_origin;
	b = fix_box(&fix, NULL, 60);
	policy(b, true, "[]");
	policy(b, false, "[]");
	for (int i = 0; i < 3; i++) {
		ask(b, "CONNECT pkgs.example:443 HTTP/1.1\\r\\n\\r\\n");
		assert_true(
		    !strncmp(r.out, "HTTP/1.1 403 blocked by the sandbox: no network\n", 48));
	}
	ask(b, "GET http://localhost/ HTTP/1.1\\r\\n\\r\\n");
	assert_non_null(strstr(r.out, "blocked by the sandbox: no network"));
	fix_run(b, "env | grep -c -i '_proxy=http://127.0.0.1:3128'; echo $no_proxy", 5000, &r);
	assert_string_equal(r.out, "8\nlocalhost,127.0.0.1,::1,0.0.0.0,e2b.local\n");
	pthread_mutex_lock(&b->mu);
	assert_int_equal(b->net_opened, 0);
	assert_int_equal(b->nconns, 0);
	assert_int_equal(b->connectors, 0); /* nobody looked a name up */
	assert_int_equal(b->nblocked, 2);
	assert_string_equal(b->blocked[0].host, "pkgs.example");
	assert_int_equal(b->blocked[0].port, 443);
	assert_int_equal(b->blocked[0].count, 3);
	assert_string_equal(b->blocked[0].why, "network");
	pthread_mutex_unlock(&b->mu);
	box_destroy(b, "done", true);
	box_unref(b);
}

static void
bad_policies_change_nothing(void **state)
{
	struct az_json *j = NULL;
	struct az_err err = AZ_ERR_INIT;
	struct box *b;

	(void)state;
	NEEDS_BOX(&fix);
	b = fix_box(&fix, NULL, 60);
	policy(b, false, "[\"a.example\"]");
	assert_int_equal(
	    az_json_parse(AZ_S("[\"10.0.0.0/8\"]"), &az_json_own_limits, &j, &err), AZ_OK);
	pthread_mutex_lock(&b->mu);
	assert_int_equal(net_policy(b, true, j, &err), AZ_EINVAL);
	assert_false(b->internet);
	assert_int_equal(b->allows, 1);
	pthread_mutex_unlock(&b->mu);
	assert_non_null(strstr(err.text, "allowOut"));
	az_json_free(j);
	box_destroy(b, "done", true);
	box_unref(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_requests_are_rewritten_and_whole),
	    cmocka_unit_test(tunnels_carry_bytes_both_ways),
	    cmocka_unit_test(what_is_refused_is_counted),
	    cmocka_unit_test(without_a_network_wishes_are_refused_and_counted),
	    cmocka_unit_test(bad_policies_change_nothing),
	};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
