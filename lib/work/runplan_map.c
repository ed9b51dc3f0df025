/*
 * Where paths of a Dockerfile lie in the sandbox. Without root nothing outside the home
 * can be made, so /app and its like live beneath it; texts that mention such a path are
 * changed to match, at word boundaries only.
 */
#include "runplan_int.h"

bool
plan_under(struct az_str path, struct az_str dir)
{
	if (az_str_eqc(dir, "/"))
		return path.n > 0 && path.p[0] == '/';
	return az_str_starts(path, dir) && (path.n == dir.n || path.p[dir.n] == '/');
}

void
plan_normal(struct az_buf *b, struct az_str cwd, struct az_str path)
{
	struct az_str part, rest;
	size_t start = b->n;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		rest = pass ? path : cwd;
		if (!pass && path.n && path.p[0] == '/')
			continue;
		while (az_str_cut(&rest, '/', &part)) {
			if (!part.n || az_str_eqc(part, "."))
				continue;
			if (az_str_eqc(part, "..")) {
				while (b->n > start && b->p[b->n - 1] != '/')
					az_buf_cut(b, b->n - 1);
				if (b->n > start)
					az_buf_cut(b, b->n - 1);
				continue;
			}
			az_buf_addch(b, '/');
			az_buf_adds(b, part);
		}
	}
	if (b->n == start)
		az_buf_addch(b, '/');
}

/* Directories of the system that texts mention for their own sake. */
bool
plan_system_dir(struct az_str path)
{
	static const char *const dirs[] = {"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib",
	    "/lib64", "/media", "/mnt", "/opt", "/proc", "/run", "/sbin", "/srv", "/sys", "/tmp",
	    "/usr", "/usr/bin", "/usr/include", "/usr/lib", "/usr/local", "/usr/local/bin",
	    "/usr/local/include", "/usr/local/lib", "/usr/local/sbin", "/usr/local/share",
	    "/usr/sbin", "/usr/share", "/usr/src", "/var", "/var/lib", "/var/log", "/var/run",
	    "/var/tmp", AZ_PLAN_HOME};
	size_t i;

	for (i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
		if (az_str_eqc(path, dirs[i]))
			return true;
	return false;
}

enum az_code
plan_map_path(struct plan_parse *p, struct az_str path, struct az_str *out)
{
	const struct az_str root = p->map.root;
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(40));
	if (az_str_eqc(path, "/") || az_str_eq(path, root)) {
		az_buf_addc(&b, AZ_PLAN_APP);
	} else if (!az_str_eqc(root, "/") && plan_under(path, root)) {
		az_buf_addc(&b, AZ_PLAN_APP);
		az_buf_adds(&b, az_str_sub(path, root.n, path.n));
	} else if (plan_under(path, AZ_S(AZ_PLAN_HOME)) || plan_under(path, AZ_S("/tmp"))) {
		az_buf_adds(&b, path);
	} else if (plan_under(path, AZ_S("/root"))) {
		az_buf_addc(&b, AZ_PLAN_HOME);
		az_buf_adds(&b, az_str_sub(path, 5, path.n));
	} else {
		az_buf_addc(&b, az_str_eqc(root, "/") ? AZ_PLAN_APP : AZ_PLAN_HOME);
		az_buf_adds(&b, path);
	}
	rc = plan_keep(p, &b, out);
	az_buf_release(&b);
	return rc;
}

void
plan_map_add(struct plan_parse *p, struct az_str path)
{
	struct plan_map *m = &p->map;
	size_t i;

	for (i = 0; i < m->n; i++)
		if (az_str_eq(m->entry[i].from, path))
			return;
	if (m->n < sizeof m->entry / sizeof m->entry[0])
		m->entry[m->n++].from = path;
}

/* May a path begin at text[i]? After a blank, a quote, an operator, or -I and -L. */
static bool
begins(struct az_str t, size_t i)
{
	char c = i ? t.p[i - 1] : ' ';

	if (strchr(" \t\n\"'`=:,;()<>|&[]{}@\x01", c))
		return c != '\0';
	return i >= 2 && (c == 'I' || c == 'L') && t.p[i - 2] == '-' &&
	       (i == 2 || t.p[i - 3] == ' ' || t.p[i - 3] == '=' || t.p[i - 3] == '"');
}

static bool
ends(struct az_str t, size_t i)
{
	return i == t.n || (t.p[i] && strchr("/ \t\n\"'`:,;()<>|&[]{}*?\x01", t.p[i]));
}

/* Where the home itself is the root, ~/.local and its like stay where they are. */
static bool
hidden(struct az_str t, size_t i, const struct plan_map_entry *e)
{
	return az_str_eqc(e->from, AZ_PLAN_HOME) &&
	       az_str_starts(az_str_sub(t, i + e->from.n, t.n), AZ_S("/."));
}

static enum az_code
rewrite(struct plan_parse *p, struct az_str t, struct az_str *out)
{
	struct az_buf b;
	enum az_code rc;
	size_t i = 0, k;

	az_buf_init(&b, AZ_MIB(1));
	while (i < t.n) {
		const struct plan_map_entry *best = NULL;

		if (t.p[i] == '/' && begins(t, i))
			for (k = 0; k < p->map.n; k++) {
				const struct plan_map_entry *e = &p->map.entry[k];

				if ((!best || e->from.n > best->from.n) &&
				    az_str_starts(az_str_sub(t, i, t.n), e->from) &&
				    ends(t, i + e->from.n) && !hidden(t, i, e))
					best = e;
			}
		if (best) {
			az_buf_adds(&b, best->to);
			i += best->from.n;
		} else {
			az_buf_addch(&b, t.p[i++]);
		}
	}
	rc = plan_keep(p, &b, out);
	az_buf_release(&b);
	return rc;
}

/* A list of words or of "K=V", each rewritten; lists are shared between steps and
   so replaced, never changed. */
static enum az_code
rewrite_list(struct plan_parse *p, const char *const *v, const char *const **out)
{
	const char **w;
	size_t n = 0, i;
	enum az_code rc;

	*out = NULL;
	if (!v)
		return AZ_OK;
	while (v[n])
		n++;
	if (!(w = az_arena_alloc(p->a, (n + 1) * sizeof *w)))
		return plan_nomem(p);
	for (i = 0; i < n; i++) {
		struct az_str s;

		if ((rc = rewrite(p, az_str_c(v[i]), &s)) != AZ_OK)
			return rc;
		w[i] = s.p;
	}
	*out = w;
	return AZ_OK;
}

static enum az_code
map_step(
    struct plan_parse *p, struct az_plan_step *s, const char *const **from, const char *const **to)
{
	struct az_str path;
	enum az_code rc;

	if (s->cwd) {
		if ((rc = plan_map_path(p, az_str_c(s->cwd), &path)) != AZ_OK)
			return rc;
		s->cwd = path.p;
	}
	if (s->dest) {
		if ((rc = plan_map_path(p, az_str_c(s->dest), &path)) != AZ_OK)
			return rc;
		s->dest = path.p;
	}
	if ((rc = rewrite_list(p, s->argv, &s->argv)) != AZ_OK)
		return rc;
	if (s->env && s->env == *from) {
		s->env = *to; /* as the step before */
		return AZ_OK;
	}
	*from = s->env;
	rc = rewrite_list(p, s->env, &s->env);
	*to = s->env;
	return rc;
}

enum az_code
plan_map_all(struct plan_parse *p)
{
	struct az_plan *out = p->out;
	struct plan_map *m = &p->map;
	const char *const *from = NULL, *const *to = NULL;
	struct az_str path;
	enum az_code rc;
	size_t i;

	m->root = p->first_workdir.n ? p->first_workdir
		  : p->first_whole.n ? p->first_whole
				     : AZ_S("/");
	if (!plan_system_dir(m->root) || az_str_eqc(m->root, "/opt") ||
	    az_str_eqc(m->root, "/srv") || az_str_eqc(m->root, "/usr/src") ||
	    az_str_eqc(m->root, "/mnt") || az_str_eqc(m->root, AZ_PLAN_HOME))
		plan_map_add(p, m->root);
	plan_map_add(p, AZ_S("/root"));
	for (i = 0; i < m->n; i++)
		if ((rc = plan_map_path(p, m->entry[i].from, &m->entry[i].to)) != AZ_OK)
			return rc;
	for (i = 0; i < out->n_steps; i++)
		if ((rc = map_step(p, &out->steps[i], &from, &to)) != AZ_OK)
			return rc;
	if ((rc = rewrite_list(p, out->argv, &out->argv)) != AZ_OK ||
	    (rc = rewrite_list(p, out->env, &out->env)) != AZ_OK ||
	    (rc = plan_map_path(p, p->cwd, &path)) != AZ_OK)
		return rc;
	out->cwd = path.p;
	return AZ_OK;
}
