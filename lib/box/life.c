/* A box from birth to the moment nothing of it is left. */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <azlon/crypto.h>

#define BIRTH_MS 15000

void
token_make(char out[BOX_TOKEN + 1])
{
	unsigned char raw[BOX_TOKEN / 2];

	az_random(raw, sizeof raw);
	az_hex(raw, sizeof raw, out);
}

static void
new_names(struct box *b)
{
	static const char abc[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	b->id[0] = 'i';
	for (int i = 1; i < BOX_ID; i++)
		b->id[i] = abc[az_random_below(36)];
	token_make(b->token);
}

static struct box *
box_new(struct az_box_server *s, int64_t memory)
{
	struct box *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	new_names(b);
	b->srv = s;
	b->refs = 1;
	b->sock = b->init_fd = -1;
	b->pid = -1;
	b->slot = -1;
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->memory = memory;
	b->next_id = 1;
	az_buf_init(&b->out, AZ_MIB(8));
	pthread_mutex_init(&b->mu, NULL);
	az_cond_init(&b->cond);
	return b;
}

/* Whose it is, and for how long: before it is on the table. */
static void
dedicate(struct box *b, struct az_json *req, int64_t timeout_s)
{
	b->req = req;
	b->meta = az_json_get(req, "metadata");
	b->envs = az_json_get(req, "envVars");
	b->started_ms = az_wall_ms();
	b->end_ms = b->started_ms + timeout_s * 1000;
	b->deadline_ms = az_boot_ms() + timeout_s * 1000;
	b->ttl_s = timeout_s;
	b->auto_pause = az_json_getb(req, "autoPause", false);
	b->auto_pause_memory = az_json_getb(req, "autoPauseMemory", true);
	b->auto_resume = az_json_getb(az_json_get(req, "autoResume"), "enabled", false);
	meter_reset(b);
}

/* The pid of the box's PID 1 from bwrap's info; -1 when it died first. */
static int
init_pid(int fd, int64_t deadline_ms)
{
	char text[512];
	size_t n = 0;
	const char *p;

	for (;;) {
		struct pollfd pf = {.fd = fd, .events = POLLIN};
		int64_t left = deadline_ms - az_boot_ms();
		ssize_t k;

		if (left <= 0 || poll(&pf, 1, (int)left) <= 0)
			return -1;
		k = read(fd, text + n, sizeof text - 1 - n);
		if (k <= 0)
			return -1;
		n += (size_t)k;
		text[n] = 0;
		p = strstr(text, "\"child-pid\":");
		if (p && strchr(p, '}')) {
			struct az_str v = az_str_c(p + 12);
			int64_t pid;
			size_t d = 0;

			v = az_str_trim(v);
			while (d < v.n && v.p[d] >= '0' && v.p[d] <= '9')
				d++;
			return az_str_to_i64(az_str_sub(v, 0, d), 2, INT32_MAX, &pid) ? (int)pid
										      : -1;
		}
		if (n == sizeof text - 1)
			return -1;
	}
}

/* What bwrap complained about, as one line. */
static void
complaint(int fd, char *out, size_t size)
{
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	n = read(fd, out, size - 1);
	out[n > 0 ? n : 0] = 0;
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

/* Readable pidfd within ms: that process is dead. */
static bool
dead_within(int fd, int ms)
{
	struct pollfd pf = {.fd = fd, .events = POLLIN};

	return fd >= 0 && poll(&pf, 1, ms) == 1;
}

/* Who is frozen does not even die, and a pause under way may freeze it yet. */
static void
thaw_until_dead(struct box *b, int ms)
{
	int64_t until = az_boot_ms() + ms;
	enum box_state state;

	pthread_mutex_lock(&b->mu);
	state = b->state;
	pthread_mutex_unlock(&b->mu);
	do {
		if (state != BOX_RUNNING)
			cg_thaw(&b->srv->cg, b->id);
	} while (!dead_within(b->init_fd, state == BOX_RUNNING ? ms : 20) && az_boot_ms() < until);
}

static void
reap(struct box *b)
{
	int st, fd = b->pid > 0 ? (int)syscall(SYS_pidfd_open, b->pid, 0) : -1;

	/* when PID 1 dies everybody in its namespace does; bwrap then buries it, so
	   that no corpse is left to the host's init, and ends by itself */
	if (b->init_fd >= 0) {
		syscall(SYS_pidfd_send_signal, b->init_fd, SIGKILL, NULL, 0);
		thaw_until_dead(b, 5000);
	}
	if (b->pid > 0) {
		if (b->init_fd < 0 || !dead_within(fd, 1000))
			kill(b->pid, SIGKILL);
		while (waitpid(b->pid, &st, 0) < 0 && errno == EINTR)
			;
		b->pid = -1;
	}
	if (fd >= 0)
		close(fd);
	cg_remove(&b->srv->cg, b->id);
}

static void
unlist(struct box *b)
{
	struct az_box_server *s = b->srv;
	bool was = false;

	pthread_mutex_lock(&s->mu);
	for (struct box **pp = &s->boxes; *pp; pp = &(*pp)->next)
		if (*pp == b) {
			*pp = b->next;
			was = true;
			break;
		}
	pthread_mutex_unlock(&s->mu);
	if (was)
		box_unref(b);
}

/* The thread of a box: serves its socket, then buries it. */
static void *
io_main(void *arg)
{
	struct box *b = arg;
	struct az_box_server *s = b->srv;

	link_main(b);
	reap(b);
	journal_keep(b); /* who waits for its end may ask how it was */
	pthread_mutex_lock(&b->mu);
	b->gone = true;
	pthread_cond_broadcast(&b->cond);
	pthread_mutex_unlock(&b->mu);
	az_log(AZ_INFO, "box.end", AZ_KC("box", b->id), AZ_KC("why", b->why));
	unlist(b);
	spare_forget(b);
	home_remove(b);
	slot_free(s, b->slot);
	box_unref(b);
	pthread_mutex_lock(&s->mu);
	s->live--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

static enum az_code
start(struct box *b, const char *root, struct az_err *err)
{
	struct az_box_server *s = b->srv;
	struct cg_limits lim = {b->memory, s->pids, s->cpu_pct};
	struct spawn j = {.home_bytes = s->disk,
	    .memory = b->memory,
	    .root = root,
	    .pid = -1,
	    .sock = -1,
	    .info = -1,
	    .err = -1};
	int64_t deadline = az_boot_ms() + BIRTH_MS;
	char why[200] = "";
	enum az_code rc;
	int ipid;

	for (int k = 0; k < CG_KINDS; k++)
		j.procs[k] = -1;
	if (b->wake < 0)
		return az_fail_errno(err, AZ_EUNAVAIL, "box.create", "eventfd");
	if ((rc = slot_alloc(s, &b->slot, err)))
		return rc;
	j.ns = slot_ns(s, b->slot);
	if (!s->tmpfs_home) {
		if ((rc = home_make(b, err)))
			return rc;
		j.home = b->home;
	}
	j.rlimits = s->cg.mode == CG_NONE;
	if ((rc = cg_make(&s->cg, b->id, &lim, j.procs, err)))
		return rc;
	rc = spawner_run(s->spawner, &j, err);
	for (int k = 0; k < CG_KINDS; k++)
		if (j.procs[k] >= 0)
			close(j.procs[k]);
	if (rc)
		return rc;
	b->pid = j.pid;
	b->sock = j.sock;
	fcntl(b->sock, F_SETFL, O_NONBLOCK);
	ipid = init_pid(j.info, deadline);
	if (ipid > 0)
		b->init_fd = (int)syscall(SYS_pidfd_open, ipid, 0);
	b->refs++; /* the thread's */
	pthread_mutex_lock(&s->mu);
	s->live++;
	pthread_mutex_unlock(&s->mu);
	b->served = true;
	if (!thread_start(&b->io, io_main, b, true)) {
		b->served = false;
		pthread_mutex_lock(&s->mu);
		s->live--;
		pthread_mutex_unlock(&s->mu);
		box_unref(b);
		close(j.info);
		close(j.err);
		return az_fail(err, AZ_EUNAVAIL, "box.create", "cannot start a thread");
	}
	pthread_mutex_lock(&b->mu);
	while (!b->hello && !b->dead && az_cond_wait(&b->cond, &b->mu, deadline))
		;
	if (!b->hello || b->dead)
		rc = AZ_EUNAVAIL;
	pthread_mutex_unlock(&b->mu);
	if (rc) {
		complaint(j.err, why, sizeof why);
		az_fail(err, rc, "box.create", "the sandbox did not start%s%.180s",
		    why[0] ? ": " : "", why);
	} else if (b->hello_env || b->hello_fds) {
		rc = az_fail(err, AZ_EINTERNAL, "box.create",
		    "the agent inherited %u variables and %u descriptors", b->hello_env,
		    b->hello_fds);
	}
	close(j.info);
	close(j.err);
	return rc;
}

enum az_code
box_prepare(struct az_box_server *s, struct az_str template, int64_t memory, struct box **out,
    struct az_err *err)
{
	struct box *b = box_new(s, memory);
	char root[600];
	enum az_code rc;

	if (!b)
		return az_fail(err, AZ_ENOMEM, "box.create", "out of memory");
	template_root(s, template, root, sizeof root);
	rc = start(b, root[0] ? root : NULL, err);
	if (!rc) {
		*out = b;
		return AZ_OK;
	}
	if (b->sock >= 0) {
		box_destroy(b, "did not start", true);
	} else {
		cg_remove(&s->cg, b->id);
		home_remove(b);
		slot_free(s, b->slot);
	}
	box_unref(b);
	return rc;
}

enum az_code
box_create_own(struct az_box_server *s, struct az_json *req, int64_t timeout_s, int64_t memory,
    struct box **out, struct az_err *err)
{
	struct az_str template = az_json_gets(req, "templateID");
	struct box *b = NULL;
	enum az_code rc = AZ_OK;
	bool dead;

	if (memory == s->memory && template_is_base(template))
		b = spare_take(s);
	if (!b)
		rc = box_prepare(s, template, memory, &b, err);
	if (!b) {
		az_json_free(req);
		return rc;
	}
	dedicate(b, req, timeout_s);
	pthread_mutex_lock(&s->mu);
	if (s->stopping) {
		rc = az_fail(err, AZ_EUNAVAIL, "box.create", "stopping");
	} else {
		b->next = s->boxes;
		s->boxes = b;
		b->refs++;
		pthread_mutex_lock(&b->mu);
		note(b, AZ_INFO, "sandbox started", AZ_KS("template", template),
		    AZ_KN("timeout", timeout_s));
		pthread_mutex_unlock(&b->mu);
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->mu);
	/* it may have died before it was on the table */
	pthread_mutex_lock(&b->mu);
	dead = b->dead;
	pthread_mutex_unlock(&b->mu);
	if (!rc && dead) {
		unlist(b);
		rc = az_fail(err, AZ_EUNAVAIL, "box.create", "the sandbox ended at once");
	}
	if (rc) {
		box_destroy(b, "did not start", true);
		box_unref(b);
		return rc;
	}
	*out = b;
	return AZ_OK;
}

void
box_destroy(struct box *b, const char *why, bool wait)
{
	int64_t deadline;

	unlist(b);
	pthread_mutex_lock(&b->mu);
	if (!b->dead) {
		b->dead = true;
		snprintf(b->why, sizeof b->why, "%s", why);
		pthread_cond_broadcast(&b->cond);
	}
	/* frozen, stopped or busy: it cannot delay this */
	if (!b->gone && b->init_fd >= 0)
		syscall(SYS_pidfd_send_signal, b->init_fd, SIGKILL, NULL, 0);
	link_wake(b);
	deadline = az_boot_ms() + 10000;
	while (wait && b->served && !b->gone && az_cond_wait(&b->cond, &b->mu, deadline))
		;
	pthread_mutex_unlock(&b->mu);
	if (!b->served)
		reap(b);
}
