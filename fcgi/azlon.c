/* azlon: the command-line client. Commands, options, and what they are handed to. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/conf.h>
#include "client/client.h"

static const char HELP[] =
    "azlon COMMAND [OPTIONS]\n\n"
    "  schedule      start a run and follow it; --async only prints its id\n"
    "      --prompt TEXT --test TEXT [--checks FILE.json] [--input ID]... [--model M]\n"
    "      [--iterations N] [--idempotency-key KEY]\n"
    "      --request FILE.json   a request; the options above replace its members\n"
    "  watch ID      follow a run to its end\n"
    "  status ID     how a run is\n"
    "  list          own runs, newest first\n"
    "  get ID        its files; -o DIR fetches them all\n"
    "  get ID PATH   one file, to standard output or -o FILE\n"
    "  zip ID        all files as ID.zip or -o FILE\n"
    "  upload FILE...  a new input set; prints its id\n"
    "  cancel ID     stop a run; --now does not wait for the step in hand\n"
    "  signal ID     what a run that waits for a person asks\n"
    "  signal ID WORD [TEXT|@FILE|-]   approve, reject, message, reply, pause, resume\n"
    "  signal ID set_limits NAME=N...  iterations, tokens, wall_s, sandbox_s; only upwards\n"
    "  sandbox shell  a terminal in a fresh sandbox, which ends with it\n"
    "      [--template T] [--timeout SECONDS] [--allow-internet]\n"
    "  keys          API keys of the servers whose state is in AZLON_VAR:\n"
    "      create --user NAME --scopes LIST [--name TEXT] [--days N]   prints the key\n"
    "      list, revoke ID, sign-out USER\n"
    "  check-config  is the environment right for the servers?\n"
    "  print-config  what the servers would use\n\n"
    "  --json        one JSON value on standard output, for scripts\n"
    "  --url URL     the server (AZLON_URL; http://localhost:8000)\n"
    "  --user NAME   who is calling, on a server with dev identity (AZLON_USER)\n"
    "  --cacert FILE a CA of one's own (AZLON_CA)\n"
    "AZLON_TOKEN is sent as a bearer token.\n\n"
    "Exit status: 0 the run succeeded, 1 failed, 2 usage, 3 no server; of sandbox shell,\n"
    "that of the shell.\n";

static const struct command {
	const char *name;
	int (*run)(struct cl *cl, const struct cl_opt *o);
} commands[] = {
    {"schedule", cl_schedule},
    {"watch", cl_watch},
    {"status", cl_status},
    {"list", cl_list},
    {"get", cl_get},
    {"zip", cl_zip},
    {"upload", cl_upload},
    {"cancel", cl_cancel},
    {"signal", cl_signal},
    {"sandbox", cl_sandbox},
    {"keys", cl_keys},
};

enum {
	O_PROMPT = 256,
	O_TEST,
	O_CHECKS,
	O_REQUEST,
	O_INPUT,
	O_MODEL,
	O_ITER,
	O_KEY,
	O_ASYNC,
	O_WAIT,
	O_NOW,
	O_TEMPLATE,
	O_TIMEOUT,
	O_INTERNET,
	O_SCOPES,
	O_NAME,
	O_DAYS,
	O_JSON,
	O_URL,
	O_USER,
	O_CA
};

static const struct option options[] = {
    {"prompt", required_argument, NULL, O_PROMPT},
    {"test", required_argument, NULL, O_TEST},
    {"checks", required_argument, NULL, O_CHECKS},
    {"request", required_argument, NULL, O_REQUEST},
    {"input", required_argument, NULL, O_INPUT},
    {"model", required_argument, NULL, O_MODEL},
    {"iterations", required_argument, NULL, O_ITER},
    {"idempotency-key", required_argument, NULL, O_KEY},
    {"async", no_argument, NULL, O_ASYNC},
    {"wait", no_argument, NULL, O_WAIT},
    {"now", no_argument, NULL, O_NOW},
    {"template", required_argument, NULL, O_TEMPLATE},
    {"timeout", required_argument, NULL, O_TIMEOUT},
    {"allow-internet", no_argument, NULL, O_INTERNET},
    {"scopes", required_argument, NULL, O_SCOPES},
    {"name", required_argument, NULL, O_NAME},
    {"days", required_argument, NULL, O_DAYS},
    {"json", no_argument, NULL, O_JSON},
    {"url", required_argument, NULL, O_URL},
    {"user", required_argument, NULL, O_USER},
    {"cacert", required_argument, NULL, O_CA},
    {"output", required_argument, NULL, 'o'},
    {NULL, 0, NULL, 0},
};

static int
parse(int argc, char **argv, struct cl *cl, struct cl_opt *o)
{
	int c;

	while ((c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		switch (c) {
		case O_PROMPT:
			o->prompt = optarg;
			break;
		case O_TEST:
			o->test = optarg;
			break;
		case O_CHECKS:
			o->checks = optarg;
			break;
		case O_REQUEST:
			o->request = optarg;
			break;
		case O_MODEL:
			o->model = optarg;
			break;
		case O_KEY:
			o->key = optarg;
			break;
		case O_ASYNC:
			o->async = true;
			break;
		case O_WAIT:
			o->async = false;
			break;
		case O_NOW:
			o->now = true;
			break;
		case O_TEMPLATE:
			o->template_id = optarg;
			break;
		case O_TIMEOUT:
			if (!az_str_to_i64(az_str_c(optarg), 1, CL_SHELL_MAX_S, &o->timeout_s))
				return cl_usage("--timeout takes 1 to %d seconds", CL_SHELL_MAX_S);
			break;
		case O_INTERNET:
			o->internet = true;
			break;
		case O_SCOPES:
			o->scopes = optarg;
			break;
		case O_NAME:
			o->name = optarg;
			break;
		case O_DAYS:
			if (!az_str_to_i64(az_str_c(optarg), 0, CL_KEY_DAYS_MAX, &o->days))
				return cl_usage("--days takes 0 (for good) to %d", CL_KEY_DAYS_MAX);
			break;
		case O_JSON:
			cl->json = true;
			break;
		case O_URL:
			cl->url = optarg;
			break;
		case O_USER:
			cl->user = optarg;
			break;
		case O_CA:
			cl->ca = optarg;
			break;
		case 'o':
			o->out = optarg;
			break;
		case O_INPUT:
			if (o->ninputs == sizeof o->inputs / sizeof *o->inputs)
				return cl_usage("too many --input");
			o->inputs[o->ninputs++] = optarg;
			break;
		case O_ITER:
			if (!az_str_to_i64(
				az_str_c(optarg), 1, AZ_LIM_ITERATIONS_MAX, &o->iterations))
				return cl_usage(
				    "--iterations takes 1 to %d", AZ_LIM_ITERATIONS_MAX);
			break;
		default:
			return CL_USAGE; /* getopt has said why */
		}
	}
	o->arg = argv + optind;
	o->narg = argc - optind;
	return CL_OK;
}

static const char *
env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* check-config and print-config are the servers' own options. */
static int
config(char *program, const char *command)
{
	char check[] = "--check-config", print[] = "--print-config";
	char *argv[] = {program, strcmp(command, "check-config") ? print : check, NULL};
	struct az_conf c;

	return az_conf_main(2, argv, "", &c);
}

int
main(int argc, char **argv)
{
	struct cl cl = {.url = env("AZLON_URL"),
	    .user = env("AZLON_USER"),
	    .token = env("AZLON_TOKEN"),
	    .ca = env("AZLON_CA")};
	const char *term = env("TERM"), *name = argc > 1 ? argv[1] : NULL;
	const struct command *cmd = NULL;
	struct cl_opt o = {.days = CL_KEY_DAYS};
	struct az_err err = AZ_ERR_INIT;
	char *url;
	int rc;

	if (!name || !strcmp(name, "--help") || !strcmp(name, "help")) {
		fputs(HELP, name ? stdout : stderr);
		return name ? CL_OK : CL_USAGE;
	}
	if (!strcmp(name, "--version")) {
		printf("azlon %s\n", AZ_VERSION);
		return CL_OK;
	}
	if (!strcmp(name, "check-config") || !strcmp(name, "print-config"))
		return config(argv[0], name);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i].name, name))
			cmd = &commands[i];
	if (!cmd)
		return cl_usage("no command %s", name);
	if ((rc = parse(argc - 1, argv + 1, &cl, &o)))
		return rc;
	cl.tty = !cl.json && isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
	cl.color = !cl.json && isatty(STDOUT_FILENO) && !env("NO_COLOR");
	cl.a = az_arena_new(AZ_MIB(64));
	url = cl.a ? az_arena_printf(cl.a, "%s", cl.url ? cl.url : "http://localhost:8000") : NULL;
	if (!url || az_http_new(&cl.http, &err)) {
		fprintf(stderr, "azlon: %s\n", url ? err.text : "no memory");
		rc = CL_FAILED;
		goto out;
	}
	while (*url && url[strlen(url) - 1] == '/')
		url[strlen(url) - 1] = 0;
	cl.url = url;
	rc = cmd->run(&cl, &o);
	if (fflush(stdout) != 0 && rc == CL_OK)
		rc = CL_FAILED;
out:
	az_http_free(cl.http);
	az_arena_free(cl.a);
	return rc;
}
