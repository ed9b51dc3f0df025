/* Six things a box must not be able to do, tried at every start. */
#include "box.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CANARY_MEMORY ((int64_t)AZ_MIB(64))
#define CANARY_MS 20000

/* A listener of this host that no box may reach; its port, or -1. */
static int
listener(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(a.sin_port);
	return fd;
}

static enum az_code
run_one(struct box *b, const char *what, int64_t n, bool *passed, struct az_err *err)
{
	struct az_json *args = NULL;
	struct proc_start ps = {.cmd = AZ_S("/opt/azlon/agent")};
	struct proc *p = NULL;
	struct sub sub = {0};
	struct az_buf got;
	int64_t deadline = az_boot_ms() + CANARY_MS;
	char json[128];
	enum az_code rc;
	bool ended = false;

	az_buf_init(&got, AZ_MIB(4));
	snprintf(json, sizeof json, "[\"--canary\",\"%s\",\"%lld\"]", what, (long long)n);
	if ((rc = az_json_parse(az_str_c(json), &az_json_own_limits, &args, err)))
		goto out;
	ps.args = args;
	if ((rc = proc_start(b, &ps, &sub, &p, err)))
		goto out;
	while (!rc && !ended) {
		az_buf_reset(&got);
		rc = proc_wait(b, p, &sub, deadline, &got, &ended, err);
	}
	if (!rc)
		/* killed by the limit is as good as refused by it */
		*passed = p->signalled || p->code == 0;
	pthread_mutex_lock(&b->mu);
	proc_leave(b, p, &sub);
	pthread_mutex_unlock(&b->mu);
	proc_unref(b, p);
out:
	az_json_free(args);
	az_buf_release(&got);
	return rc;
}

enum az_code
canaries_run(struct az_box_server *s, struct az_err *err)
{
	int port = 0, fd = listener(&port);
	const struct {
		const char *what;
		int64_t n;
		const char *say;
	} tests[] = {
	    {"env", 0, "sees an environment that is not its own"},
	    {"fd", 0, "inherits descriptors"},
	    {"net", port, "reaches a network"},
	    {"write", 0, "writes outside its home"},
	    {"pids", s->pids + 8, "starts processes without end"},
	    {"mem", 4 * CANARY_MEMORY, "takes memory without end"},
	};
	struct az_json *req = NULL;
	struct box *b = NULL;
	enum az_code rc;

	if (fd < 0)
		return az_fail_errno(err, AZ_EUNAVAIL, "box.canary", "cannot listen");
	rc = az_json_parse(AZ_S("{\"templateID\":\"canary\"}"), &az_json_own_limits, &req, err);
	if (!rc)
		rc = box_create_own(s, req, 60, CANARY_MEMORY, &b, err);
	for (size_t i = 0; !rc && i < sizeof tests / sizeof *tests; i++) {
		bool passed = false;

		rc = run_one(b, tests[i].what, tests[i].n, &passed, err);
		if (!rc && !passed)
			rc = az_fail(err, AZ_EUNAVAIL, "box.canary",
			    "this host cannot isolate: code in a box %s", tests[i].say);
		if (!rc)
			s->canaries |= 1u << i;
	}
	if (b) {
		box_destroy(b, "canaries done", true);
		box_unref(b);
	}
	close(fd);
	return rc;
}
