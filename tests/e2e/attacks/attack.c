/*
 * What hostile code tries, one attempt a name: exit 0 when it was refused, 1 when it worked,
 * 2 when the attempt itself is broken. Built and run inside a sandbox; attack.py has the same.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024l * 1024)

static int
forks(void)
{
	int n = 0;
	pid_t p;

	while (n < 500 && (p = fork()) >= 0) {
		if (!p) {
			pause();
			_exit(0);
		}
		n++;
	}
	return n >= 500;
}

static void *
idle(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

static int
threads(void)
{
	pthread_attr_t a;
	pthread_t t;
	int n = 0;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	while (n < 500 && !pthread_create(&t, &a, idle, NULL))
		n++;
	return n >= 500;
}

static int
heap(void)
{
	for (long n = 0; n < 4096; n += 16) {
		char *p = malloc(16 * MIB);

		if (!p)
			return 0;
		memset(p, 1, 16 * MIB);
	}
	return 1;
}

/* Write until refused; true when all of it went in. */
static int
fills(int fd, long mib)
{
	static char b[MIB];

	memset(b, 1, sizeof b);
	for (long i = 0; i < mib; i++)
		if (write(fd, b, sizeof b) != sizeof b)
			return 0;
	return 1;
}

static int
tmpfs(void)
{
	static const char *const at[] = {"/tmp/fill", "/dev/shm/fill"};

	for (int i = 0; i < 2; i++) {
		int fd = open(at[i], O_WRONLY | O_CREAT, 0600);

		if (fd < 0)
			return 2;
		if (fills(fd, 512))
			return 1;
		close(fd);
		unlink(at[i]);
	}
	return 0;
}

static int
memfd(void)
{
	int fd = memfd_create("x", 0);

	return fd < 0 ? 0 : fills(fd, 4096);
}

static int
pipes(void)
{
	static char b[MIB];

	for (int i = 0; i < 5000; i++) {
		int p[2];

		if (pipe(p) < 0)
			return 0;
		fcntl(p[1], F_SETPIPE_SZ, MIB);
		fcntl(p[1], F_SETFL, O_NONBLOCK);
		while (write(p[1], b, sizeof b) > 0)
			;
	}
	return 1;
}

static int
sockets(void)
{
	static char b[65536];

	for (int i = 0; i < 5000; i++) {
		int s[2];

		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) < 0)
			return 0;
		while (send(s[0], b, sizeof b, 0) > 0)
			;
	}
	return 1;
}

/* Reading what one wrote, over and over: the cache is the box's own, and may be dropped. */
static int
cache(void)
{
	static char b[MIB];
	int fd = open("cache.bin", O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return 2;
	(void)fills(fd, 144);
	for (int k = 0; k < 4; k++) {
		lseek(fd, 0, SEEK_SET);
		while (read(fd, b, sizeof b) > 0)
			;
	}
	close(fd);
	unlink("cache.bin");
	return 0;
}

static int
disk(void)
{
	for (int i = 0; i < 64; i++) {
		char name[32];
		int fd, all;

		snprintf(name, sizeof name, "fill%d", i);
		fd = open(name, O_WRONLY | O_CREAT, 0600);
		if (fd < 0)
			return 0;
		all = fills(fd, 64);
		close(fd);
		if (!all)
			return 0;
	}
	return 1;
}

static int
inodes(void)
{
	for (int i = 0; i < 2000000; i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof name, "%s/i%d", i % 2 ? "/tmp" : ".", i);
		fd = open(name, O_WRONLY | O_CREAT, 0600);
		if (fd < 0)
			return 0;
		close(fd);
	}
	return 1;
}

static int
sparse(void)
{
	int fd = open("giant", O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return 2;
	signal(SIGXFSZ, SIG_IGN);
	return !ftruncate(fd, 1l << 40);
}

/* Any process that is not ours: its secrets. */
static int
others(void)
{
	static const char *const what[] = {"environ", "mem", "maps", "stack", "syscall", "auxv"};
	DIR *d = opendir("/proc");
	struct dirent *e;
	char path[300], b[64];

	while ((e = readdir(d))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == getpid() ||
		    atoi(e->d_name) == getppid())
			continue;
		for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
			int fd;

			snprintf(path, sizeof path, "/proc/%.20s/%s", e->d_name, what[i]);
			fd = open(path, O_RDONLY);
			if (fd >= 0 && (!strcmp(what[i], "mem") || read(fd, b, sizeof b) > 0) &&
			    atoi(e->d_name) == 1)
				return 1;
		}
		snprintf(path, sizeof path, "/proc/%.20s/fd", e->d_name);
		if (atoi(e->d_name) == 1 && opendir(path))
			return 1;
	}
	return 0;
}

static int
descriptors(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 1;
	return 0;
}

static int
keys(void)
{
	return syscall(SYS_keyctl, 0, -3, 0) >= 0 ||
	       syscall(SYS_add_key, "user", "x", "y", 1, -3) >= 0 ||
	       syscall(SYS_request_key, "user", "x", NULL, -3) >= 0;
}

static int
host_files(void)
{
	static const char *const secret[] = {"/etc/shadow", "/root/.bashrc", "/var/log/dpkg.log",
	    "/var/lib/azlon", "/etc/machine-id", "/sys/kernel", "/dev/mem", "/dev/kmsg", "/dev/vda",
	    "/run/systemd", "/boot/vmlinuz", "/proc/kcore", "/proc/kallsyms", "/proc/keys"};
	char b[16];

	for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
		int fd = open(secret[i], O_RDONLY);

		if (fd >= 0 && (read(fd, b, sizeof b) != 0))
			return 1;
	}
	return 0;
}

static int
proc_secrets(void)
{
	static const char *const hidden[] = {"/proc/cmdline", "/proc/partitions", "/proc/modules",
	    "/proc/interrupts", "/proc/timer_list", "/proc/sys/kernel/random/boot_id",
	    "/proc/sys/kernel/core_pattern", "/proc/vmallocinfo"};
	static const char *const written[] = {"/proc/sys/kernel/core_pattern",
	    "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/self/oom_score_adj",
	    "/proc/1/oom_score_adj", "/proc/sys/kernel/hostname"};
	char b[16];

	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
		int fd = open(hidden[i], O_RDONLY);

		if (fd >= 0 && read(fd, b, sizeof b) > 0)
			return 1;
	}
	for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
		int fd = open(written[i], O_WRONLY);

		if (fd >= 0 && write(fd, "-900", 4) > 0)
			return 1;
	}
	return 0;
}

static int
trace(void)
{
	char b[8];
	struct {
		void *p;
		size_t n;
	} l = {b, 8}, r = {(void *)0x400000, 8};

	return syscall(SYS_ptrace, 16, 1, 0, 0) >= 0 || syscall(SYS_ptrace, 0, 0, 0, 0) >= 0 ||
	       syscall(SYS_process_vm_readv, 1, &l, 1, &r, 1, 0) >= 0 ||
	       syscall(SYS_process_vm_writev, 1, &l, 1, &r, 1, 0) >= 0 ||
	       syscall(SYS_kcmp, 1, 1, 0, 0, 0) >= 0 || syscall(438, 0, 0, 0) >= 0;
}

static int
mounts(void)
{
	return !mount("x", "/tmp", "tmpfs", 0, NULL) || !umount2("/tmp", MNT_DETACH) ||
	       !mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) ||
	       syscall(SYS_pivot_root, "/tmp", "/tmp") >= 0 || !chroot("/tmp") ||
	       syscall(428, -100, "/", 1) >= 0 || syscall(429, 0, "", 0, "", 0) >= 0 ||
	       syscall(430, "tmpfs", 0) >= 0 || syscall(442, -100, "/", 0, NULL, 0) >= 0 ||
	       syscall(SYS_name_to_handle_at, -100, "/", NULL, NULL, 0) >= 0 ||
	       syscall(SYS_open_by_handle_at, 0, NULL, 0) >= 0;
}

static int
namespaces(void)
{
	static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
	    CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, 0x80};
	int fd = open("/proc/self/ns/net", O_RDONLY);

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		long p;

		if (!unshare(flags[i]))
			return 1;
		p = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
		if (!p)
			_exit(0);
		if (p > 0)
			return 1;
	}
	return (fd >= 0 && !setns(fd, 0)) || syscall(435, NULL, 0) >= 0 || errno != ENOSYS;
}

static int
kernel(void)
{
	char attr[128] = {0};

	return syscall(SYS_bpf, 0, attr, sizeof attr) >= 0 ||
	       syscall(SYS_perf_event_open, attr, 0, -1, -1, 0) >= 0 ||
	       syscall(425, 8, attr) >= 0 || syscall(426, 0, 0, 0, 0, 0) >= 0 ||
	       syscall(SYS_userfaultfd, 0) >= 0 || syscall(SYS_userfaultfd, 1) >= 0 ||
	       syscall(SYS_personality, 0x40000) >= 0 || syscall(SYS_init_module, 0, 0, "") >= 0 ||
	       syscall(SYS_syslog, 3, attr, 64) >= 0 || !sethostname("x", 1) ||
	       syscall(SYS_swapon, "/tmp", 0) >= 0 || syscall(SYS_acct, "/tmp/x") >= 0 ||
	       syscall(SYS_settimeofday, attr, NULL) >= 0;
}

static int
devices(void)
{
	return !mknod("/tmp/m", S_IFCHR | 0666, makedev(1, 1)) ||
	       !mknod("/tmp/b", S_IFBLK | 0666, makedev(254, 0)) || open("/dev/mem", O_RDONLY) >= 0;
}

static int
terminal(void)
{
	unsigned long sti = 0x5412, linux_ = 0x541c, high = 0x100000000ul;
	char c = 'x';

	return syscall(SYS_ioctl, 0, sti, &c) >= 0 || errno != EPERM ||
	       syscall(SYS_ioctl, 0, sti | high, &c) >= 0 || errno != EPERM ||
	       syscall(SYS_ioctl, 0, linux_, &c) >= 0 || errno != EPERM;
}

static int
families(void)
{
	for (int f = 0; f < 46; f++) {
		int fd = socket(f, SOCK_RAW, 0), fe = socket(f, SOCK_DGRAM, 0);

		if (f != AF_UNIX && f != AF_INET && f != AF_INET6 && (fd >= 0 || fe >= 0))
			return 1;
		/* raw sockets of the families that there are need a capability */
		if (f != AF_UNIX && fd >= 0)
			return 1;
		close(fe);
	}
	return 0;
}

static int
reaches(int family, const void *a, socklen_t n, int type)
{
	int fd = socket(family, type | SOCK_NONBLOCK, 0), e = 0;
	socklen_t k = sizeof e;
	struct pollfd p = {fd, POLLOUT, 0};

	if (fd < 0)
		return 0;
	if (connect(fd, a, n) < 0 && errno != EINPROGRESS)
		return 0;
	if (type == SOCK_DGRAM)
		return send(fd, "x", 1, 0) == 1;
	return poll(&p, 1, 300) == 1 && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &k) && !e;
}

static int
network(void)
{
	static const char *const to[] = {"10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
	    "100.64.0.1", "1.1.1.1", "8.8.8.8"};
	static const int ports[] = {22, 53, 80, 443, 8000, 8090, 5432};
	struct sockaddr_in a = {.sin_family = AF_INET};
	struct sockaddr_in6 b = {.sin6_family = AF_INET6};
	struct sockaddr_un u = {.sun_family = AF_UNIX};

	for (size_t k = 0; k < sizeof ports / sizeof *ports; k++) {
		a.sin_port = b.sin6_port = htons((unsigned short)ports[k]);
		for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
			inet_pton(AF_INET, to[i], &a.sin_addr);
			if (reaches(AF_INET, &a, sizeof a, SOCK_STREAM) ||
			    reaches(AF_INET, &a, sizeof a, SOCK_DGRAM))
				return 1;
		}
		inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
		inet_pton(AF_INET6, "::1", &b.sin6_addr);
		if (reaches(AF_INET, &a, sizeof a, SOCK_STREAM) ||
		    reaches(AF_INET6, &b, sizeof b, SOCK_STREAM))
			return 1;
		inet_pton(AF_INET6, "2606:4700:4700::1111", &b.sin6_addr);
		if (reaches(AF_INET6, &b, sizeof b, SOCK_STREAM))
			return 1;
	}
	/* abstract sockets of the host */
	memcpy(u.sun_path, "\0/tmp/.X11-unix/X0", 18);
	return reaches(AF_UNIX, &u, sizeof(sa_family_t) + 18, SOCK_STREAM);
}

/* The agent: signals, its descriptors, its memory. */
static int
agent(void)
{
	for (int i = 1; i < 65; i++)
		kill(1, i);
	for (int i = 0; i < 2000; i++)
		kill(1, SIGCHLD);
	return syscall(SYS_ptrace, 16, 1, 0, 0) >= 0 || open("/proc/1/mem", O_RDWR) >= 0 ||
	       open("/proc/1/fd/10", O_RDWR) >= 0 || syscall(438, syscall(434, 1, 0), 10, 0) >= 0;
}

#ifdef __x86_64__
static int
abi32(void)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); /* getpid of i386 */
	return 1;
}

static int
x32(void)
{
	return syscall(0x40000000 + 39) >= 0 || 1;
}
#endif

static int
daemons(void)
{
	for (int i = 0; i < 5; i++)
		if (!fork()) {
			setsid();
			for (int s = 1; s < 65; s++)
				signal(s, SIG_IGN);
			if (!fork())
				for (;;)
					pause();
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} all[] = {
	    {"forks", forks},
	    {"threads", threads},
	    {"heap", heap},
	    {"tmpfs", tmpfs},
	    {"memfd", memfd},
	    {"pipes", pipes},
	    {"sockets", sockets},
	    {"cache", cache},
	    {"disk", disk},
	    {"inodes", inodes},
	    {"sparse", sparse},
	    {"others", others},
	    {"descriptors", descriptors},
	    {"keys", keys},
	    {"host_files", host_files},
	    {"proc_secrets", proc_secrets},
	    {"trace", trace},
	    {"mounts", mounts},
	    {"namespaces", namespaces},
	    {"kernel", kernel},
	    {"devices", devices},
	    {"terminal", terminal},
	    {"families", families},
	    {"network", network},
	    {"agent", agent},
	    {"daemons", daemons},
#ifdef __x86_64__
	    {"abi32", abi32},
	    {"x32", x32},
#endif
	};

	for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(argv[1], all[i].name))
			return all[i].run();
	return 2;
}
