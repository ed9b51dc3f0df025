/*
 * From text to plan: logical lines (directives, comments, continuations,
 * here-documents), each handed to its instruction; then the command and the paths.
 */
#include "runplan_int.h"

struct reader {
	struct az_str rest;
	int line; /* of the next one */
};

static bool
next(struct reader *r, struct az_str *line)
{
	if (!az_str_line(&r->rest, line))
		return false;
	r->line++;
	return true;
}

/* Does the line go on? Then *line loses the escape character. One that is itself
   escaped does not count. */
static bool
continues(struct az_str *line, char escape)
{
	size_t n = line->n;

	while (n > 0 && (line->p[n - 1] == ' ' || line->p[n - 1] == '\t'))
		n--;
	if (!n || line->p[n - 1] != escape || (n > 1 && line->p[n - 2] == escape))
		return false;
	line->n = n - 1;
	return true;
}

/* "<<EOF", "<<-'EOF'": the first one outside quotes. */
static bool
find_doc(struct az_str t, struct plan_line *l, struct az_str *end, bool *strip)
{
	size_t i, k, from;
	char q = '\0';

	for (i = 0; i + 2 < t.n; i++) {
		if (q) {
			q = t.p[i] == q ? '\0' : q;
			continue;
		}
		if (t.p[i] == '"' || t.p[i] == '\'') {
			q = t.p[i];
			continue;
		}
		if (t.p[i] != '<' || t.p[i + 1] != '<' || t.p[i + 2] == '<' ||
		    (i > 0 && t.p[i - 1] == '<'))
			continue;
		k = i + 2;
		*strip = t.p[k] == '-';
		k += *strip;
		q = k < t.n && (t.p[k] == '"' || t.p[k] == '\'') ? t.p[k++] : '\0';
		from = k;
		while (k < t.n && ((t.p[k] >= 'a' && t.p[k] <= 'z') || t.p[k] == '_' ||
				      (t.p[k] >= 'A' && t.p[k] <= 'Z') || t.p[k] == '.' ||
				      (t.p[k] >= '0' && t.p[k] <= '9')))
			k++;
		*end = az_str_sub(t, from, k);
		l->doc_quoted = q != '\0';
		if (q && (k >= t.n || t.p[k++] != q))
			return false;
		/* "1<<2" is arithmetic */
		if (!end->n || (end->p[0] >= '0' && end->p[0] <= '9'))
			return false;
		l->doc_word = az_str_sub(t, i, k);
		return true;
	}
	return false;
}

static enum az_code
read_doc(struct plan_parse *p, struct reader *r, struct plan_line *l)
{
	struct az_str end, line;
	struct az_buf b;
	bool strip, alone, done = false;
	enum az_code rc;

	if (az_str_starts(az_str_trim(l->text), AZ_S("[")) || !find_doc(l->text, l, &end, &strip))
		return AZ_OK;
	alone = strcmp(p->name, "RUN") != 0 || az_str_eq(az_str_trim(l->text), l->doc_word);
	az_buf_init(&b, AZ_PLAN_MAX_BYTES);
	while (!done && next(r, &line)) {
		struct az_str s = line;

		while (strip && s.n && s.p[0] == '\t') {
			s.p++;
			s.n--;
		}
		done = az_str_eq(s, end);
		if (done && alone)
			break;
		az_buf_adds(&b, s);
		az_buf_addch(&b, '\n');
	}
	if (!done)
		rc = plan_bad(p, "no end of the here-document %.*s", AZ_FMT(l->doc_word));
	else
		rc = plan_keep(p, &b, &l->doc);
	l->has_doc = true;
	az_buf_release(&b);
	return rc;
}

static enum az_code
instruction(struct plan_parse *p, struct az_str text, struct reader *r)
{
	struct plan_line l = {.has_doc = false};
	enum az_code rc;
	size_t i, k = 0;
	struct az_str name;

	while (k < text.n && text.p[k] != ' ' && text.p[k] != '\t')
		k++;
	name = az_str_sub(text, 0, k);
	l.text = az_str_trim(az_str_sub(text, k, text.n));
	p->name = NULL;
	for (i = 0; plan_instructions[i].name; i++)
		if (az_str_ieq(name, az_str_c(plan_instructions[i].name)))
			break;
	if (!plan_instructions[i].name)
		return plan_bad(p, "unknown instruction %.40s", az_arena_cstr(p->a, name));
	p->name = plan_instructions[i].name;
	if (++p->instructions > AZ_PLAN_MAX_STEPS)
		return plan_bad(p, "more than %d instructions", AZ_PLAN_MAX_STEPS);
	if (!l.text.n)
		return plan_bad(p, "has nothing behind it");
	if (!p->from && strcmp(p->name, "FROM") != 0 && strcmp(p->name, "ARG") != 0)
		return plan_bad(p, "stands before FROM");
	if (plan_instructions[i].doc && (rc = read_doc(p, r, &l)) != AZ_OK)
		return rc;
	return plan_instructions[i].run(p, &l);
}

/* "# escape=`" and its like, at the very top only. True if the line is one. */
static bool
directive(struct plan_parse *p, struct az_str line)
{
	struct az_str s = az_str_trim(line), name;

	if (!s.n || s.p[0] != '#')
		return false;
	s = az_str_sub(s, 1, s.n);
	if (az_str_chr(s, '=') < 0 || !az_str_cut(&s, '=', &name))
		return false;
	name = az_str_trim(name);
	s = az_str_trim(s);
	if (az_str_ieq(name, AZ_S("escape")) && s.n == 1 && (s.p[0] == '`' || s.p[0] == '\\')) {
		p->escape = s.p[0];
		return true;
	}
	return az_str_ieq(name, AZ_S("syntax")) || az_str_ieq(name, AZ_S("check"));
}

static enum az_code
join_command(struct plan_parse *p)
{
	size_t n = p->entry.n, m = p->entry.shell && n ? 0 : p->cmd.n;
	const char **argv;

	if (n + m == 0)
		return AZ_OK;
	if (!(argv = az_arena_alloc(p->a, (n + m + 1) * sizeof *argv)))
		return plan_nomem(p);
	if (n)
		memcpy(argv, p->entry.argv, n * sizeof *argv);
	if (m)
		memcpy(argv + n, p->cmd.argv, m * sizeof *argv);
	if (!argv[0][0])
		return plan_bad(p, "an empty command");
	p->out->argv = argv;
	return AZ_OK;
}

static enum az_code
check_text(struct plan_parse *p, struct az_str t)
{
	size_t i;

	p->line = 1;
	if (t.n > AZ_PLAN_MAX_BYTES)
		return plan_bad(p, "longer than %zu bytes", AZ_PLAN_MAX_BYTES);
	for (i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.p[i];

		p->line += c == '\n';
		if ((c < ' ' && c != '\n' && c != '\r' && c != '\t') || c == 0x7f)
			return plan_bad(p, "a control byte 0x%02x", c);
	}
	if (!az_str_utf8_ok(t))
		return plan_bad(p, "not UTF-8");
	return AZ_OK;
}

static enum az_code
read_all(struct plan_parse *p, struct az_str text)
{
	struct reader r = {.rest = text, .line = 1};
	bool top = true;
	struct az_buf b;
	struct az_str line;
	enum az_code rc = AZ_OK;

	if (az_str_starts(r.rest, AZ_S("\xef\xbb\xbf")))
		r.rest = az_str_sub(r.rest, 3, r.rest.n);
	az_buf_init(&b, AZ_PLAN_MAX_BYTES + 1);
	while (rc == AZ_OK && next(&r, &line)) {
		struct az_str s = az_str_trim(line);
		bool more;

		p->line = r.line - 1;
		if (top && (top = directive(p, line)))
			continue;
		if (!s.n || s.p[0] == '#')
			continue;
		az_buf_reset(&b);
		while (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
			line = az_str_sub(line, 1, line.n);
		more = continues(&line, p->escape);
		az_buf_adds(&b, line);
		while (more && next(&r, &line)) {
			s = az_str_trim(line);
			if (!s.n || s.p[0] == '#')
				continue; /* between the parts of one line */
			more = continues(&line, p->escape);
			az_buf_adds(&b, line);
		}
		rc = b.fail ? plan_nomem(p) : instruction(p, az_buf_str(&b), &r);
	}
	az_buf_release(&b);
	return rc;
}

enum az_code
az_plan_parse(struct az_str dockerfile, struct az_arena *a, struct az_plan *out, struct az_err *err)
{
	static const char *const shell[] = {"/bin/sh", "-c"};
	struct plan_parse *p = az_arena_alloc(a, sizeof *p);
	enum az_code rc;

	memset(out, 0, sizeof *out);
	if (!p)
		return az_fail(err, AZ_ENOMEM, "work.dockerfile", "out of memory");
	p->a = a;
	p->err = err;
	p->out = out;
	p->escape = '\\';
	p->shell = shell;
	p->n_shell = 2;
	p->cwd = AZ_S("/");
	out->steps = az_arena_alloc(a, AZ_PLAN_MAX_STEPS * sizeof *out->steps);
	if (!out->steps)
		return plan_nomem(p);
	if ((rc = check_text(p, dockerfile)) != AZ_OK || (rc = read_all(p, dockerfile)) != AZ_OK)
		return rc;
	p->name = NULL;
	if (!p->from)
		return plan_bad(p, "no FROM");
	if ((rc = join_command(p)) != AZ_OK)
		return rc;
	if ((rc = plan_env(p, false, &out->env)) != AZ_OK)
		return rc;
	return plan_map_all(p);
}
