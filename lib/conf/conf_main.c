/* What every main begins with. The one place in lib/ that prints: it is main's helper. */
#include <stdio.h>
#include <azlon/conf.h>
#include <azlon/limits.h>

enum { EX_CONFIG_ = 78 }; /* sysexits: a supervisor need not try again */

static int
print(struct az_buf *b)
{
	bool ok =
	    !b->fail && fwrite(b->p ? b->p : "", 1, b->n, stdout) == b->n && fflush(stdout) == 0;

	az_buf_release(b);
	return ok ? 0 : 1;
}

static void
usage(const char *name, const char *what)
{
	printf("%s: %s\n\n"
	       "  --check-config    exit 0, or name the variable that is wrong\n"
	       "  --print-config    the configuration in force, secrets masked\n"
	       "  --example-config  every variable with its meaning and default\n"
	       "  --man-config      the same as man page text\n"
	       "  --version, --help\n\n"
	       "Configuration comes from the environment.\n",
	    name, what);
}

int
az_conf_main(int argc, char **argv, const char *what, struct az_conf *c)
{
	const char *name = argc > 0 ? argv[0] : "azlon", *slash = strrchr(name, '/');
	bool check = false, show = false;
	struct az_err err = AZ_ERR_INIT;
	struct az_buf b;

	memset(c, 0, sizeof *c);
	name = slash ? slash + 1 : name;
	az_buf_init(&b, AZ_KIB(256));
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--"))
			break;
		check = check || !strcmp(argv[i], "--check-config");
		show = show || !strcmp(argv[i], "--print-config");
		if (!strcmp(argv[i], "--help")) {
			usage(name, what);
			return 0;
		}
		if (!strcmp(argv[i], "--version")) {
			printf("%s (Azlon) %s\n", name, AZ_VERSION);
			return 0;
		}
		if (!strcmp(argv[i], "--example-config")) {
			az_conf_example(&b);
			return print(&b);
		}
		if (!strcmp(argv[i], "--man-config")) {
			az_conf_man(&b);
			return print(&b);
		}
	}
	if (az_conf_load(c, NULL, &err)) {
		fprintf(stderr, "%s: %s\n", name, err.text);
		return EX_CONFIG_;
	}
	if (!check && !show)
		return -1;
	if (show)
		az_conf_print(c, &b);
	az_conf_release(c);
	return print(&b);
}
