/* COPY and ADD: which files of the context go where. */
#include "runplan_int.h"

static bool
remote(struct az_str s)
{
	return az_str_find(s, AZ_S("://"), 0) >= 0 || az_str_starts(s, AZ_S("git@")) ||
	       az_str_ends(s, AZ_S(".git"));
}

static bool
archive(struct az_str s)
{
	static const char *const ext[] = {
	    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"};
	size_t i;

	for (i = 0; i < sizeof ext / sizeof ext[0]; i++)
		if (az_str_ends(s, az_str_c(ext[i])))
			return true;
	return false;
}

/* A source as the build context knows it: relative, inside it, "." = all of it. */
static enum az_code
source(struct plan_parse *p, struct az_str word, const char **out)
{
	struct az_str rest = word, part;
	int depth = 0;
	struct az_buf b;
	enum az_code rc;

	while (az_str_cut(&rest, '/', &part)) {
		if (az_str_eqc(part, ".."))
			depth--;
		else if (part.n && !az_str_eqc(part, "."))
			depth++;
		if (depth < 0)
			return plan_bad(p, "a source outside the build context");
	}
	az_buf_init(&b, 3000);
	plan_normal(&b, AZ_S("/"), word);
	az_buf_shift(&b, 1);
	if (!b.n)
		az_buf_addch(&b, '.');
	rc = plan_keep(p, &b, &part);
	az_buf_release(&b);
	*out = part.p;
	return rc;
}

static enum az_code
copy_flags(struct plan_parse *p, struct az_str *rest, unsigned *mode)
{
	static const char *const ignored[] = {
	    "chown", "link", "parents", "exclude", "keep-git-dir", NULL};
	struct az_str name, value;
	size_t i;

	while (plan_flag(rest, &name, &value)) {
		if (az_str_eqc(name, "from"))
			return plan_bad(p, "--from is not supported: there is one stage "
					   "and no other image");
		if (az_str_eqc(name, "chmod")) {
			for (i = 0; i < value.n; i++)
				if (value.p[i] < '0' || value.p[i] > '7' || i > 3)
					return plan_bad(p, "--chmod takes octal digits");
			for (*mode = 0, i = 0; i < value.n; i++)
				*mode = *mode * 8 + (unsigned)(value.p[i] - '0');
			*mode &= 0777;
		} else if (!plan_in_list(name, ignored)) {
			return plan_bad(p, "unknown flag --%.*s", AZ_FMT(name));
		} else if (!az_str_eqc(name, "chown") && !az_str_eqc(name, "link")) {
			plan_warn(p, "%s --%.*s is ignored", p->name, AZ_FMT(name));
		}
	}
	return AZ_OK;
}

/* Names below a mapped destination that later texts may mention. */
static void
mention(struct plan_parse *p, struct az_str dest, const struct az_plan_step *s)
{
	const char *const *src;

	if (az_str_starts(dest, AZ_S("/tmp")) || az_str_starts(dest, AZ_S(AZ_PLAN_HOME)))
		return;
	if (!plan_system_dir(dest)) {
		plan_map_add(p, dest);
		return;
	}
	for (src = s->src; src && *src; src++) {
		struct az_str base = az_str_c(*src);
		ptrdiff_t at = az_str_rchr(base, '/');
		char *path;

		if (at >= 0)
			base = az_str_sub(base, (size_t)at + 1, base.n);
		if (az_str_eqc(base, ".") || strpbrk(*src, "*?["))
			continue;
		path = az_arena_printf(p->a, "%s/%.*s", dest.n > 1 ? dest.p : "", AZ_FMT(base));
		if (path)
			plan_map_add(p, az_str_c(path));
	}
	if (dest.n > 1)
		plan_warn(p,
		    "%s to %.60s: system directories are read-only, it goes "
		    "beneath the home",
		    p->name, dest.p);
}

enum az_code
plan_do_copy(struct plan_parse *p, struct plan_line *l)
{
	struct az_str words[AZ_PLAN_MAX_WORDS], rest = l->text, dest;
	struct az_plan_step *s;
	const char **argv = NULL, **src;
	unsigned mode = 0;
	enum az_code rc;
	size_t n, i;
	bool exec, dir;

	if ((rc = copy_flags(p, &rest, &mode)) != AZ_OK ||
	    (rc = plan_exec_form(p, rest, &exec, &argv, &n)) != AZ_OK)
		return rc;
	if (exec)
		for (i = 0; i < n; i++)
			words[i] = az_str_c(argv[i]);
	else if ((rc = plan_split(p, rest, false, words, &n)) != AZ_OK)
		return rc;
	if (n < 2)
		return plan_bad(p, "takes a source and a destination");
	for (i = 0; i < n; i++) {
		if (l->has_doc && az_str_eq(words[i], l->doc_word))
			continue;
		if ((rc = plan_expand(p, words[i], &words[i])) != AZ_OK)
			return rc;
		if (!words[i].n || strstr(words[i].p, PLAN_PATH_MARK))
			return plan_bad(p, "word %zu is empty", i + 1);
	}
	dir = n > 2 || az_str_ends(words[n - 1], AZ_S("/")) ||
	      az_str_ends(words[n - 1], AZ_S("/.")) || az_str_eqc(words[n - 1], ".");
	if (n > 2 && !az_str_ends(words[n - 1], AZ_S("/")) && !az_str_eqc(words[n - 1], "."))
		return plan_bad(p, "several sources need a destination that ends in '/'");
	if ((rc = plan_absolute(p, words[n - 1], &dest)) != AZ_OK)
		return rc;
	if ((rc = plan_add_step(p, l, &s)) != AZ_OK)
		return rc;
	s->kind = AZ_PLAN_COPY;
	s->dest = dest.p;
	s->dest_dir = dir;
	s->mode = mode;
	if (l->has_doc) {
		if (n != 2 || !az_str_eq(words[0], l->doc_word) || dir)
			return plan_bad(p, "a here-document needs one file as destination");
		s->dest_dir = false;
		if (l->doc_quoted)
			s->body = l->doc;
		else
			rc = plan_expand(p, l->doc, &s->body);
		mention(p, dest, s);
		return rc;
	}
	if (!(src = az_arena_alloc(p->a, n * sizeof *src)))
		return plan_nomem(p);
	for (i = 0; i + 1 < n; i++) {
		if (remote(words[i]))
			return plan_bad(p, "%s",
			    "sources are files of the build context; "
			    "URLs and repositories are not fetched");
		if (strcmp(p->name, "ADD") == 0 && archive(words[i]))
			return plan_bad(p, "archives are not unpacked; RUN tar instead");
		if ((rc = source(p, words[i], &src[i])) != AZ_OK)
			return rc;
	}
	src[n - 1] = NULL;
	s->src = src;
	if (n == 2 && strcmp(src[0], ".") == 0 && !p->first_whole.n)
		p->first_whole = dest;
	mention(p, dest, s);
	return AZ_OK;
}
