/*
 * Installing packages by name. A name comes from a model or a client: it is held against the
 * grammar of its manager and travels as an argument behind "--" or the like, so nothing in it
 * can be an option, a path, an address or a command.
 */
#include <azlon/sandbox.h>

enum { NAME_MAX_BYTES = 214, NAMES_MAX = 200 };

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

/* The longest run of set at the start of *s, which it is taken off. */
static size_t
skip(struct az_str *s, const char *set)
{
	size_t n = 0;

	while (n < s->n && s->p[n] && strchr(set, s->p[n]))
		n++;
	*s = az_str_sub(*s, n, s->n);
	return n;
}

static bool
starts(struct az_str s, const char *set)
{
	return s.n && s.p[0] && strchr(set, s.p[0]);
}

static bool
eat(struct az_str *s, const char *text)
{
	if (!az_str_starts(*s, az_str_c(text)))
		return false;
	*s = az_str_sub(*s, strlen(text), s->n);
	return true;
}

/* Letters and digits at both ends, "-_." between: a distribution or an extra. */
static bool
pip_word(struct az_str *s)
{
	struct az_str was = *s;
	size_t n;

	if (!starts(was, LOWER UPPER DIGIT))
		return false;
	n = skip(s, LOWER UPPER DIGIT "-_.");
	return strchr("-_.", was.p[n - 1]) == NULL;
}

/* name[extra,…] and version clauses, "==1.2,<3" */
static bool
pip_ok(struct az_str s)
{
	static const char *const ops[] = {"===", "==", "~=", "!=", "<=", ">=", "<", ">"};
	size_t i;

	if (!pip_word(&s))
		return false;
	if (eat(&s, "[")) {
		do
			if (!pip_word(&s))
				return false;
		while (eat(&s, ","));
		if (!eat(&s, "]"))
			return false;
	}
	if (!s.n)
		return true;
	do {
		for (i = 0; i < sizeof ops / sizeof ops[0] && !eat(&s, ops[i]); i++)
			;
		if (i == sizeof ops / sizeof ops[0] || !starts(s, LOWER DIGIT) ||
		    !skip(&s, LOWER UPPER DIGIT ".*+!-_"))
			return false;
	} while (eat(&s, ","));
	return s.n == 0;
}

static bool
npm_word(struct az_str *s)
{
	return starts(*s, LOWER DIGIT) && skip(s, LOWER DIGIT "-_.~");
}

/* name, @scope/name, and behind '@' a version, a range of one, or a tag */
static bool
npm_ok(struct az_str s)
{
	if (eat(&s, "@") && (!npm_word(&s) || !eat(&s, "/")))
		return false;
	if (!npm_word(&s))
		return false;
	if (!s.n)
		return true;
	if (!eat(&s, "@"))
		return false;
	if (!eat(&s, "^") && !eat(&s, "~") && !eat(&s, ">=") && !eat(&s, "<="))
		(void)(eat(&s, ">") || eat(&s, "<"));
	return starts(s, LOWER UPPER DIGIT) && skip(&s, LOWER UPPER DIGIT "-_.+") && s.n == 0;
}

/* name, name:architecture, name=version; a '-' or '+' at the end would mean "remove" or
   "install" to apt */
static bool
apt_ok(struct az_str s)
{
	struct az_str was = s;
	size_t n;

	if (!starts(s, LOWER DIGIT) || (n = skip(&s, LOWER DIGIT "+.-")) < 2 ||
	    was.p[n - 1] == '-' || (was.p[n - 1] == '+' && (n < 2 || was.p[n - 2] != '+')))
		return false;
	if (eat(&s, ":") && !skip(&s, LOWER DIGIT))
		return false;
	if (eat(&s, "=") && (!starts(s, LOWER UPPER DIGIT) || !skip(&s, LOWER UPPER DIGIT ".+:~-")))
		return false;
	return s.n == 0;
}

enum az_code
az_sandbox_package_ok(enum az_sb_manager manager, const char *name, struct az_err *err)
{
	struct az_str s = az_str_c(name);
	bool ok = s.n > 0 && s.n <= NAME_MAX_BYTES;

	switch (manager) {
	case AZ_PIP:
		ok = ok && pip_ok(s);
		break;
	case AZ_NPM:
		ok = ok && npm_ok(s);
		break;
	case AZ_APT:
		ok = ok && apt_ok(s);
		break;
	default:
		return az_fail(err, AZ_EINVAL, "sandbox.install", "no such package manager");
	}
	if (ok)
		return AZ_OK;
	/* a name that is none may hold anything: only what can be shown is */
	if (!az_str_utf8_ok(s) || s.n > 80)
		return az_fail(err, AZ_EINVAL, "sandbox.install", "not the name of a package");
	return az_fail(err, AZ_EINVAL, "sandbox.install", "not the name of a package: %s", name);
}

enum az_code
az_sandbox_install(struct az_sandbox *s, const struct az_box_ref *b, enum az_sb_manager manager,
    const char *const *names, size_t n, const struct az_sb_cmd *o, struct az_sb_result *r,
    struct az_err *err)
{
	static const char *const before[][8] = {
	    [AZ_PIP] = {"pip", "install", "--no-input", "--disable-pip-version-check", "--"},
	    [AZ_NPM] = {"npm", "install", "--no-fund", "--no-audit", "--"},
	    [AZ_APT] = {"apt-get", "install", "-y", "--no-install-recommends", "--"},
	};
	const char *argv[NAMES_MAX + 8];
	struct az_sb_cmd c = *o;
	size_t k = 0, i;
	enum az_code rc;

	*r = (struct az_sb_result){.exit_code = -1};
	if (n == 0 || n > NAMES_MAX)
		return az_fail(err, AZ_EINVAL, "sandbox.install", "%zu packages", n);
	for (i = 0; i < n; i++)
		if ((rc = az_sandbox_package_ok(manager, names[i], err)) != AZ_OK)
			return rc;
	for (; before[manager][k]; k++)
		argv[k] = before[manager][k];
	for (i = 0; i < n; i++)
		argv[k + i] = names[i];
	argv[k + n] = NULL;
	c.argv = argv;
	return az_sandbox_run(s, b, &c, r, err);
}
