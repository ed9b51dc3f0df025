/* Fences, and the paths that stand in or before them. */
#include "reply_int.h"

bool
reply_fence_line(struct az_str line, struct reply_fence *f)
{
	size_t i = 0, from;

	while (i < line.n && i < 3 && line.p[i] == ' ')
		i++;
	if (i == line.n || (line.p[i] != '`' && line.p[i] != '~'))
		return false;
	f->c = line.p[i];
	from = i;
	while (i < line.n && line.p[i] == f->c)
		i++;
	f->len = i - from;
	f->info = az_str_trim(az_str_sub(line, i, line.n));
	if (f->len < 3)
		return false;
	/* three back-ticks, x, three back-ticks is inline code */
	return f->c == '~' || az_str_chr(f->info, '`') < 0;
}

bool
reply_fence_ends(const struct reply_fence *f, const struct reply_fence *open)
{
	return f->c == open->c && f->len >= open->len && f->info.n == 0;
}

static bool
path_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("_-./+@", c) != NULL;
}

/* One word that reads as a file name: an extension, or a name known to have none. */
static bool
looks_like_path(struct az_str s)
{
	static const char *const bare[] = {"Dockerfile", "dockerfile", "Makefile", "Procfile",
	    "LICENSE", ".gitignore", ".dockerignore", ".env"};
	ptrdiff_t slash = az_str_rchr(s, '/'), dot;
	struct az_str base = az_str_sub(s, (size_t)(slash + 1), s.n);

	if (s.n == 0 || s.n > 1024)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' || (!path_char(s.p[i]) && (unsigned char)s.p[i] < 0x80))
			return false;
	for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
		if (az_str_eqc(base, bare[i]))
			return true;
	dot = az_str_rchr(base, '.');
	if (dot < 0 || base.n - (size_t)dot < 2 || base.n - (size_t)dot > 12)
		return false;
	/* "1.5" and "e.g." are not files */
	for (size_t i = (size_t)dot + 1; i < base.n; i++)
		if ((base.p[i] | 32) >= 'a' && (base.p[i] | 32) <= 'z')
			return true;
	return false;
}

static bool
is_key(struct az_str s)
{
	static const char *const keys[] = {"title", "filename", "file", "path", "name", "filepath"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (az_str_ieq(s, az_str_c(keys[i])))
			return true;
	return false;
}

bool
reply_info_path(struct az_str info, struct az_str *path)
{
	struct az_str rest = info, word;

	while (rest.n && az_str_cut(&rest, ' ', &word)) {
		ptrdiff_t eq = az_str_chr(word, '='), colon = az_str_rchr(word, ':');
		struct az_str w = word;

		if (eq < 0)
			eq = colon;
		if (eq > 0 && (eq == colon || is_key(az_str_sub(word, 0, (size_t)eq))))
			w = az_str_sub(word, (size_t)eq + 1, word.n);
		w = reply_bare_path(w);
		if (looks_like_path(w)) {
			*path = w;
			return true;
		}
	}
	return false;
}

/* Without list marks, heading marks and "File:" in front. */
static struct az_str
undecorate(struct az_str line)
{
	struct az_str s = az_str_trim(line);
	ptrdiff_t colon;

	while (s.n &&
	       (s.p[0] == '#' || s.p[0] == '>' || s.p[0] == '-' || s.p[0] == '/' || s.p[0] == ' '))
		s = az_str_sub(s, 1, s.n);
	if (az_str_starts(s, AZ_S("**")) && !az_str_ends(s, AZ_S("**")) &&
	    !az_str_ends(s, AZ_S("**:")))
		s = az_str_sub(s, 2, s.n);
	colon = az_str_chr(s, ':');
	if (colon > 0 && is_key(az_str_trim(az_str_sub(s, 0, (size_t)colon)))) {
		s = az_str_sub(s, (size_t)colon + 1, s.n);
		if (az_str_starts(s, AZ_S("**")))
			s = az_str_sub(s, 2, s.n);
	}
	return s;
}

bool
reply_line_path(struct az_str line, bool in_sentence, struct az_str *path)
{
	struct az_str s, part, one = {NULL, 0};
	bool inside = false;
	int n = 0;

	if (line.n > REPLY_LOOK_BYTES)
		return false;
	/* an absolute path must stay one: it is refused later, not repaired */
	s = reply_bare_path(line);
	if (looks_like_path(s)) {
		*path = s;
		return true;
	}
	s = reply_bare_path(undecorate(line));
	if (looks_like_path(s)) {
		*path = s;
		return true;
	}
	if (!in_sentence)
		return false;
	for (s = line; az_str_cut(&s, '`', &part); inside = !inside) {
		if (inside && looks_like_path(part)) {
			one = part;
			n++;
		}
	}
	*path = one;
	return n == 1;
}

bool
reply_info_shell(struct az_str info)
{
	static const char *const shell[] = {"", "bash", "sh", "shell", "console", "zsh", "text",
	    "txt", "plaintext", "output", "diff", "powershell", "shell-session"};
	ptrdiff_t blank = az_str_chr(info, ' ');
	struct az_str word = blank < 0 ? info : az_str_sub(info, 0, (size_t)blank);

	for (size_t i = 0; i < sizeof shell / sizeof *shell; i++)
		if (az_str_ieq(word, az_str_c(shell[i])))
			return true;
	return false;
}
