/*
 * Two ids: the agent's own, and the programs'. With a pair of subordinate ids it starts as
 * the user with four capabilities, becomes the agent, and does what it does with files as
 * the user; its children become the user again, for good.
 */
#include "agent.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool pair;

bool
user_pair(void)
{
	pair = true;
	/* one id that is not 0 to another: the capabilities stay */
	if (syscall(SYS_setgroups, 0, NULL) < 0 ||
	    syscall(SYS_setresgid, AG_GID, AG_GID, AG_GID) < 0 ||
	    syscall(SYS_setresuid, AG_UID, AG_UID, AG_UID) < 0)
		return false;
	setfsgid(AG_USER);
	setfsuid(AG_USER);
	/* what is asked with -1 only tells */
	if (setfsgid((gid_t)-1) != AG_USER || setfsuid((uid_t)-1) != AG_USER)
		return false;
	/* lost by a change of ids; should bwrap have died before this, the socket says so */
	return !prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void
user_goes_first(void)
{
	int fd;

	/* /proc shows root as the owner of what cannot be dumped. Nothing of ours is left
	   here to be read or taken over: no descriptor, and limits are set */
	if (pair)
		setfsuid(AG_UID);
	prctl(PR_SET_DUMPABLE, 1);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, "500", 3); /* without it all works, a little less well */
		close(fd);
	}
}

bool
user_drop(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

	if (!pair)
		return true;
	/* between two ids that are not 0 nothing is lost by itself: every set by hand */
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
			return false;
	return syscall(SYS_setgroups, 0, NULL) == 0 &&
	       syscall(SYS_setresgid, AG_USER, AG_USER, AG_USER) == 0 &&
	       syscall(SYS_setresuid, AG_USER, AG_USER, AG_USER) == 0 &&
	       !prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) &&
	       syscall(SYS_capset, &head, none) == 0 && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
