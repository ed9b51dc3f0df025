/* Matching in a child: see match.h. */
#include "match.h"

#include <errno.h>
#include <regex.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CPU_S = 1 };

static enum match
match_here(const char *pattern, struct az_str text)
{
	regmatch_t m = {.rm_so = 0, .rm_eo = (regoff_t)text.n};
	enum match found;
	regex_t re;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE) != 0)
		return MATCH_BAD;
	found = regexec(&re, text.p ? text.p : "", 1, &m, REG_STARTEND) == 0 ? MATCH_YES : MATCH_NO;
	regfree(&re);
	return found;
}

enum match
match_lines(const char *pattern, struct az_str text)
{
	const struct rlimit cpu = {CPU_S, CPU_S}, none = {0, 0};
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return MATCH_HARD;
	if (pid == 0) {
		if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_CPU, &cpu) < 0)
			_exit(MATCH_HARD);
		_exit((int)match_here(pattern, text));
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return MATCH_HARD;
	return WIFEXITED(status) && WEXITSTATUS(status) <= MATCH_HARD
		   ? (enum match)WEXITSTATUS(status)
		   : MATCH_HARD;
}
