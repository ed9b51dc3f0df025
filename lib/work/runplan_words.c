/* Words of a Dockerfile: quotes, the escape character, variables, the JSON form. */
#include <stdarg.h>
#include <stdio.h>
#include <azlon/json.h>
#include "runplan_int.h"

#define DEPTH_MAX 8          /* of ${a:-${b:-…}} */
#define ENV_BYTES AZ_KIB(64) /* one environment as a whole */
#define TEXT_BYTES AZ_MIB(8) /* all texts of a plan */

enum az_code
plan_bad(struct plan_parse *p, const char *fmt, ...)
{
	char what[180];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	az_fail(p->err, AZ_EUNPROC, "work.dockerfile", "Dockerfile line %d%s%s: %s", p->line,
	    p->name ? ", " : "", p->name ? p->name : "", what);
	az_err_reason(p->err, "dockerfile");
	return AZ_EUNPROC;
}

enum az_code
plan_nomem(struct plan_parse *p)
{
	/* the ceiling is the Dockerfile's fault: a small text can ask for much */
	return az_arena_full(p->a) ? plan_bad(p, "the plan needs too much memory")
				   : az_fail(p->err, AZ_ENOMEM, "work.dockerfile", "out of memory");
}

void
plan_warn(struct plan_parse *p, const char *fmt, ...)
{
	struct az_plan *out = p->out;
	char what[240];
	char *s;
	va_list ap;

	if (out->n_warnings == AZ_PLAN_MAX_WARNINGS)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if ((s = az_arena_printf(p->a, "line %d: %s", p->line, what)))
		out->warnings[out->n_warnings++] = az_str_c(s);
}

enum az_code
plan_keep(struct plan_parse *p, const struct az_buf *b, struct az_str *out)
{
	if (b->fail == AZ_ETOOBIG)
		return plan_bad(p, "a value grew too long");
	if (b->fail != AZ_OK)
		return plan_nomem(p);
	if ((p->spent += b->n) > TEXT_BYTES)
		return plan_bad(p, "the plan needs too much memory");
	*out = az_arena_str(p->a, az_buf_str(b));
	return out->p ? AZ_OK : plan_nomem(p);
}

const struct plan_var *
plan_var(const struct plan_parse *p, struct az_str name)
{
	size_t i;

	for (i = 0; i < p->n_vars; i++)
		if (az_str_eq(p->vars[i].name, name))
			return &p->vars[i];
	return NULL;
}

enum az_code
plan_set(struct plan_parse *p, struct az_str name, struct az_str value, bool env, bool set)
{
	struct plan_var *v = NULL;
	size_t i;

	for (i = 0; i < p->n_vars && !v; i++)
		if (az_str_eq(p->vars[i].name, name))
			v = &p->vars[i];
	if (v && v->env && !env)
		return AZ_OK; /* ENV always wins over ARG */
	if (!v) {
		if (p->n_vars == AZ_PLAN_MAX_VARS)
			return plan_bad(p, "more than %d variables", AZ_PLAN_MAX_VARS);
		v = &p->vars[p->n_vars++];
		v->name = az_arena_str(p->a, name);
		if (!v->name.p)
			return plan_nomem(p);
	}
	v->env = env;
	v->set = set;
	v->value = az_arena_str(p->a, value);
	p->env = NULL;
	return v->value.p ? AZ_OK : plan_nomem(p);
}

enum az_code
plan_env(struct plan_parse *p, bool args, const char *const **out)
{
	const char **e = az_arena_alloc(p->a, (p->n_vars + 1) * sizeof *e);
	size_t i, n = 0, bytes = 0;

	if (!e)
		return plan_nomem(p);
	for (i = 0; i < p->n_vars; i++) {
		const struct plan_var *v = &p->vars[i];

		if (!v->set || (!v->env && !args))
			continue;
		e[n] = az_arena_printf(p->a, "%.*s=%.*s", AZ_FMT(v->name), AZ_FMT(v->value));
		if (!e[n])
			return plan_nomem(p);
		bytes += strlen(e[n++]) + 1;
	}
	e[n] = NULL;
	p->spent += bytes;
	if (bytes > ENV_BYTES || p->spent > TEXT_BYTES)
		return plan_bad(p, "the environment grew too large");
	*out = e;
	return AZ_OK;
}

static bool
name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

/* A word being expanded; stop is the byte that ends it at this level, or 0. */
struct lex {
	struct plan_parse *p;
	struct az_str in;
	size_t at;
	struct az_buf *out;
};

static enum az_code lex_run(struct lex *l, char stop, int depth, bool emit);

/* Value of a variable; what a base image would set is known too. */
static bool
lookup(struct plan_parse *p, struct az_str name, struct az_str *value)
{
	const struct plan_var *v = plan_var(p, name);

	*value = (struct az_str){"", 0};
	if (v && v->set) {
		*value = v->value;
		return true;
	}
	if (v)
		return false;
	if (az_str_eqc(name, "PATH"))
		*value = AZ_S(PLAN_PATH_MARK);
	else if (az_str_eqc(name, "HOME"))
		*value = AZ_S(AZ_PLAN_HOME);
	else
		return false;
	return true;
}

/* Behind "${": name, then "}" or an operator with a word. */
static enum az_code
braced(struct lex *l, int depth, bool emit)
{
	struct plan_parse *p = l->p;
	struct az_str name, value;
	size_t from = l->at;
	bool have, colon = false, use_word;
	enum az_code rc;
	char op;

	while (l->at < l->in.n && name_char(l->in.p[l->at], l->at == from))
		l->at++;
	name = az_str_sub(l->in, from, l->at);
	if (!name.n || l->at >= l->in.n)
		return plan_bad(p, "a malformed ${…}");
	have = lookup(p, name, &value);
	if (l->in.p[l->at] == '}') {
		l->at++;
		if (emit)
			az_buf_adds(l->out, value);
		return AZ_OK;
	}
	if (l->in.p[l->at] == ':') {
		colon = true;
		l->at++;
	}
	op = l->at < l->in.n ? l->in.p[l->at++] : '\0';
	if (op != '-' && op != '+' && op != '?')
		return plan_bad(p, "${%.*s…} with an operator other than :- :+ :?", AZ_FMT(name));
	if (colon && !value.n)
		have = false;
	use_word = (op == '-' && !have) || (op == '+' && have);
	if (emit && op != '+' && have)
		az_buf_adds(l->out, value);
	from = l->at;
	rc = lex_run(l, '}', depth + 1, emit && use_word);
	if (rc != AZ_OK)
		return rc;
	if (l->at >= l->in.n)
		return plan_bad(p, "a ${ without its }");
	if (op == '?' && !have && emit)
		return plan_bad(p, "%.*s is not set: %.*s", AZ_FMT(name),
		    AZ_FMT(az_str_sub(l->in, from, l->at)));
	l->at++;
	return AZ_OK;
}

static enum az_code
dollar(struct lex *l, int depth, bool emit)
{
	struct az_str value;
	size_t from;

	l->at++;
	if (l->at < l->in.n && l->in.p[l->at] == '{') {
		l->at++;
		return braced(l, depth, emit);
	}
	from = l->at;
	while (l->at < l->in.n && name_char(l->in.p[l->at], l->at == from))
		l->at++;
	if (l->at == from) {
		if (emit)
			az_buf_addch(l->out, '$');
		return AZ_OK;
	}
	lookup(l->p, az_str_sub(l->in, from, l->at), &value);
	if (emit)
		az_buf_adds(l->out, value);
	return AZ_OK;
}

static enum az_code
quoted(struct lex *l, int depth, bool emit)
{
	char q = l->in.p[l->at++];
	enum az_code rc;

	while (l->at < l->in.n && l->in.p[l->at] != q) {
		char c = l->in.p[l->at];

		if (q == '"' && c == '$') {
			if ((rc = dollar(l, depth, emit)) != AZ_OK)
				return rc;
			continue;
		}
		if (q == '"' && c == l->p->escape && l->at + 1 < l->in.n) {
			char d = l->in.p[l->at + 1];

			if (d == '"' || d == '$' || d == l->p->escape) {
				c = d;
				l->at++;
			}
		}
		if (emit)
			az_buf_addch(l->out, c);
		l->at++;
	}
	if (l->at >= l->in.n)
		return plan_bad(l->p, "a %c without its partner", q);
	l->at++;
	return AZ_OK;
}

static enum az_code
lex_run(struct lex *l, char stop, int depth, bool emit)
{
	enum az_code rc = AZ_OK;

	if (depth > DEPTH_MAX)
		return plan_bad(l->p, "${…} nested too deeply");
	while (rc == AZ_OK && l->at < l->in.n && !(stop && l->in.p[l->at] == stop)) {
		char c = l->in.p[l->at];

		if (c == '\'' || c == '"') {
			rc = quoted(l, depth, emit);
		} else if (c == '$') {
			rc = dollar(l, depth, emit);
		} else {
			if (c == l->p->escape && l->at + 1 < l->in.n)
				c = l->in.p[++l->at];
			if (emit)
				az_buf_addch(l->out, c);
			l->at++;
		}
	}
	return rc;
}

enum az_code
plan_expand(struct plan_parse *p, struct az_str word, struct az_str *out)
{
	struct az_buf b;
	struct lex l = {.p = p, .in = word, .out = &b};
	enum az_code rc;

	az_buf_init(&b, AZ_PLAN_MAX_VALUE);
	rc = lex_run(&l, '\0', 0, true);
	if (rc == AZ_OK)
		rc = plan_keep(p, &b, out);
	az_buf_release(&b);
	return rc;
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum az_code
plan_split(struct plan_parse *p, struct az_str rest, bool quotes, struct az_str *words, size_t *n)
{
	size_t i = 0;

	*n = 0;
	for (;;) {
		size_t from;
		char q = '\0';

		while (i < rest.n && blank(rest.p[i]))
			i++;
		if (i == rest.n)
			return AZ_OK;
		from = i;
		for (; i < rest.n && (q || !blank(rest.p[i])); i++) {
			char c = rest.p[i];

			if (!quotes)
				continue;
			if (c == p->escape && q != '\'' && i + 1 < rest.n)
				i++;
			else if (q)
				q = c == q ? '\0' : q;
			else if (c == '"' || c == '\'')
				q = c;
		}
		if (*n == AZ_PLAN_MAX_WORDS)
			return plan_bad(p, "more than %d words", AZ_PLAN_MAX_WORDS);
		words[(*n)++] = az_str_sub(rest, from, i);
	}
}

enum az_code
plan_exec_form(struct plan_parse *p, struct az_str rest, bool *is, const char ***argv, size_t *n)
{
	static const struct az_json_limits lim = {AZ_PLAN_MAX_BYTES, 2, AZ_PLAN_MAX_WORDS * 2 + 2};
	struct az_str s = az_str_trim(rest), inner;
	struct az_json *j = NULL;
	enum az_code rc = AZ_OK;
	size_t i;

	*is = false;
	if (!s.n || s.p[0] != '[')
		return AZ_OK;
	rc = az_json_parse(s, &lim, &j, p->err);
	if (rc == AZ_ENOMEM)
		return rc;
	if (rc || az_json_type(j) != AZ_JARR) {
		rc = AZ_OK;
		/* "[ -f x ] && …" is a shell's; ['a'] was meant as a list */
		inner = az_str_trim(az_str_sub(s, 1, s.n));
		if ((inner.n && inner.p[0] == '\'') ||
		    (inner.n && inner.p[0] == '"' && az_str_ends(s, AZ_S("]"))))
			rc = plan_bad(
			    p, "not a JSON array of strings: %.*s", AZ_FMT(az_str_sub(s, 0, 60)));
		goto out;
	}
	if (az_json_len(j) > AZ_PLAN_MAX_WORDS) {
		rc = plan_bad(p, "more than %d words", AZ_PLAN_MAX_WORDS);
		goto out;
	}
	*is = true;
	*n = az_json_len(j);
	*argv = az_arena_alloc(p->a, (*n + 1) * sizeof **argv);
	if (!*argv) {
		rc = plan_nomem(p);
		goto out;
	}
	for (i = 0; i < *n; i++) {
		struct az_str w = az_json_str(az_json_at(j, i));

		if (!az_json_is_str(az_json_at(j, i)) || memchr(w.p, '\0', w.n)) {
			rc = plan_bad(p, "the list holds more than plain strings");
			goto out;
		}
		if (!((*argv)[i] = az_arena_cstr(p->a, w))) {
			rc = plan_nomem(p);
			goto out;
		}
	}
out:
	az_json_free(j);
	return rc;
}
