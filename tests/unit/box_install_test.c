/* pip and npm through the box's one way out, from indexes on this host. */
#include "box_fixture.h"
#include "box/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct box_fixture fix;
static struct fix_result r;
static int index_port, index_in = -1;
static pid_t index_pid;

static bool
vet_index(const struct sockaddr *sa, int port)
{
	return port == index_port && sa->sa_family == AF_INET;
}

static int
group_setup(void **state)
{
	int in[2], out[2];
	FILE *port;

	(void)state;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	index_pid = fork();
	if (!index_pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("python3", "python3", "tests/lib/package_index.py", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	index_in = in[1];
	port = fdopen(out[0], "r");
	if (!port || fscanf(port, "%d%*1[\n]", &index_port) != 1)
		return -1;
	fclose(port);
	return fix_open(&fix);
}

static int
group_teardown(void **state)
{
	(void)state;
	fix_close(&fix);
	close(index_in);
	waitpid(index_pid, NULL, 0);
	return 0;
}

static bool
has(const char *program)
{
	char path[200];

	snprintf(path, sizeof path, "/usr/bin/%s", program);
	if (!access(path, X_OK))
		return true;
	snprintf(path, sizeof path, "/usr/local/bin/%s", program);
	return !access(path, X_OK);
}

static void
installs(const char *what)
{
	char script[800];
	struct box *b;

	fix.s->vet = vet_index;
	b = fix_box(&fix, NULL, 120);
	pthread_mutex_lock(&b->mu);
	if (net_policy(b, true, NULL, NULL))
		fail();
	pthread_mutex_unlock(&b->mu);
	/* its address is a loopback, which for the box is its own: through the proxy all the same
	 */
	snprintf(script, sizeof script,
	    "export NO_PROXY= no_proxy= npm_config_noproxy= INDEX=http://127.0.0.1:%d; %s",
	    index_port, what);
	fix_run(b, script, 90000, &r);
	if (r.code || strncmp(r.out, "by ", 3) != 0)
		fail_msg("%d: '%.1500s' '%.900s' %s", r.code, r.out, r.err, r.error);
	assert_true(b->net_opened >= 2 && !b->nblocked);
	fix_done(b);
}

static void
pip_installs(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	if (!has("pip"))
		SKIP("pip is not installed");
	installs("pip install -q --user --index-url $INDEX/simple azpip >&2 && "
		 "python3 -c 'import azpip'");
}

static void
npm_installs(void **state)
{
	(void)state;
	NEEDS_BOX(&fix);
	if (!has("npm"))
		SKIP("npm is not installed");
	installs("npm install --no-audit --no-fund --registry $INDEX aznpm >&2 && "
		 "node -e 'require(\"aznpm\")'");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pip_installs), cmocka_unit_test(npm_installs)};

	fix_become_nobody(&fix, true);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
