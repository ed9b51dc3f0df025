/*
 * What the server tries at start: may code in a box do what it must not? Run as an
 * ordinary program of the box. Exit 0: refused, as it should be; 1: it worked.
 */
#include "agent.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int
reaches(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return 0;
	inet_pton(AF_INET, ip, &a.sin_addr);
	rc = connect(fd, (const struct sockaddr *)&a, sizeof a);
	if (rc < 0 && errno == EINPROGRESS) {
		/* a refusal on our own loopback comes late; silence means packets leave */
		struct pollfd pf = {.fd = fd, .events = POLLOUT};
		int e = 0;
		socklen_t n = sizeof e;

		rc = poll(&pf, 1, 1000) == 1 && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) && e
			 ? -1
			 : 0;
	}
	close(fd);
	return rc == 0;
}

static int
net(int port)
{
	static const int families[] = {AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG};

	if (reaches("127.0.0.1", port) || reaches("1.1.1.1", 80) || reaches("169.254.169.254", 80))
		return 1;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (socket(families[i], SOCK_RAW, 0) >= 0)
			return 1;
	return 0;
}

static int
writes(void)
{
	static const char *const places[] = {"/canary", "/usr/canary", "/etc/canary", "/dev/canary",
	    "/run/canary", "/home/canary", "/proc/sys/kernel/core_pattern"};

	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (open(places[i], O_WRONLY | (strncmp(places[i], "/proc", 5) ? O_CREAT : 0),
			0600) >= 0)
			return 1;
	return 0;
}

static int
forks(int limit)
{
	static pid_t kids[4096];
	int n = 0;

	if (limit < 0 || limit >= 4096)
		return 2;
	for (; n <= limit; n++) {
		kids[n] = fork();
		if (kids[n] < 0)
			break;
		if (!kids[n]) {
			pause();
			_exit(0);
		}
	}
	for (int i = 0; i < n; i++)
		kill(kids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return n > limit;
}

static int
memory(size_t bytes)
{
	volatile char *p =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 0;
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1;
	return 1;
}

/* No process of the box shows an environment that is not of the box. */
static int
environment(void)
{
	DIR *d;
	struct dirent *e;
	char path[300], b[4096];
	int bad = 0;

	if (getenv("E2B_SANDBOX") == NULL || !(d = opendir("/proc")))
		return 1;
	while ((e = readdir(d))) {
		int fd;
		ssize_t n;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    strtol(e->d_name, NULL, 10) == getpid())
			continue;
		snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		n = read(fd, b, sizeof b);
		if (n > 0)
			bad = 1;
		close(fd);
	}
	closedir(d);
	return bad;
}

static int
descriptors(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 1;
	return 0;
}

int
canary(int argc, char **argv)
{
	const char *what = argc > 0 ? argv[0] : "";
	long long n = argc > 1 ? strtoll(argv[1], NULL, 10) : 0;

	if (!strcmp(what, "env"))
		return environment();
	if (!strcmp(what, "fd"))
		return descriptors();
	if (!strcmp(what, "net"))
		return net((int)n);
	if (!strcmp(what, "write"))
		return writes();
	if (!strcmp(what, "mem"))
		return memory((size_t)n);
	if (!strcmp(what, "pids"))
		return forks((int)n);
	return 2;
}
