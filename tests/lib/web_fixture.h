/*
 * A real az_web_run() on a unix socket in a temporary directory, in a thread of the
 * test. Stopped by SIGTERM to the process, which all its threads block.
 */
#ifndef WEB_FIXTURE_H
#define WEB_FIXTURE_H

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <azlon/web.h>
#include "fcgi_peer.h"

struct web_fixture {
	struct az_web w;
	char dir[64], path[108];
	pthread_t thread;
	enum az_code rc;
	struct az_err err;
};

static void *
web_fixture_main(void *arg)
{
	struct web_fixture *f = arg;

	f->rc = az_web_run(&f->w, &f->err);
	return NULL;
}

static bool
web_fixture_start(struct web_fixture *f, const struct az_route *routes, void *app)
{
	static const struct timespec now = {0, 0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* a second signal to the server before this one */
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
	f->w.routes = routes;
	f->w.app = app;
	f->w.listen_fd = fcgi_peer_listen(f->dir, f->path);
	return f->w.listen_fd >= 0 && pthread_create(&f->thread, NULL, web_fixture_main, f) == 0;
}

static void
web_fixture_stop(struct web_fixture *f)
{
	kill(getpid(), SIGTERM);
	pthread_join(f->thread, NULL);
	fcgi_peer_unlisten(f->w.listen_fd, f->dir, f->path);
}

#endif
