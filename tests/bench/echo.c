/* A bare libfcgi process on fd 0, the yardstick of our own: threads in accept, a fixed
   answer of 600 bytes. echo THREADS */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t accept_lock = PTHREAD_MUTEX_INITIALIZER;

static void *
serve(void *arg)
{
	FCGX_Request rq;
	char body[601];

	(void)arg;
	memset(body, 'x', 600);
	body[600] = '\0';
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
		    "Content-Length: 600\r\n\r\n%s",
		    body);
		FCGX_Finish_r(&rq);
	}
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 8;
	pthread_t t;

	FCGX_Init();
	for (int i = 1; i < n; i++)
		pthread_create(&t, NULL, serve, NULL);
	serve(NULL);
	return 0;
}
