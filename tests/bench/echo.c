/* A bare libfcgi process on fd 0, the yardstick of our own: threads in accept, the body read
   and dropped, an answer of a fixed length. echo THREADS BYTES */
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static long bytes = 600;
static char body[65536];
static pthread_mutex_t accept_lock = PTHREAD_MUTEX_INITIALIZER;

static void *
serve(void *arg)
{
	FCGX_Request rq;

	char in[65536];

	(void)arg;
	FCGX_InitRequest(&rq, 0, 0);
	for (;;) {
		int rc;

		pthread_mutex_lock(&accept_lock);
		rc = FCGX_Accept_r(&rq);
		pthread_mutex_unlock(&accept_lock);
		if (rc < 0)
			return NULL;
		while (FCGX_GetStr(in, sizeof in, rq.in) > 0)
			;
		FCGX_FPrintF(rq.out,
		    "Content-Type: application/json\r\n"
		    "Content-Length: %ld\r\n\r\n",
		    bytes);
		for (long left = bytes; left > 0; left -= (long)sizeof body)
			if (FCGX_PutStr(body,
				left < (long)sizeof body ? (int)left : (int)sizeof body,
				rq.out) < 0)
				break;
		FCGX_Finish_r(&rq);
	}
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 8;
	pthread_t t;

	if (argc > 2)
		bytes = atol(argv[2]);
	if (bytes < 0)
		return 2;
	memset(body, 'x', sizeof body);
	FCGX_Init();
	signal(SIGTERM, SIG_DFL); /* libfcgi's handler waits for a next request */
	for (int i = 1; i < n; i++)
		pthread_create(&t, NULL, serve, NULL);
	serve(NULL);
	return 0;
}
