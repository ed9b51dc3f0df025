/* The files of the fake sandbox. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_sandbox_int.h"

static void
absolute(const char *path, char out[512])
{
	snprintf(out, 512, "%s%s", path[0] == '/' ? "" : "/home/user/", path);
}

struct fake_file *
fake_find(struct fake_sandbox *s, const char *path)
{
	char abs[512];

	absolute(path, abs);
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].used && strcmp(s->files[i].path, abs) == 0)
			return &s->files[i];
	return NULL;
}

struct fake_file *
fake_make(struct fake_sandbox *s, const char *path)
{
	struct fake_file *f = fake_find(s, path);

	if (!f) {
		if (s->n_files == sizeof(s->files) / sizeof(s->files[0]))
			abort();
		f = &s->files[s->n_files++];
		memset(f, 0, sizeof(*f));
		absolute(path, f->path);
		az_buf_init(&f->data, (size_t)1 << 30);
		f->used = true;
		f->mode = 0644;
	}
	az_buf_reset(&f->data);
	f->modified_ms = ++s->clock_ms;
	return f;
}

void
fake_write(struct fake_sandbox *s, const char *path, struct az_str body)
{
	az_buf_adds(&fake_make(s, path)->data, body);
}

void
fake_rewrite(struct fake_sandbox *s, const char *path, struct az_str body)
{
	struct fake_file *f = fake_find(s, path);
	int64_t was = f ? f->modified_ms : 0;

	f = fake_make(s, path);
	az_buf_adds(&f->data, body);
	f->modified_ms = was;
}

struct az_str
fake_read(struct fake_sandbox *s, const char *path)
{
	struct fake_file *f = fake_find(s, path);

	return f ? az_buf_str(&f->data) : (struct az_str){0};
}

bool
fake_exists(struct fake_sandbox *s, const char *path)
{
	return fake_find(s, path) != NULL;
}

bool
fake_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

void
fake_unlink(struct fake_sandbox *s, const char *path)
{
	char abs[512];

	absolute(path, abs);
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].used && fake_below(s->files[i].path, abs)) {
			az_buf_release(&s->files[i].data);
			s->files[i].used = false;
			s->files[i].path[0] = '\0';
		}
}
