/* Inside the archive room. */
#ifndef ARCHIVE_ROOM_H
#define ARCHIVE_ROOM_H

#include <locale.h>
#include <azlon/archive.h>
#include <azlon/arena.h>

/*
 * libarchive turns UTF-8 names into NULL in the "C" locale, and a library must not
 * change the process's. So each entry point switches its own thread to C.UTF-8 and back:
 * enter returns (locale_t)0 when the system has no such locale.
 */
locale_t archive_locale_enter(void);
void archive_locale_leave(locale_t was);

/* ---- zip_dir.c: the central directory, read by us before libarchive sees it ---- */
struct zip_entry {
	struct az_str name; /* UTF-8, in the arena; directories end in '/' */
	int64_t at;         /* offset of the local header */
	int64_t end;        /* first byte after the packed data */
	int64_t packed;     /* bytes */
	unsigned mode;      /* 0644 or 0755 */
	bool dir;
};
struct zip_dir {
	struct zip_entry *v; /* by offset: the order libarchive yields them in */
	size_t n;
};
/*
 * Refuses (AZ_EINVAL, AZ_ETOOBIG past max entries): local headers that disagree with the
 * directory, overlaps, encrypted entries, links and devices, split archives, bytes
 * before the first entry or between directory and end.
 */
AZ_MUST_CHECK enum az_code zip_dir_read(
    int fd, int64_t size, size_t max, struct az_arena *a, struct zip_dir *out, struct az_err *err);

/* ---- names.c: the names seen so far ---- */
struct names;
struct names *names_new(struct az_arena *a, size_t max); /* NULL = no memory */
/* Add a normalised path; AZ_EINVAL when it collides with one before: the same after
   case folding, or a file where a directory is needed. */
AZ_MUST_CHECK enum az_code names_add(
    struct names *s, struct az_str path, bool dir, struct az_err *err);

/* An error text that names the entry, its unprintable bytes replaced. */
enum az_code archive_refuse(
    struct az_err *err, enum az_code code, struct az_str name, const char *why);

#endif
