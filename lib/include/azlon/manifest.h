/*
 * Manifest: the list of files of an iteration or an input set. A file exists when
 * the manifest names it; its bytes are the blob of that sha256. JSON:
 * {"v":1,"files":[{"path","sha256","size","mode","modified"}]} sorted by path.
 */
#ifndef AZLON_MANIFEST_H
#define AZLON_MANIFEST_H

#include <azlon/arena.h>
#include <azlon/store.h>

struct az_file {
	struct az_str path;
	char sha256[65]; /* hex */
	int64_t size;    /* bytes */
	unsigned mode;   /* 0644 or 0755 */
	int64_t modified_ms;
};
struct az_manifest {
	struct az_file *files; /* sorted by path, bytewise, unique */
	size_t n, cap;
	struct az_arena *a; /* owns it */
};

AZ_API void az_manifest_init(struct az_manifest *m, struct az_arena *a);
/* Add or replace; path is checked by az_path_ok() and copied. Refuses a file where
   another needs a directory (AZ_EINVAL). */
AZ_API AZ_MUST_CHECK enum az_code az_manifest_set(
    struct az_manifest *m, const struct az_file *f, struct az_err *err);
AZ_API void az_manifest_drop(struct az_manifest *m, struct az_str path);
AZ_API const struct az_file *az_manifest_find(const struct az_manifest *m, struct az_str path);
AZ_API AZ_MUST_CHECK enum az_code az_manifest_parse(
    struct az_manifest *m, struct az_str json, struct az_err *err);
/* The same of what we stored: malformed is AZ_EIO. */
AZ_API AZ_MUST_CHECK enum az_code az_manifest_parse_stored(
    struct az_manifest *m, struct az_str json, struct az_err *err);
AZ_API void az_manifest_write(const struct az_manifest *m, struct az_buf *out);
AZ_API AZ_MUST_CHECK enum az_code az_manifest_load(struct az_manifest *m, struct az_store *s,
    const struct az_bucket *b, struct az_str key, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_manifest_save(const struct az_manifest *m, struct az_store *s,
    const struct az_bucket *b, struct az_str key, struct az_err *err);

/*
 * Store a body as a blob while hashing it: bytes go to a temporary name and are
 * renamed to their sha256 (written once; an equal blob is left alone). For run blobs
 * wid is set; for input sets, set.
 */
struct az_blob_writer;
AZ_API AZ_MUST_CHECK enum az_code az_blob_open(struct az_store *s, const struct az_bucket *b,
    struct az_str wid, struct az_str set, struct az_blob_writer **out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_blob_write(
    struct az_blob_writer *w, struct az_str chunk, struct az_err *err);
/* Frees w in any case. */
AZ_API AZ_MUST_CHECK enum az_code az_blob_commit(
    struct az_blob_writer *w, char sha256[65], int64_t *size, struct az_err *err);
AZ_API void az_blob_abort(struct az_blob_writer *w); /* accepts NULL */
/* A small body in one go: written straight under its sha256. */
AZ_API AZ_MUST_CHECK enum az_code az_blob_put(struct az_store *s, const struct az_bucket *b,
    struct az_str wid, struct az_str set, struct az_str body, char sha256[65], struct az_err *err);

#endif
