/*
 * The accept loop: threads that take connections and serve them, signals, drain. Threads
 * are made when there is no idle one to lead, so a quiet process stays small.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "web.h"

#define THREADS_DEFAULT 64
#define THREADS_MAX 4096
#define CROWDED_PART 8 /* of the threads, an eighth is kept from who would wait */
#define DRAIN_MS 10000
#define PATIENT_MS 3600000 /* the same after SIGQUIT: another process serves already */
#define PATIENT_LOOK_MS 500
#define LATE_MS 2000  /* after a stop was asked: for who had connected before */
#define ABORT_MS 2000 /* after the drain: for handlers whose client was cut */
#define ARENA_BYTES AZ_MIB(8)

/* a sanitizer's frames are several times larger */
#if defined(__SANITIZE_ADDRESS__)
#define STACK_BYTES AZ_MIB(2)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define STACK_BYTES AZ_MIB(2)
#endif
#endif
#ifndef STACK_BYTES
#define STACK_BYTES AZ_KIB(256)
#endif

static void *thread_main(void *arg);

static pthread_once_t fcgx_once = PTHREAD_ONCE_INIT;
static int fcgx_failed;

static void
fcgx_init(void)
{
	fcgx_failed = FCGX_Init();
}

static void
stop_ask(struct web_server *s)
{
	uint64_t one = 1;

	atomic_store(&s->late_until, az_boot_ms() + LATE_MS);
	atomic_store(&s->stopping, true);
	/* never read: every later leader sees it too */
	(void)!write(s->stop_fd, &one, sizeof one);
	pthread_mutex_lock(&s->mu);
	for (struct web_thread *t = s->idle; t; t = t->next_idle)
		pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&s->mu);
}

bool
az_web_stopping(const struct az_rq *rq)
{
	return atomic_load(&rq->srv->stopping);
}

bool
az_web_crowded(const struct az_rq *rq)
{
	const struct web_server *s = rq->srv;

	return atomic_load(&s->serving) > s->max_threads - s->max_threads / CROWDED_PART;
}

enum az_code
web_thread_add(struct web_server *s, struct web_thread **out)
{
	struct web_thread *t;
	pthread_attr_t attr;
	int r;

	if (s->n_threads == s->max_threads || atomic_load(&s->stopping))
		return AZ_OK;
	if (!(t = calloc(1, sizeof *t)))
		return AZ_ENOMEM;
	t->s = s;
	pthread_cond_init(&t->wake, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&t->id, &attr, thread_main, t);
	pthread_attr_destroy(&attr);
	if (r != 0) {
		pthread_cond_destroy(&t->wake);
		free(t);
		return AZ_EUNAVAIL;
	}
	s->all[s->n_threads++] = t;
	s->n_alive++;
	*out = t;
	return AZ_OK;
}

/* Wait as the leader until somebody connects or a stop is asked; false when the socket is of
   no use. */
static bool
connection_wait(struct web_server *s)
{
	struct pollfd p[2] = {
	    {.fd = s->w->listen_fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
	int r;

	do
		r = poll(p, 2, -1);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return false;
	if (p[0].revents & (POLLERR | POLLNVAL | POLLHUP)) {
		az_log(AZ_ERROR, "web.listen", AZ_KC("err", "listening socket unusable"));
		atomic_store(&s->failed, true);
		stop_ask(s);
		return false;
	}
	return true;
}

/* Who connected before a stop was asked is still served: its connection is in the queue of a
   socket that may go with us. */
static bool
takes_more(const struct web_server *s)
{
	return !atomic_load(&s->stopping) || az_boot_ms() < atomic_load(&s->late_until);
}

/* The next connection: one that waits already, for that nobody has to lead, or one that
   comes. -1 when told to stop and none waits. */
static int
connection_next(struct web_thread *t)
{
	struct web_server *s = t->s;
	bool again = false;

	while (takes_more(s)) {
		int fd = web_conn_accept(s->w->listen_fd), sys = errno;

		if (fd >= 0)
			return fd;
		if (sys == EINTR || sys == ECONNABORTED)
			continue;
		if (!web_lead_take(t))
			break;
		if (sys == EAGAIN) {
			if (!connection_wait(s))
				break;
			continue;
		}
		/* only who leads complains and pauses */
		if (!again) {
			again = true;
			continue;
		}
		az_log(AZ_WARN, "web.accept", AZ_KN("sys", sys));
		/* out of descriptors or memory: let requests under way end */
		(void)poll(&(struct pollfd){.fd = s->stop_fd, .events = POLLIN}, 1, 100);
	}
	return -1;
}

static void
busy_set(struct web_thread *t, bool busy)
{
	pthread_mutex_lock(&t->s->mu);
	t->busy = busy;
	pthread_mutex_unlock(&t->s->mu);
}

static void
serve(struct web_thread *t, struct az_arena *arena)
{
	struct az_rq *rq = &t->rq;
	bool whole;

	memset(rq, 0, sizeof *rq);
	rq->srv = t->s;
	rq->f = &t->f;
	rq->arena = arena;
	rq->method = rq->path = rq->id = AZ_S("");
	az_buf_init(&rq->head, WEB_HEAD_BYTES);
	az_buf_init(&rq->begun, WEB_BEGUN_BYTES);
	web_answer_reset(rq);
	atomic_fetch_add(&t->s->serving, 1);
	busy_set(t, true);
	web_serve(rq);
	whole = web_conn_read_whole(rq);
	/* from here on f may close the descriptor */
	busy_set(t, false);
	atomic_fetch_sub(&t->s->serving, 1);
	az_buf_release(&rq->head);
	az_buf_release(&rq->begun);
	az_arena_reset(arena);
	web_conn_close(&t->f, whole);
}

/* Can this request be served by who leads? What changes something waits for the disk. */
static bool
short_read(const struct web_thread *t)
{
	struct az_str method = az_str_c(FCGX_GetParam("REQUEST_METHOD", t->f.envp));

	return az_str_eqc(method, "GET") || az_str_eqc(method, "HEAD");
}

static void *
thread_main(void *arg)
{
	struct web_thread *t = arg;
	struct web_server *s = t->s;
	size_t bytes = s->w->arena_bytes ? s->w->arena_bytes : ARENA_BYTES;
	struct az_arena *arena = az_arena_new(bytes);
	int fd;

	web_conn_init(&t->f);
	while (arena && (fd = connection_next(t)) >= 0) {
		if (s->w->short_reads)
			web_lead_carry(t);
		else
			web_lead_pass(t);
		if (!web_conn_open(&t->f, fd))
			continue;
		if (!short_read(t))
			web_lead_pass(t);
		serve(t, arena);
	}
	az_arena_free(arena);
	FCGX_Free(&t->f, 1);

	pthread_mutex_lock(&s->mu);
	if (s->leader == t) /* it never had an arena, or all stop */
		s->leader = NULL;
	s->n_alive--;
	pthread_cond_signal(&s->gone);
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

/* Wait until every thread ended; false when ms went by first. */
static bool
all_gone(struct web_server *s, int64_t ms)
{
	int64_t end = az_boot_ms() + ms;
	bool gone;

	pthread_mutex_lock(&s->mu);
	while (s->n_alive > 0 && az_cond_wait(&s->gone, &s->mu, end))
		continue;
	gone = s->n_alive == 0;
	pthread_mutex_unlock(&s->mu);
	return gone;
}

static void
cut_busy(struct web_server *s)
{
	pthread_mutex_lock(&s->mu);
	for (int i = 0; i < s->n_threads; i++)
		if (s->all[i]->busy && s->all[i]->f.ipcFd >= 0)
			(void)shutdown(s->all[i]->f.ipcFd, SHUT_RDWR);
	pthread_mutex_unlock(&s->mu);
}

/* After SIGQUIT: false when another signal or PATIENT_MS came before the last request's end. */
static bool
ended_in_peace(struct web_server *s, int sfd)
{
	struct pollfd p = {.fd = sfd, .events = POLLIN};
	int64_t end = az_boot_ms() + PATIENT_MS;

	while (az_boot_ms() < end && poll(&p, 1, 0) == 0)
		if (all_gone(s, PATIENT_LOOK_MS))
			return true;
	return false;
}

static void
server_free(struct web_server *s)
{
	for (int i = 0; s->all && i < s->n_threads; i++) {
		if (!s->all[i])
			continue;
		pthread_join(s->all[i]->id, NULL);
		pthread_cond_destroy(&s->all[i]->wake);
		free(s->all[i]);
	}
	free(s->all);
	free(s->counts);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	if (s->watch_fd >= 0)
		close(s->watch_fd);
	pthread_cond_destroy(&s->gone);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

static struct web_server *
server_new(const struct az_web *w)
{
	struct web_server *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->w = w;
	s->max_threads = w->threads > 0 ? w->threads : THREADS_DEFAULT;
	s->processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (s->max_threads > THREADS_MAX)
		s->max_threads = THREADS_MAX;
	pthread_mutex_init(&s->mu, NULL);
	az_cond_init(&s->gone);
	s->all = calloc((size_t)s->max_threads, sizeof(struct web_thread *));
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->watch_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!web_counts_open(s) || !s->all || s->stop_fd < 0 || s->watch_fd < 0) {
		server_free(s);
		return NULL;
	}
	return s;
}

static sigset_t
stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	return set;
}

void
az_web_signals_block(void)
{
	sigset_t set = stop_signals();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

enum az_code
az_web_run(const struct az_web *w, struct az_err *err)
{
	struct web_server *s = NULL;
	struct signalfd_siginfo si = {0};
	struct pollfd p[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	sigset_t set = stop_signals();
	int sfd = -1, ms = -1;
	enum az_code rc;

	signal(SIGPIPE, SIG_IGN);
	az_web_signals_block();
	/* 64 threads must not mean 64 heaps */
	(void)mallopt(M_ARENA_MAX, 4);

	pthread_once(&fcgx_once, fcgx_init);
	if (fcgx_failed)
		return az_fail(err, AZ_EINTERNAL, "web.run", "FCGX_Init failed");
	if (getenv("FCGI_WEB_SERVER_ADDRS"))
		return az_fail(err, AZ_EINVAL, "web.run",
		    "FCGI_WEB_SERVER_ADDRS is not looked at: listen on a unix socket");
	if (!web_conn_listen(w->listen_fd))
		return az_fail_errno(err, AZ_EIO, "web.run", "listening socket");
	if ((sfd = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
		return az_fail_errno(err, AZ_EIO, "web.run", "signalfd");
	if (!(s = server_new(w))) {
		rc = az_fail(err, AZ_ENOMEM, "web.run", "out of memory");
		goto out;
	}
	pthread_mutex_lock(&s->mu);
	rc = web_thread_add(s, &s->leader);
	pthread_mutex_unlock(&s->mu);
	if (rc != AZ_OK) {
		rc = az_fail(err, rc, "web.run", "no thread");
		goto out;
	}

	if (w->serving)
		w->serving();
	p[0].fd = sfd;
	p[1].fd = s->stop_fd;
	p[2].fd = s->watch_fd;
	while (!p[0].revents && !p[1].revents) {
		if (poll(p, 3, ms) < 0 && errno != EINTR)
			break;
		ms = web_lead_watch(s);
	}
	/* taken, so that it is not delivered once we unblock */
	if (p[0].revents && read(sfd, &si, sizeof si) == (ssize_t)sizeof si)
		az_log(AZ_INFO, "web.stopping", AZ_KN("signal", si.ssi_signo));
	stop_ask(s);
	if (w->stopping)
		w->stopping(w->app);
	if (!(si.ssi_signo == SIGQUIT && ended_in_peace(s, sfd)) &&
	    !all_gone(s, w->drain_ms > 0 ? w->drain_ms : DRAIN_MS)) {
		cut_busy(s);
		if (!all_gone(s, ABORT_MS)) {
			/* its threads still use s and the app: not freed */
			s = NULL;
			rc = az_fail(err, AZ_ETIMEOUT, "web.stop", "requests did not end in time");
			goto out;
		}
	}
	if (atomic_load(&s->failed))
		rc = az_fail(err, AZ_EIO, "web.listen", "listening socket unusable");
out:
	if (s)
		server_free(s);
	close(sfd);
	return rc;
}
