/* What a tree's files read and write of each other: see deps.h. */
#include "deps.h"

#include <azlon/path.h>

#define OP "work.deps"
#define NAME_MAX_BYTES 255

void
deps_init(struct deps *d, struct az_arena *a, const struct az_manifest *m)
{
	memset(d, 0, sizeof *d);
	d->a = a;
	d->m = m;
}

/* Its words are names without quotes. */
static bool
is_script(struct az_str file)
{
	static const char *const exts[] = {".sh", ".bash", ".mk", NULL};
	struct az_str base = az_path_base(file);

	return az_path_ext_in(file, exts) || az_str_eqc(base, "Dockerfile") ||
	       az_str_eqc(base, "Makefile");
}

bool
deps_wanted(const struct az_file *f)
{
	static const char *const exts[] = {".py", ".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx",
	    ".rb", ".pl", ".php", ".r", ".jl", ".lua", ".go", ".rs", ".java", ".kt", ".cs", ".c",
	    ".h", ".cc", ".cpp", ".hpp", ".m", ".sql", ".ipynb", NULL};

	return f->size <= (int64_t)DEPS_FILE_BYTES &&
	       (is_script(f->path) || az_path_ext_in(f->path, exts));
}

static bool
word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Could it be the name of a file, if the tree does not say so? Short extension, no blanks. */
static bool
looks_like_file(struct az_str s)
{
	struct az_str ext = az_path_ext(s);
	bool letter = false;

	if (ext.n < 2 || ext.n > 8 || az_path_base(s).n == ext.n || az_path_ok(s, NULL))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!word_char(s.p[i]) && !strchr("./-", s.p[i]))
			return false;
	for (size_t i = 1; i < ext.n; i++)
		letter |= ext.p[i] > '9';
	return letter;
}

static enum az_code
use(struct deps *d, struct az_str file, struct az_str path, bool writes, bool there,
    struct az_err *err)
{
	struct deps_use *u;

	if (az_str_eq(path, file)) /* itself is no dependency */
		return AZ_OK;
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].writes == writes && az_str_eq(d->v[i].file, file) &&
		    az_str_eq(d->v[i].path, path))
			return AZ_OK;
	if (d->n == DEPS_MAX)
		return AZ_OK;
	u = &d->v[d->n];
	*u = (struct deps_use){.writes = writes, .there = there};
	u->file = az_arena_str(d->a, file);
	u->path = az_arena_str(d->a, path);
	if (!u->file.p || !u->path.p)
		return az_fail(err, AZ_ENOMEM, OP, "out of memory");
	d->n++;
	return AZ_OK;
}

/* The file of the tree that a name in a text means: beside the text's own file, then from
   the root; suffix is tried behind it. NULL: none. */
static const struct az_file *
find(const struct deps *d, struct az_str file, struct az_str name, const char *suffix)
{
	struct az_str base = az_path_base(file);
	char path[1024];
	const struct az_file *f = NULL;
	size_t dir = file.n - base.n, n = strlen(suffix);

	while (az_str_starts(name, AZ_S("./")))
		name = az_str_sub(name, 2, name.n);
	while (dir && az_str_starts(name, AZ_S("../"))) {
		name = az_str_sub(name, 3, name.n);
		for (dir--; dir && file.p[dir - 1] != '/'; dir--)
			;
	}
	if (name.n == 0 || file.n + name.n + n > sizeof path)
		return NULL;
	memcpy(path, file.p, dir);
	memcpy(path + dir, name.p, name.n);
	memcpy(path + dir + name.n, suffix, n);
	f = az_manifest_find(d->m, az_str_n(path, dir + name.n + n));
	if (!f)
		f = az_manifest_find(d->m, az_str_n(path + dir, name.n + n));
	return f;
}

/* , "w" or , mode='wb' behind a literal */
static bool
mode_writes(struct az_str rest)
{
	rest = az_str_trim(rest);
	if (!az_str_starts(rest, AZ_S(",")))
		return false;
	rest = az_str_trim(az_str_sub(rest, 1, rest.n));
	if (az_str_starts(rest, AZ_S("mode=")))
		rest = az_str_sub(rest, 5, rest.n);
	if (rest.n < 3 || (rest.p[0] != '"' && rest.p[0] != '\''))
		return false;
	for (size_t i = 1; i < rest.n && i <= 4 && rest.p[i] != rest.p[0]; i++) {
		if (!strchr("rwaxbt+", rest.p[i]))
			return false;
		if (strchr("wax+", rest.p[i]))
			return true;
	}
	return false;
}

/* The name of what is called with the literal, whose quote before ends at. */
static struct az_str
callee(struct az_str before)
{
	size_t to, from;

	before = az_str_trim(before);
	if (!az_str_ends(before, AZ_S("(")))
		return (struct az_str){NULL, 0};
	to = before.n - 1;
	for (from = to; from && word_char(before.p[from - 1]); from--)
		;
	return az_str_sub(before, from, to);
}

static bool
has_verb(struct az_str name, const char *const *verbs)
{
	for (; *verbs; verbs++)
		if (az_str_find(name, az_str_c(*verbs), 0) >= 0)
			return true;
	return false;
}

static bool
call_writes(struct az_str called, struct az_str after)
{
	static const char *const verbs[] = {
	    "write", "save", "dump", "to_", "Write", "Save", "touch", "creat", NULL};
	static const char *const behind[] = {
	    ").write", ").touch", ").open(\"w", ").open('w", ").open(\"a", ").open('a"};

	for (size_t i = 0; i < sizeof behind / sizeof *behind; i++)
		if (az_str_starts(after, az_str_c(behind[i])))
			return true;
	return has_verb(called, verbs);
}

/* Only what is given to something that reads may be missed when the tree lacks it. */
static bool
call_reads(struct az_str called)
{
	static const char *const verbs[] = {"open", "read", "load", "Open", "Read", "Load", NULL};

	return has_verb(called, verbs);
}

static enum az_code
literal(struct deps *d, struct az_str file, struct az_str line, size_t from, size_t to,
    struct az_err *err)
{
	static const char *const tails[] = {"", ".js", ".ts", ".mjs", ".json", "/index.js"};
	struct az_str name = az_str_sub(line, from, to);
	struct az_str called = callee(az_str_sub(line, 0, from - 1));
	struct az_str after = az_str_sub(line, to + 1, line.n);
	bool writes = mode_writes(after) || call_writes(called, after);
	const struct az_file *f = NULL;

	if (name.n == 0 || name.n > NAME_MAX_BYTES)
		return AZ_OK;
	for (size_t i = 0; !f && i < sizeof tails / sizeof *tails; i++)
		f = find(d, file, name, tails[i]);
	if (f)
		return use(d, file, f->path, writes, true, err);
	while (az_str_starts(name, AZ_S("./")))
		name = az_str_sub(name, 2, name.n);
	if (looks_like_file(name) && (writes || call_reads(called)))
		return use(d, file, name, writes, false, err);
	return AZ_OK;
}

/* "import a.b", "from a.b import c" */
static enum az_code
python_import(struct deps *d, struct az_str file, struct az_str line, struct az_err *err)
{
	struct az_str rest = az_str_trim(line), part;
	enum az_code rc = AZ_OK;
	bool from = az_str_starts(rest, AZ_S("from "));
	ptrdiff_t cut;

	if (!from && !az_str_starts(rest, AZ_S("import ")))
		return AZ_OK;
	rest = az_str_sub(rest, from ? 5 : 7, rest.n);
	if (from && (cut = az_str_find(rest, AZ_S(" import"), 0)) >= 0)
		rest = az_str_sub(rest, 0, (size_t)cut);
	while (rc == AZ_OK && az_str_cut(&rest, ',', &part)) {
		char name[NAME_MAX_BYTES + 1];
		const struct az_file *f;

		part = az_str_trim(part);
		while (part.n && part.p[0] == '.')
			part = az_str_sub(part, 1, part.n);
		if ((cut = az_str_chr(part, ' ')) >= 0) /* import a as b */
			part = az_str_sub(part, 0, (size_t)cut);
		if (part.n == 0 || part.n > NAME_MAX_BYTES)
			continue;
		for (size_t i = 0; i < part.n; i++)
			name[i] = part.p[i] == '.' ? '/' : part.p[i];
		f = find(d, file, az_str_n(name, part.n), ".py");
		if (!f)
			f = find(d, file, az_str_n(name, part.n), "/__init__.py");
		if (f)
			rc = use(d, file, f->path, false, true, err);
	}
	return rc;
}

/* Words of a shell line: what stands behind > or -o is written. */
static enum az_code
words(struct deps *d, struct az_str file, struct az_str line, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	bool out = false;
	size_t i = 0;

	while (rc == AZ_OK && i < line.n) {
		const struct az_file *f;
		struct az_str w;
		size_t from;

		if (strchr(" \t;|&()<>\"'", line.p[i])) {
			out = line.p[i] == '>' || (out && strchr(" \t>\"'", line.p[i]));
			i++;
			continue;
		}
		for (from = i; i < line.n && !strchr(" \t;|&()<>\"'", line.p[i]); i++)
			;
		w = az_str_sub(line, from, i);
		f = w.n <= NAME_MAX_BYTES ? find(d, file, w, "") : NULL;
		if (f)
			rc = use(d, file, f->path, out, true, err);
		else if (out && looks_like_file(w))
			rc = use(d, file, w, true, false, err);
		out = az_str_eqc(w, "-o") || az_str_eqc(w, "tee");
	}
	return rc;
}

enum az_code
deps_scan(struct deps *d, struct az_str file, struct az_str text, struct az_err *err)
{
	struct az_str rest = text, line;
	bool script = is_script(file), python = az_str_eqc(az_path_ext(file), ".py");
	enum az_code rc = AZ_OK;

	if (!az_str_utf8_ok(text))
		return AZ_OK; /* not a text after all */
	while (rc == AZ_OK && az_str_line(&rest, &line)) {
		if (az_str_starts(az_str_trim(line), AZ_S("#")) &&
		    !az_str_starts(az_str_trim(line), AZ_S("#include")))
			continue;
		if (script) {
			rc = words(d, file, line, err);
			continue;
		}
		if (python)
			rc = python_import(d, file, line, err);
		for (size_t i = 0; rc == AZ_OK && i < line.n; i++) {
			char q = line.p[i];
			size_t to;

			if (q != '"' && q != '\'' && q != '`')
				continue;
			for (to = i + 1; to < line.n && line.p[to] != q; to++)
				if (line.p[to] == '\\')
					to++;
			if (to >= line.n)
				break;
			rc = literal(d, file, line, i + 1, to, err);
			i = to;
		}
	}
	return rc;
}

static bool
written(const struct deps *d, struct az_str path)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].writes && az_str_eq(d->v[i].path, path))
			return true;
	return false;
}

static void
list(const struct deps *d, struct az_str file, const char *name, struct az_jw *w)
{
	bool missing = strcmp(name, "missing") == 0, writes = strcmp(name, "writes") == 0;
	bool open = false;

	for (size_t i = 0; i < d->n; i++) {
		const struct deps_use *u = &d->v[i];

		if (!az_str_eq(u->file, file) || u->writes != writes)
			continue;
		if (!writes && (!u->there && !written(d, u->path)) != missing)
			continue;
		if (!open) {
			az_jw_key(w, name);
			az_jw_arr(w);
			open = true;
		}
		az_jw_str(w, u->path);
	}
	if (open)
		az_jw_end(w, ']');
}

void
deps_json(const struct deps *d, struct az_jw *w)
{
	az_jw_arr(w);
	for (size_t i = 0; i < d->n; i++) {
		bool first = true;

		for (size_t k = 0; first && k < i; k++)
			first = !az_str_eq(d->v[k].file, d->v[i].file);
		if (!first)
			continue;
		az_jw_obj(w);
		az_jw_ks(w, "file", d->v[i].file);
		list(d, d->v[i].file, "reads", w);
		list(d, d->v[i].file, "writes", w);
		list(d, d->v[i].file, "missing", w);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
}
