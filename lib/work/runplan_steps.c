/* One function per instruction; COPY and ADD have a file of their own. */
#include "runplan_int.h"

enum az_code
plan_add_step(struct plan_parse *p, const struct plan_line *l, struct az_plan_step **out)
{
	struct az_plan_step *s = &p->out->steps[p->out->n_steps];
	struct az_buf b;
	enum az_code rc;
	size_t i;

	az_buf_init(&b, 400);
	az_buf_addf(&b, "%s ", p->name);
	for (i = 0; i < l->text.n && i < 300; i++)
		az_buf_addch(&b, l->text.p[i] == '\n' ? ' ' : l->text.p[i]);
	/* not inside a character */
	while (i < l->text.n && ((unsigned char)l->text.p[i] & 0xc0) == 0x80 && i--)
		az_buf_cut(&b, b.n - 1);
	if (i < l->text.n)
		az_buf_addc(&b, " …");
	*s = (struct az_plan_step){.line = p->line};
	rc = plan_keep(p, &b, &s->text);
	az_buf_release(&b);
	p->out->n_steps++;
	*out = s;
	return rc;
}

enum az_code
plan_absolute(struct plan_parse *p, struct az_str word, struct az_str *out)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, 3000);
	plan_normal(&b, p->cwd, word);
	rc = plan_keep(p, &b, out);
	az_buf_release(&b);
	return rc;
}

bool
plan_flag(struct az_str *rest, struct az_str *name, struct az_str *value)
{
	struct az_str s = az_str_trim(*rest), word;
	size_t i = 0;
	ptrdiff_t eq;

	if (!az_str_starts(s, AZ_S("--")))
		return false;
	while (i < s.n && s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\n')
		i++;
	word = az_str_sub(s, 2, i);
	*rest = az_str_trim(az_str_sub(s, i, s.n));
	eq = az_str_chr(word, '=');
	*name = eq < 0 ? word : az_str_sub(word, 0, (size_t)eq);
	*value = eq < 0 ? (struct az_str){"", 0} : az_str_sub(word, (size_t)eq + 1, word.n);
	return true;
}

bool
plan_in_list(struct az_str s, const char *const *list)
{
	for (; *list; list++)
		if (az_str_eqc(s, *list))
			return true;
	return false;
}

static enum az_code
do_from(struct plan_parse *p, struct plan_line *l)
{
	struct az_str rest = l->text, name, value, words[AZ_PLAN_MAX_WORDS], image;
	const struct plan_image *known;
	enum az_code rc;
	size_t n, i;

	if (p->from)
		return plan_bad(p, "multi-stage builds are not supported; use one FROM");
	while (plan_flag(&rest, &name, &value))
		if (!az_str_eqc(name, "platform"))
			return plan_bad(p, "unknown flag --%.*s", AZ_FMT(name));
	if ((rc = plan_split(p, rest, false, words, &n)) != AZ_OK)
		return rc;
	if (n != 1 && !(n == 3 && az_str_ieq(words[1], AZ_S("as"))))
		return plan_bad(p, "takes one image");
	/* only ARGs before FROM count here, and they end with it */
	if ((rc = plan_expand(p, words[0], &image)) != AZ_OK)
		return rc;
	if (!(known = plan_image(image)))
		return plan_bad(p,
		    "no such environment: %.80s. FROM names the language only; known are "
		    "python, node, gcc, debian",
		    image.p);
	memcpy(p->globals, p->vars, sizeof p->globals);
	p->n_globals = p->n_vars;
	p->n_vars = 0;
	for (i = 0; i < p->n_globals; i++)
		p->vars[i] = (struct plan_var){.set = false};
	p->env = NULL;
	p->from = true;
	p->out->image = image;
	p->out->language = az_str_c(known->language);
	p->out->probe = known->probe;
	return AZ_OK;
}

static bool
name_ok(struct az_str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] == '=' || (unsigned char)s.p[i] <= ' ')
			return false;
	return s.n > 0 && s.n <= 200;
}

static enum az_code
do_env(struct plan_parse *p, struct plan_line *l)
{
	struct az_str words[AZ_PLAN_MAX_WORDS], names[AZ_PLAN_MAX_WORDS];
	enum az_code rc;
	size_t n, i;

	if ((rc = plan_split(p, l->text, true, words, &n)) != AZ_OK)
		return rc;
	if (!n)
		return plan_bad(p, "takes K=V");
	if (az_str_chr(words[0], '=') < 0) { /* the old form: ENV K the rest */
		struct az_str rest = az_str_trim(az_str_sub(l->text, words[0].n, l->text.n));

		if (n < 2 || !name_ok(words[0]))
			return plan_bad(p, "takes K=V");
		if ((rc = plan_expand(p, rest, &rest)) != AZ_OK)
			return rc;
		return plan_set(p, words[0], rest, true, true);
	}
	/* all values first: they see the variables as they were before this line */
	for (i = 0; i < n; i++) {
		ptrdiff_t eq = az_str_chr(words[i], '=');

		if (eq <= 0)
			return plan_bad(p, "not K=V: %.60s", az_arena_cstr(p->a, words[i]));
		rc = plan_expand(p, az_str_sub(words[i], 0, (size_t)eq), &names[i]);
		if (rc == AZ_OK)
			rc = plan_expand(
			    p, az_str_sub(words[i], (size_t)eq + 1, words[i].n), &words[i]);
		if (rc != AZ_OK)
			return rc;
		if (!name_ok(names[i]))
			return plan_bad(p, "not a name: %.60s", names[i].p);
	}
	for (i = 0; i < n; i++)
		if ((rc = plan_set(p, names[i], words[i], true, true)) != AZ_OK)
			return rc;
	return AZ_OK;
}

static enum az_code
do_arg(struct plan_parse *p, struct plan_line *l)
{
	struct az_str words[AZ_PLAN_MAX_WORDS];
	enum az_code rc;
	size_t n, i, k;

	if ((rc = plan_split(p, l->text, true, words, &n)) != AZ_OK)
		return rc;
	if (!n)
		return plan_bad(p, "takes a name");
	for (i = 0; i < n; i++) {
		ptrdiff_t eq = az_str_chr(words[i], '=');
		struct az_str name = eq < 0 ? words[i] : az_str_sub(words[i], 0, (size_t)eq);
		struct az_str value = {"", 0};
		bool set = eq >= 0;

		if (!name_ok(name))
			return plan_bad(p, "not a name: %.60s", az_arena_cstr(p->a, name));
		if (set)
			rc = plan_expand(
			    p, az_str_sub(words[i], (size_t)eq + 1, words[i].n), &value);
		for (k = 0; p->from && !set && k < p->n_globals; k++)
			if (az_str_eq(p->globals[k].name, name) && p->globals[k].set) {
				value = p->globals[k].value;
				set = true;
			}
		if (rc == AZ_OK)
			rc = plan_set(p, name, value, false, set);
		if (rc != AZ_OK)
			return rc;
	}
	return AZ_OK;
}

static enum az_code
do_workdir(struct plan_parse *p, struct plan_line *l)
{
	struct az_plan_step *s;
	struct az_str path;
	enum az_code rc;

	if ((rc = plan_expand(p, l->text, &path)) != AZ_OK)
		return rc;
	if (!path.n)
		return plan_bad(p, "takes a path");
	if (strstr(path.p, PLAN_PATH_MARK))
		return plan_bad(p, "$PATH is no directory");
	if ((rc = plan_absolute(p, path, &path)) != AZ_OK)
		return rc;
	p->cwd = path;
	if (!p->first_workdir.n)
		p->first_workdir = path;
	if (!plan_system_dir(path))
		plan_map_add(p, path);
	if ((rc = plan_add_step(p, l, &s)) != AZ_OK)
		return rc;
	s->kind = AZ_PLAN_WORKDIR;
	s->cwd = path.p;
	return AZ_OK;
}

static enum az_code
do_user(struct plan_parse *p, struct plan_line *l)
{
	struct az_str user, rest;
	enum az_code rc;

	if ((rc = plan_expand(p, l->text, &user)) != AZ_OK)
		return rc;
	rest = user;
	if (!az_str_cut(&rest, ':', &user) || !user.n)
		return plan_bad(p, "takes a name");
	if (!az_str_eqc(user, "user"))
		plan_warn(p, "USER %.60s: commands run as \"user\", there is no other",
		    az_arena_cstr(p->a, user));
	return AZ_OK;
}

static enum az_code
do_expose(struct plan_parse *p, struct plan_line *l)
{
	struct az_str words[AZ_PLAN_MAX_WORDS], s, first;
	struct az_plan *out = p->out;
	enum az_code rc;
	size_t n, i, k;

	if ((rc = plan_split(p, l->text, false, words, &n)) != AZ_OK)
		return rc;
	for (i = 0; i < n; i++) {
		int64_t from, to, port;

		if ((rc = plan_expand(p, words[i], &s)) != AZ_OK)
			return rc;
		if (!s.n)
			continue;
		if (az_str_ends(s, AZ_S("/udp")))
			continue; /* nothing reaches it */
		az_str_cut(&s, '/', &first);
		s = first;
		az_str_cut(&s, '-', &first);
		if (!az_str_to_i64(first, 1, 65535, &from) ||
		    (s.p && !az_str_to_i64(s, from, 65535, &to)))
			return plan_bad(p, "not a port: %.40s", az_arena_cstr(p->a, words[i]));
		if (!s.p)
			to = from;
		for (port = from; port <= to; port++) {
			for (k = 0; k < out->n_ports && out->ports[k] != port; k++)
				;
			if (k < out->n_ports)
				continue;
			if (k == AZ_PLAN_MAX_PORTS)
				return plan_bad(p, "more than %d ports", AZ_PLAN_MAX_PORTS);
			out->ports[out->n_ports++] = (int)port;
		}
	}
	return AZ_OK;
}

/* argv of a command in either form. */
static enum az_code
command(struct plan_parse *p, struct az_str text, const char ***argv, size_t *n, bool *shell)
{
	enum az_code rc;
	bool exec;
	size_t i;

	if ((rc = plan_exec_form(p, text, &exec, argv, n)) != AZ_OK)
		return rc;
	*shell = !exec;
	if (exec)
		return AZ_OK;
	*n = p->n_shell + 1;
	if (!(*argv = az_arena_alloc(p->a, (*n + 1) * sizeof **argv)))
		return plan_nomem(p);
	for (i = 0; i < p->n_shell; i++)
		(*argv)[i] = p->shell[i];
	if (!((*argv)[i] = az_arena_cstr(p->a, text)))
		return plan_nomem(p);
	return AZ_OK;
}

static enum az_code
do_run(struct plan_parse *p, struct plan_line *l)
{
	struct az_str rest = l->text, name, value;
	static const char *const ignored[] = {"mount", "network", "security", NULL};
	struct az_plan_step *s;
	const char **argv;
	enum az_code rc;
	bool shell;
	size_t n;

	while (plan_flag(&rest, &name, &value)) {
		if (!plan_in_list(name, ignored))
			return plan_bad(p, "unknown flag --%.*s", AZ_FMT(name));
		plan_warn(p, "RUN --%.*s is ignored", AZ_FMT(name));
	}
	if (l->has_doc) {
		struct az_buf b;

		/* alone, the document is the script; else the shell reads it */
		az_buf_init(&b, AZ_PLAN_MAX_BYTES * 2);
		if (!az_str_eq(az_str_trim(rest), l->doc_word))
			az_buf_addf(&b, "%.*s\n", AZ_FMT(rest));
		az_buf_adds(&b, l->doc);
		rc = plan_keep(p, &b, &rest);
		az_buf_release(&b);
		if (rc != AZ_OK)
			return rc;
	}
	if (!az_str_trim(rest).n)
		return plan_bad(p, "nothing to run");
	if ((rc = command(p, rest, &argv, &n, &shell)) != AZ_OK)
		return rc;
	if (!n)
		return plan_bad(p, "nothing to run");
	if (!p->env && (rc = plan_env(p, true, &p->env)) != AZ_OK)
		return rc;
	if ((rc = plan_add_step(p, l, &s)) != AZ_OK)
		return rc;
	s->kind = AZ_PLAN_RUN;
	s->argv = argv;
	s->env = p->env;
	s->cwd = p->cwd.p;
	return AZ_OK;
}

static enum az_code
do_cmd(struct plan_parse *p, struct plan_line *l)
{
	p->cmd.seen = true;
	return command(p, l->text, &p->cmd.argv, &p->cmd.n, &p->cmd.shell);
}

static enum az_code
do_entrypoint(struct plan_parse *p, struct plan_line *l)
{
	p->entry.seen = true;
	return command(p, l->text, &p->entry.argv, &p->entry.n, &p->entry.shell);
}

static enum az_code
do_shell(struct plan_parse *p, struct plan_line *l)
{
	const char **argv;
	enum az_code rc;
	bool exec;
	size_t n = 0;

	if ((rc = plan_exec_form(p, l->text, &exec, &argv, &n)) != AZ_OK)
		return rc;
	if (!exec || !n)
		return plan_bad(p, "takes a JSON array, as in [\"/bin/bash\", \"-c\"]");
	p->shell = argv;
	p->n_shell = n;
	return AZ_OK;
}

static enum az_code
do_nothing(struct plan_parse *p, struct plan_line *l)
{
	(void)p;
	(void)l;
	return AZ_OK;
}

static enum az_code
do_warn(struct plan_parse *p, struct plan_line *l)
{
	(void)l;
	plan_warn(p, "%s has no effect here", p->name);
	return AZ_OK;
}

const struct plan_instruction plan_instructions[] = {
    {"FROM", do_from, false},
    {"RUN", do_run, true},
    {"COPY", plan_do_copy, true},
    {"ADD", plan_do_copy, true},
    {"WORKDIR", do_workdir, false},
    {"ENV", do_env, false},
    {"ARG", do_arg, false},
    {"CMD", do_cmd, false},
    {"ENTRYPOINT", do_entrypoint, false},
    {"USER", do_user, false},
    {"EXPOSE", do_expose, false},
    {"SHELL", do_shell, false},
    {"LABEL", do_nothing, false},
    {"VOLUME", do_nothing, false},
    {"MAINTAINER", do_nothing, false},
    {"HEALTHCHECK", do_warn, false},
    {"STOPSIGNAL", do_warn, false},
    {"ONBUILD", do_warn, false},
    {NULL, NULL, false},
};
