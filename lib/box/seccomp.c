/* The system calls a box may not make: a deny list, exported as BPF for bubblewrap. */
#include "box.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* By name: what this libseccomp does not know it cannot allow by mistake either, since
   a kernel newer than the list is covered by the empty capability set. */
static const char *const denied[] = {
    /* kernels within the kernel */
    "bpf",
    "perf_event_open",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    /* other processes */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "process_madvise",
    "move_pages",
    "migrate_pages",
    /* keys */
    "add_key",
    "request_key",
    "keyctl",
    /* mounts and namespaces */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "unshare",
    "setns",
    "open_by_handle_at",
    "name_to_handle_at",
    "quotactl",
    "quotactl_fd",
    "fanotify_init",
    "fanotify_mark",
    /* the machine */
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "syslog",
    "iopl",
    "ioperm",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "vhangup",
    "nfsservctl",
    "lookup_dcookie",
    "uselib",
    "_sysctl",
    "personality",
    "modify_ldt",
    "memfd_secret",
    "mbind",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "vm86",
    "vm86old",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "sysfs",
    "ustat",
};

/* Of kernels younger than libseccomp may be; since 5.x one number serves all machines. */
static const int young[] = {
    428, /* open_tree */
    442, /* mount_setattr */
    443, /* quotactl_fd */
    447, /* memfd_secret */
    457, /* statmount */
    458, /* listmount */
    467, /* open_tree_attr */
};

static int
add_rules(scmp_filter_ctx c)
{
	static const uint64_t spaces[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
	    CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME};
	static const unsigned tty[] = {TIOCSTI, TIOCLINUX};
	int rc = 0;

	for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
		int nr = seccomp_syscall_resolve_name(denied[i]);

		if (nr != __NR_SCMP_ERROR)
			rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), nr, 0);
	}
	for (size_t i = 0; i < sizeof young / sizeof *young; i++)
		rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), young[i], 0);
	/* flags of clone3 stand in memory where no filter sees them; libc falls back */
	rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
		rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
	/* the kernel looks at the low 32 bits of an ioctl number only */
	for (size_t i = 0; i < sizeof tty / sizeof *tty; i++)
		rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, tty[i]));
	/* UNIX 1, INET 2, INET6 10: a network namespace does not cover the others */
	for (unsigned f = 0; f <= 11; f++) {
		if (f == AF_UNIX || f == AF_INET || f == AF_INET6)
			continue;
		for (int k = 0; k < 2; k++)
			rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(EAFNOSUPPORT),
			    k ? SCMP_SYS(socketpair) : SCMP_SYS(socket), 1,
			    SCMP_A0(f < 11 ? SCMP_CMP_EQ : SCMP_CMP_GE, f, 0));
	}
	return rc;
}

enum az_code
filter_build(struct az_buf *bpf, struct az_err *err)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	enum az_code rc = AZ_EINTERNAL;
	char b[4096];
	ssize_t n = 0;
	int fd = memfd_create("filter", MFD_CLOEXEC);

	if (!c || fd < 0 ||
	    seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
	    add_rules(c) < 0 || seccomp_export_bpf(c, fd) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		az_fail(err, rc, "box.seccomp", "cannot build the system call filter");
		goto out;
	}
	while ((n = read(fd, b, sizeof b)) > 0)
		az_buf_add(bpf, b, (size_t)n);
	rc = n < 0 ? az_fail_errno(err, AZ_EIO, "box.seccomp", "read")
		   : az_buf_check(bpf, "box.seccomp", err);
out:
	if (c)
		seccomp_release(c);
	if (fd >= 0)
		close(fd);
	return rc;
}
