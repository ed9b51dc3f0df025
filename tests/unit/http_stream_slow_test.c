/* A reader that is slower than the peer, in the clear and with TLS. */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include "h2_tls.h"
#include "http_stream_fixture.h"

#define HUGE_BYTES AZ_MIB(64)

/* Sends a body as fast as it is taken, and counts. */
struct pump {
	int listen_fd, port;
	SSL_CTX *tls; /* or NULL */
	pthread_t thread;
	atomic_size_t sent;
};

static bool
pump_send(int fd, SSL *ssl, const char *p, size_t n)
{
	while (n) {
		ssize_t r = ssl ? SSL_write(ssl, p, (int)n) : send(fd, p, n, MSG_NOSIGNAL);
		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static void *
pump_main(void *arg)
{
	struct pump *m = arg;
	int fd = accept(m->listen_fd, NULL, NULL);
	SSL *ssl = m->tls ? SSL_new(m->tls) : NULL;
	char p[16384];
	size_t n = 0;
	bool ok = !ssl || (SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1);

	while (ok && (n < 4 || memcmp(p + n - 4, "\r\n\r\n", 4) != 0)) {
		int r = ssl ? SSL_read(ssl, p + n, (int)(sizeof p - n))
			    : (int)recv(fd, p + n, sizeof p - n, 0);
		ok = r > 0;
		n += ok ? (size_t)r : 0;
	}
	n = (size_t)snprintf(
	    p, sizeof p, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", (size_t)HUGE_BYTES);
	ok = ok && pump_send(fd, ssl, p, n);
	for (size_t at = 0; ok && at < HUGE_BYTES; at += sizeof p) {
		for (size_t i = 0; i < sizeof p; i++)
			p[i] = byte_at(at + i);
		ok = pump_send(fd, ssl, p, sizeof p);
		m->sent += sizeof p;
	}
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static size_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t all, pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu %zu", &all, &pages), 2);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void
pump_start(struct pump *m, SSL_CTX *tls)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof sa;

	*m = (struct pump){.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .tls = tls};
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(m->listen_fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(m->listen_fd, 1), 0);
	assert_int_equal(getsockname(m->listen_fd, (struct sockaddr *)&sa, &len), 0);
	m->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&m->thread, NULL, pump_main, m), 0);
}

static void
a_slow_reader_holds_the_peer_back(void **state)
{
	char ca[64], p[4096];

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		SSL_CTX *ctx = tls ? h2_tls(ca, sizeof ca, false) : NULL;
		struct az_http_req q = {.method = "GET", .url = url, .ca_file = tls ? ca : NULL};
		struct az_http_resp r = {.status = 0};
		struct az_http_stream *s;
		size_t at = 0, got, before, half = 0, most = 0;
		struct pump m;

		pump_start(&m, ctx);
		snprintf(url, sizeof url, "http%s://127.0.0.1:%d/", tls ? "s" : "", m.port);
		assert_int_equal(az_http_open(http, &q, &r, &s, &err), AZ_OK);
		before = resident();
		do {
			assert_int_equal(az_http_read(s, p, sizeof p, &got, &err), AZ_OK);
			for (size_t i = 0; i < got; i++)
				if (p[i] != byte_at(at + i))
					fail_msg("differs at %zu", at + i);
			at += got;
			if (m.sent > at + most)
				most = m.sent - at;
			if (!half && at > HUGE_BYTES / 2)
				half = resident();
		} while (got);
		assert_int_equal(at, HUGE_BYTES);
		print_message("# %zu bytes ahead, %zu resident, %zu before\n", most, half, before);
		/* the kernel's buffers and a little of ours */
		assert_in_range(most, 0, HUGE_BYTES / 2);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
		assert_in_range(half, 0, before + AZ_MIB(4));
#endif
		az_http_close(s);
		az_http_resp_release(&r);
		pthread_join(m.thread, NULL);
		close(m.listen_fd);
		SSL_CTX_free(ctx);
		if (tls)
			unlink(ca);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_slow_reader_holds_the_peer_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
