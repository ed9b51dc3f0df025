/*
 * Data files are shown by their shape, never by their content: a number table costs a
 * token a byte.
 */
#include "prompt.h"

#include <azlon/keys.h>
#include <azlon/path.h>

#define OP "work.prompt"

enum {
	HEAD_BYTES = 8192,
	ROWS = 3,
	LINE_BYTES = 400,
	FIELD_BYTES = 100,
	COUNT_BYTES = 64 * 1024 * 1024,
	CODE_BYTES = 64 * 1024,
};

static bool
is_table(struct az_str path)
{
	static const char *const exts[] = {".csv", ".tsv", ".tab", NULL};

	return az_path_ext_in(path, exts);
}

bool
prompt_is_data(const struct az_file *f)
{
	static const char *const exts[] = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet",
	    ".xlsx", ".xls", ".ods", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".svg",
	    ".pdf", ".zip", ".gz", ".bz2", ".xz", ".tar", ".tgz", ".sqlite", ".db", ".log", ".dat",
	    ".bin", ".wav", ".mp3", ".mp4", ".npy", ".pkl", ".pickle", ".h5", ".ico", ".woff",
	    ".woff2", ".ttf", ".o", ".so", ".a", ".exe", ".class", ".jar", NULL};

	return f->size > CODE_BYTES || az_path_ext_in(f->path, exts);
}

/* One line of a table: long fields cut. */
static void
add_row(struct az_buf *b, struct az_str line)
{
	size_t start = b->n, field = 0;

	az_buf_addc(b, "  ");
	for (size_t i = 0; i < line.n && b->n - start < LINE_BYTES; i++) {
		bool sep = line.p[i] == ',' || line.p[i] == '\t' || line.p[i] == ';';

		field = sep ? 0 : field + 1;
		if (field <= FIELD_BYTES)
			az_buf_addch(b, line.p[i]);
		else if (field == FIELD_BYTES + 1)
			az_buf_addc(b, "…");
	}
	az_buf_addc(b, "\n");
}

struct shape {
	struct az_buf head;
	int64_t lines, seen;
	bool open_line, cut;
};

/* Read the blob once: first bytes and the number of lines. */
static enum az_code
look(struct work_job *j, const struct az_file *f, struct shape *s, struct az_err *err)
{
	struct az_get *g = NULL;
	char chunk[16384];
	size_t got = 1;
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_blob(&key, job_wid(j), az_file_blob(f));
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = az_store_get_open(j->w->store, &j->bkt, az_buf_str(&key), 0, NULL, &g, err);
	while (rc == AZ_OK && got > 0 && !s->cut) {
		rc = az_store_get_read(g, chunk, sizeof(chunk), &got, err);
		if (rc != AZ_OK || got == 0)
			break;
		az_buf_add(
		    &s->head, chunk, got < s->head.max - s->head.n ? got : s->head.max - s->head.n);
		for (size_t i = 0; i < got; i++)
			s->lines += chunk[i] == '\n';
		s->open_line = chunk[got - 1] != '\n';
		s->seen += (int64_t)got;
		s->cut = s->seen >= COUNT_BYTES;
	}
	az_store_get_close(g);
	az_buf_release(&key);
	if (rc == AZ_ENOTFOUND)
		rc = az_fail(
		    err, AZ_EUNAVAIL, OP, "a stored file is missing: %.*s", AZ_FMT(f->path));
	return job_store_rc(rc, err);
}

enum az_code
prompt_data(struct work_job *j, const struct az_file *f, struct az_buf *b, struct az_err *err)
{
	struct shape s = {.lines = 0};
	struct az_str rest, line;
	enum az_code rc;

	if (!is_table(f->path)) {
		az_buf_addf(b, "- %.*s (%lld bytes)\n", AZ_FMT(f->path), (long long)f->size);
		return AZ_OK;
	}
	az_buf_init(&s.head, HEAD_BYTES);
	rc = look(j, f, &s, err);
	if (rc == AZ_OK) {
		int64_t rows = s.lines + s.open_line - 1;

		az_buf_addf(b, "- %.*s (%lld bytes, %s%lld rows below the header); it begins:\n",
		    AZ_FMT(f->path), (long long)f->size, s.cut ? "more than " : "",
		    (long long)(rows < 0 ? 0 : rows));
		rest = az_buf_str(&s.head);
		for (int i = 0; i <= ROWS && az_str_line(&rest, &line); i++)
			add_row(b, line);
	}
	az_buf_release(&s.head);
	return rc;
}
