/* Signals for a whole tree of processes, found through /proc. */
#include "agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_SEEN 4096

struct one {
	int pid, parent, group, session, threads;
	bool in;
};

static bool
read_stat(const char *name, struct one *o)
{
	char path[64], b[512];
	const char *p;
	ssize_t n;
	int fd;

	if (snprintf(path, sizeof path, "/proc/%.20s/stat", name) < 0 ||
	    (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	n = read(fd, b, sizeof b - 1);
	close(fd);
	if (n <= 0)
		return false;
	b[n] = 0;
	/* the name in parentheses may hold anything, so count from its end */
	p = strrchr(b, ')');
	o->pid = (int)strtol(name, NULL, 10);
	o->in = false;
	/* state, then 15 fields on: the number of threads */
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
	return p && sscanf(p + 1,
			" %*c %d %d %d %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			"%*s %*s %*s %*s %d",
			&o->parent, &o->group, &o->session, &o->threads) == 4;
}

static size_t
scan(struct one *v)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	size_t n = 0;

	while (d && n < MAX_SEEN && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_stat(e->d_name, &v[n]) &&
		    v[n].pid != 1)
			n++;
	if (d)
		closedir(d);
	return n;
}

void
tree_signal(int pid, int sig)
{
	static struct one v[MAX_SEEN];
	int rounds = sig == SIGKILL ? 16 : 1;

	/* a fork between reading and killing is met in the next round */
	while (rounds--) {
		size_t n = scan(v), hit = 0;
		bool more = true;

		for (size_t i = 0; i < n; i++)
			v[i].in = v[i].pid == pid || v[i].group == pid || v[i].session == pid;
		while (more) {
			more = false;
			for (size_t i = 0; i < n; i++)
				for (size_t j = 0; !v[i].in && j < n; j++)
					if (v[j].in && v[i].parent == v[j].pid)
						more = v[i].in = true;
		}
		for (size_t i = 0; i < n; i++)
			if (v[i].in && !kill(v[i].pid, sig))
				hit++;
		if (!hit)
			return;
		if (sig == SIGKILL)
			proc_reap();
	}
}

uint32_t
tree_count(void)
{
	static struct one v[MAX_SEEN];
	size_t n = scan(v);
	uint32_t sum = 1; /* the agent */

	for (size_t i = 0; i < n; i++)
		sum += v[i].threads > 0 ? (uint32_t)v[i].threads : 0;
	return sum;
}
