/* Whatever is accepted is bounded and stays where it may be: every path beneath the home
   or /tmp, no source outside the context, complete argument lists. */
#include <assert.h>
#include <stdlib.h>
#include "work/runplan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool
inside(const char *path)
{
	struct az_str s = az_str_c(path), part, rest = s;

	while (az_str_cut(&rest, '/', &part))
		if (az_str_eqc(part, "..") || az_str_eqc(part, "."))
			return false;
	if (az_str_find(s, AZ_S("//"), 0) >= 0 || (s.n && s.p[s.n - 1] == '/'))
		return false;
	return (az_str_starts(s, AZ_S(AZ_PLAN_HOME)) &&
		   (s.n == strlen(AZ_PLAN_HOME) || s.p[strlen(AZ_PLAN_HOME)] == '/')) ||
	       (az_str_starts(s, AZ_S("/tmp")) && (s.n == 4 || s.p[4] == '/'));
}

static void
check_step(const struct az_plan_step *s)
{
	size_t i;

	assert(s->line >= 1);
	assert(s->text.n > 0 && s->text.n <= 400);
	assert(az_str_utf8_ok(s->text));
	assert(!memchr(s->text.p, '\n', s->text.n));
	switch (s->kind) {
	case AZ_PLAN_RUN:
		assert(s->argv && s->argv[0] && s->env && inside(s->cwd));
		for (i = 0; s->argv[i]; i++)
			;
		assert(i <= AZ_PLAN_MAX_WORDS * 2);
		break;
	case AZ_PLAN_COPY:
		assert(inside(s->dest));
		assert(s->src ? s->src[0] != NULL : s->body.p != NULL);
		assert(s->mode <= 0777);
		for (i = 0; s->src && s->src[i]; i++) {
			struct az_str rest = az_str_c(s->src[i]), part;

			assert(s->src[i][0] && s->src[i][0] != '/');
			while (az_str_cut(&rest, '/', &part))
				assert(part.n && !az_str_eqc(part, ".."));
		}
		break;
	case AZ_PLAN_WORKDIR:
		assert(inside(s->cwd));
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
	struct az_err err = AZ_ERR_INIT;
	struct az_plan p;
	enum az_code rc;
	size_t i;

	if (!a)
		return 0;
	rc = az_plan_parse(az_str_n(data, n), a, &p, &err);
	if (rc != AZ_OK) {
		assert(rc == AZ_EUNPROC && err.code == rc);
		assert(strcmp(err.reason, "dockerfile") == 0);
		assert(strstr(err.text, "Dockerfile line "));
	} else {
		assert(n <= AZ_PLAN_MAX_BYTES);
		assert(p.n_steps <= AZ_PLAN_MAX_STEPS);
		assert(p.probe && p.language.n && inside(p.cwd));
		assert(!p.argv || p.argv[0]);
		for (i = 0; i < p.n_steps; i++)
			check_step(&p.steps[i]);
		for (i = 0; i < p.n_ports; i++)
			assert(p.ports[i] > 0 && p.ports[i] < 65536);
		assert(p.n_warnings <= AZ_PLAN_MAX_WARNINGS);
	}
	az_arena_free(a);
	return 0;
}
