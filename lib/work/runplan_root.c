/* Commands that want to be root, told by their words. */
#include "runplan_exec.h"

static bool
word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '/' || c == '+' || c == '=' || c == '$';
}

/* Next word of a shell text; operators and quotes only separate. */
static bool
next_word(struct az_str *s, struct az_str *w)
{
	size_t i = 0, from;

	while (i < s->n && !word_char(s->p[i]))
		i++;
	from = i;
	while (i < s->n && word_char(s->p[i]))
		i++;
	*w = az_str_sub(*s, from, i);
	*s = az_str_sub(*s, i, s->n);
	return w->n > 0;
}

struct az_str
plan_system_packages(const char *const *argv)
{
	static const char *const managers[] = {
	    "apt-get", "apt", "apk", "yum", "dnf", "microdnf", "zypper", "pacman", NULL};
	static const char *const verbs[] = {
	    "install", "add", "update", "upgrade", "dist-upgrade", "-S", "-Sy", "-Syu", NULL};
	struct az_str found = {"", 0}, rest, w;

	for (; *argv; argv++)
		for (rest = az_str_c(*argv); next_word(&rest, &w);) {
			ptrdiff_t at = az_str_rchr(w, '/');
			struct az_str base = az_str_sub(w, (size_t)(at + 1), w.n);

			if (plan_in_list(base, managers))
				found = base;
			else if (found.n && plan_in_list(w, verbs))
				return found;
			else if (w.p[0] != '-')
				found.n = 0;
		}
	found.n = 0;
	return found;
}

bool
plan_needs_root(const char *const *argv)
{
	static const char *const tools[] = {"useradd", "adduser", "groupadd", "addgroup", "usermod",
	    "chown", "chgrp", "sudo", "su", "systemctl", "service", NULL};
	struct az_str rest, w;

	for (; *argv; argv++)
		for (rest = az_str_c(*argv); next_word(&rest, &w);)
			if (plan_in_list(w, tools))
				return true;
	return false;
}
