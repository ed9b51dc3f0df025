#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <azlon/log.h>
#include "notify.h"

static struct sockaddr_un to;
static socklen_t to_bytes;

void
notify_begin(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t n = name ? strlen(name) : 0;

	if (n > 1 && n < sizeof to.sun_path && (name[0] == '/' || name[0] == '@')) {
		to.sun_family = AF_UNIX;
		memcpy(to.sun_path, name, n);
		if (name[0] == '@') /* an abstract one */
			to.sun_path[0] = 0;
		to_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	unsetenv("NOTIFY_SOCKET");
}

void
notify_ready(void)
{
	static const char text[] = "READY=1";
	int fd;

	if (!to_bytes)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, sizeof text - 1, 0, (struct sockaddr *)&to, to_bytes) < 0)
		az_log(AZ_WARN, "process.notify", AZ_KN("sys", errno));
	if (fd >= 0)
		close(fd);
}
