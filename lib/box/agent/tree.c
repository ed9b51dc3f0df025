/* The processes of the box, found through /proc: signals for a tree or all, what they use. */
#include "agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_SEEN 4096

struct one {
	int pid, parent, group, session, threads;
	char state;
	unsigned long long ticks; /* CPU, its dead children's too */
	long long pages;
	bool in;
};

static struct one seen[MAX_SEEN];
static int held[MAX_SEEN]; /* stopped before everybody was */
static size_t helds;

static bool
read_stat(const char *name, struct one *o)
{
	char path[64], b[512];
	unsigned long long t[4];
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
	/* from the state on; after 7 more the four times, and so on */
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
	if (!p || sscanf(p + 1,
		      " %c %d %d %d %*s %*s %*s %*s %*s %*s %*s %llu %llu %llu %llu "
		      "%*s %*s %d %*s %*s %*s %lld",
		      &o->state, &o->parent, &o->group, &o->session, &t[0], &t[1], &t[2], &t[3],
		      &o->threads, &o->pages) != 10)
		return false;
	o->ticks = t[0] + t[1] + t[2] + t[3];
	return true;
}

static size_t
scan(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	size_t n = 0;

	while (d && n < MAX_SEEN && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_stat(e->d_name, &seen[n]) &&
		    seen[n].pid != 1)
			n++;
	if (d)
		closedir(d);
	return n;
}

void
tree_signal(int pid, int sig)
{
	struct one *v = seen;
	int rounds = sig == SIGKILL ? 16 : 1;

	/* a fork between reading and killing is met in the next round */
	while (rounds--) {
		size_t n = scan(), hit = 0;
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
	size_t n = scan();
	uint32_t sum = 1; /* the agent */

	for (size_t i = 0; i < n; i++)
		sum += seen[i].threads > 0 ? (uint32_t)seen[i].threads : 0;
	return sum;
}

static uint64_t
own_us(int who)
{
	struct rusage r;

	if (getrusage(who, &r) < 0)
		return 0;
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

void
tree_freeze(bool on)
{
	size_t n = scan();

	if (on) {
		helds = 0;
		for (size_t i = 0; i < n; i++)
			if (seen[i].state == 'T')
				held[helds++] = seen[i].pid;
		/* one call for all: nobody forks past it, and who is stopped wakes nobody */
		kill(-1, SIGSTOP);
		return;
	}
	/* the youngest first: a shell that asks for its child finds it running */
	while (n--) {
		bool was = false;

		for (size_t i = 0; i < helds; i++)
			was |= held[i] == seen[n].pid;
		if (!was)
			kill(seen[n].pid, SIGCONT);
	}
	helds = 0;
}

void
usage_send(uint32_t id)
{
	uint64_t us = own_us(RUSAGE_SELF) + own_us(RUSAGE_CHILDREN), pages = 0, home = 0;
	uint64_t tick = (uint64_t)sysconf(_SC_CLK_TCK), page = (uint64_t)sysconf(_SC_PAGESIZE);
	size_t n = scan();
	unsigned char b[24];
	struct statvfs fs;

	for (size_t i = 0; i < n; i++) {
		us += seen[i].ticks * 1000000 / tick;
		pages += seen[i].pages > 0 ? (uint64_t)seen[i].pages : 0;
	}
	if (!statvfs(AG_HOME, &fs))
		home = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	aw_store(b, us, 8);
	aw_store(b + 8, pages * page, 8);
	aw_store(b + 16, home, 8);
	out_frame(id, AW_USED, b, sizeof b);
}
