#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile sig_atomic_t raw, stop, resized;
static int wake[2] = {-1, -1};

void
term_restore(void)
{
	if (!raw)
		return;
	raw = 0;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void
on_stop(int sig)
{
	int e = errno;

	if (stop) {
		term_restore();
		_exit(128 + sig);
	}
	stop = sig;
	(void)!write(wake[1], "", 1);
	errno = e;
}

static void
on_size(int sig)
{
	int e = errno;

	(void)sig;
	resized = 1;
	(void)!write(wake[1], "", 1);
	errno = e;
}

/* A bug of ours must not leave the terminal useless. */
static void
on_fault(int sig)
{
	term_restore();
	(void)raise(sig); /* as it would have ended without us */
}

bool
term_open(void)
{
	static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	static const int faults[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS};
	struct sigaction sa = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
	struct sigaction size = {.sa_handler = on_size, .sa_flags = SA_RESTART};
	struct sigaction fault = {.sa_handler = on_fault, .sa_flags = (int)SA_RESETHAND};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		sigaction(ends[i], &sa, NULL);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		sigaction(faults[i], &fault, NULL);
	sigaction(SIGWINCH, &size, NULL);
	/* who reads our output may leave first, and the sandbox is to end all the same */
	sigaction(SIGPIPE, &ignore, NULL);
	return atexit(term_restore) == 0;
}

bool
term_raw(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return false;
	t = before;
	cfmakeraw(&t);
	raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0)
		return true;
	raw = 0;
	return false;
}

struct term_size
term_size(void)
{
	static const int fds[] = {STDIN_FILENO, STDOUT_FILENO};
	struct winsize w;

	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (ioctl(fds[i], TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0)
			return (struct term_size){w.ws_col, w.ws_row};
	return (struct term_size){80, 24};
}

int
term_stopped(void)
{
	return stop;
}

unsigned
term_wait(bool input, int ms)
{
	struct pollfd p[2] = {
	    {.fd = wake[0], .events = POLLIN}, {.fd = input ? STDIN_FILENO : -1, .events = POLLIN}};
	unsigned news = TERM_NOTHING;
	char c[64];

	if (poll(p, 2, ms) <= 0)
		return TERM_NOTHING;
	if (p[0].revents)
		while (read(wake[0], c, sizeof c) > 0)
			;
	if (resized) {
		resized = 0;
		news |= TERM_RESIZED;
	}
	if (p[1].revents)
		news |= TERM_INPUT;
	return news;
}
