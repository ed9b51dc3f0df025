/* A bare libfcgi process on fd 0, the yardstick of our own: threads in accept, a fixed
   answer. echo THREADS BYTES */
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static int bytes = 600;
static char body[65536];
static pthread_mutex_t accept_lock = PTHREAD_MUTEX_INITIALIZER;

static void *
serve(void *arg)
{
	FCGX_Request rq;

	(void)arg;
	FCGX_InitRequest(&rq, 0, 0);
	for (;;) {
		int rc;

		pthread_mutex_lock(&accept_lock);
		rc = FCGX_Accept_r(&rq);
		pthread_mutex_unlock(&accept_lock);
		if (rc < 0)
			return NULL;
		FCGX_FPrintF(rq.out,
		    "Content-Type: application/json\r\n"
		    "Content-Length: %d\r\n\r\n",
		    bytes);
		FCGX_PutStr(body, bytes, rq.out);
		FCGX_Finish_r(&rq);
	}
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 8;
	pthread_t t;

	if (argc > 2)
		bytes = atoi(argv[2]);
	if (bytes < 0 || bytes > (int)sizeof body)
		return 2;
	memset(body, 'x', sizeof body);
	FCGX_Init();
	signal(SIGTERM, SIG_DFL); /* libfcgi's handler waits for a next request */
	for (int i = 1; i < n; i++)
		pthread_create(&t, NULL, serve, NULL);
	serve(NULL);
	return 0;
}
