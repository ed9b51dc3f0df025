/*
 * Archives: zip and tar.gz, out in constant memory, in with every entry judged.
 */
#ifndef AZLON_ARCHIVE_H
#define AZLON_ARCHIVE_H

#include <azlon/buf.h>

/*
 * A file name from outside in the one form we store: appends path in Unicode
 * Normalisation Form C. AZ_EINVAL for what has no canonical form here (marks in an
 * order of their own, characters that form never holds). az_path_ok() is apart.
 */
AZ_API AZ_MUST_CHECK enum az_code az_name_nfc(
    struct az_str path, struct az_buf *out, struct az_err *err);
/* path with letter case folded, to find names that some file systems take for one. */
AZ_API void az_name_fold(struct az_str path, struct az_buf *out);

enum az_archive_format { AZ_ZIP = 1, AZ_TAR_GZ };

struct az_archive_writer;
/* sink gets the bytes in order; its failure ends the archive. */
AZ_API AZ_MUST_CHECK enum az_code az_archive_begin(enum az_archive_format f,
    enum az_code (*sink)(void *arg, struct az_str bytes, struct az_err *err), void *arg,
    struct az_archive_writer **out, struct az_err *err);
/* Start an entry of exactly size bytes; then az_archive_data() that many. */
AZ_API AZ_MUST_CHECK enum az_code az_archive_entry(struct az_archive_writer *w, struct az_str path,
    int64_t size, unsigned mode, int64_t modified_ms, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_archive_data(
    struct az_archive_writer *w, struct az_str bytes, struct az_err *err);
/* Writes the end; frees in any case. */
AZ_API AZ_MUST_CHECK enum az_code az_archive_finish(
    struct az_archive_writer *w, struct az_err *err);
/* Frees without writing an end: what was sent is not a well-formed archive. */
AZ_API void az_archive_abort(struct az_archive_writer *w);

struct az_archive_limits {
	size_t entries;
	int64_t file_bytes, total_bytes;
	int64_t ratio; /* real bytes : packed bytes past the first MiB */
};
struct az_archive_in {
	/* An entry's path passed az_path_ok(), is NFC and unique after case folding. */
	enum az_code (*entry)(void *arg, struct az_str path, unsigned mode, struct az_err *err);
	enum az_code (*data)(void *arg, struct az_str bytes, struct az_err *err);
	enum az_code (*entry_end)(void *arg, struct az_err *err);
	void *arg;
};
/*
 * Read a zip or tar(.gz) from a seekable fd. Only regular files arrive. Refuses the
 * whole archive (AZ_EINVAL, or AZ_ETOOBIG for bombs; the text names the entry and the
 * rule): links, devices, unsafe or colliding names, encrypted entries, limits. What
 * was handed out before must be undone by the caller.
 */
AZ_API AZ_MUST_CHECK enum az_code az_archive_read(int fd, const struct az_archive_limits *lim,
    const struct az_archive_in *in, struct az_err *err);

enum az_tar_kind { AZ_TAR_FILE = 1, AZ_TAR_HARDLINK, AZ_TAR_OTHER };
struct az_tar_in {
	/* path passed az_path_ok(); a plain file is handed over when *take is set. */
	enum az_code (*entry)(
	    void *arg, struct az_str path, enum az_tar_kind kind, bool *take, struct az_err *err);
	enum az_code (*data)(void *arg, struct az_str bytes, struct az_err *err);
	enum az_code (*entry_end)(void *arg, struct az_err *err);
	void *arg;
};
/*
 * Read an unpacked tar in memory whose maker is not trusted. Other than az_archive_read() it
 * passes over what it does not take: links, special files, directories, names that are no
 * paths of ours; the same path may come twice. AZ_EINVAL when it is damaged, AZ_ETOOBIG past
 * a limit (lim->ratio is not used), or what a callback returned.
 */
AZ_API AZ_MUST_CHECK enum az_code az_archive_tar(struct az_str bytes,
    const struct az_archive_limits *lim, const struct az_tar_in *in, struct az_err *err);

#endif
