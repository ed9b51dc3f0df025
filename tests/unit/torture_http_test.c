/*
 * Out of memory in a call and in a reply that is pulled: whole, or AZ_ENOMEM. The server is
 * a process of its own, for what it allocates is not to be counted or to fail.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/http.h>
#include <azlon/limits.h>
#include "http_peer.h"
#include "torture.h"

static pid_t server;
static char url[100];

struct kind {
	const char *name;
	int status;
	bool pulled;
};

static const struct kind *kind;

static const struct http_peer_step *
by_path(void *arg, const char *request, int i)
{
	static char big[AZ_KIB(300)];
	static struct http_peer_step whole = {.bytes = big},
				     error = {.bytes = "HTTP/1.1 404 Not Found\r\nX-Why: gone\r\n"
						       "Content-Length: 9\r\n\r\nno such k"};
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";

	(void)arg;
	(void)i;
	memset(big, 'b', sizeof big);
	memcpy(big, head, sizeof head - 1);
	whole.n = sizeof head - 1 + 300000;
	return strncmp(request, "GET /404", 8) == 0 ? &error : &whole;
}

/* Whatever becomes of us, it ends. */
static void
serve(int port_to)
{
	struct http_peer *p;
	int port;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	p = http_peer_start(NULL, 0, by_path, NULL);
	port = http_peer_port(p);
	(void)!write(port_to, &port, sizeof port);
	for (;;)
		pause();
}

static int
start(void **state)
{
	int fd[2], port = 0;

	kind = *state;
	if (pipe(fd) != 0 || (server = fork()) < 0)
		return -1;
	if (server == 0)
		serve(fd[1]);
	close(fd[1]);
	if (read(fd[0], &port, sizeof port) != sizeof port)
		return -1;
	close(fd[0]);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/%d", port, kind->status);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return 0;
}

static enum az_code
read_all(struct az_http *h, const struct az_http_req *q, struct az_http_resp *r, struct az_buf *to,
    struct az_err *err)
{
	struct az_http_stream *s;
	size_t got;
	char p[700];
	enum az_code rc = az_http_open(h, q, r, &s, err);

	while (rc == AZ_OK && (rc = az_http_read(s, p, sizeof p, &got, err)) == AZ_OK && got) {
		torture_pause();
		az_buf_add(to, p, got);
		torture_resume();
	}
	az_http_close(s);
	return rc;
}

static enum az_code
exchange(struct az_err *err)
{
	static const char *const headers[] = {"X-Key: v", NULL};
	struct az_http_req q = {.method = "GET", .url = url, .headers = headers};
	struct az_http_resp r = {.status = 0};
	struct az_http *h = NULL;
	struct az_buf made;
	enum az_code rc;

	az_buf_init(&made, AZ_MIB(1));
	if ((rc = az_http_new(&h, err)) == AZ_OK)
		rc = kind->pulled ? read_all(h, &q, &r, &made, err) : az_http_call(h, &q, &r, err);
	torture_pause();
	if (rc == AZ_OK) {
		az_buf_adds(&made, az_buf_str(&r.body));
		az_buf_addf(&made, "\n%d %.*s", r.status, AZ_FMT(az_buf_str(&r.headers)));
		torture_made(az_buf_str(&made));
	}
	az_buf_release(&made);
	torture_resume();
	az_http_resp_release(&r);
	az_http_free(h);
	return rc;
}

static void
replies_are_whole_or_refused(void **state)
{
	(void)state;
	torture(kind->name, exchange);
}

int
main(void)
{
	static struct kind collected = {"collected", 200, false}, whole = {"pulled", 200, true},
			   error = {"an error, pulled", 404, true};
	/* a server for each: a peer knows so many connections */
#define T(k)                                                                                       \
	cmocka_unit_test_prestate_setup_teardown(replies_are_whole_or_refused, start, stop, &(k))
	const struct CMUnitTest tests[] = {T(collected), T(whole), T(error)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
