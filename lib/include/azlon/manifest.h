/*
 * Manifest: the list of files of an iteration or an input set. A file exists when
 * the manifest names it; its bytes are the blob of that sha256, or the one that "blob" names.
 * JSON: {"v":1,"files":[{"path","sha256","size","mode","modified"[,"blob"]}]} sorted by path.
 */
#ifndef AZLON_MANIFEST_H
#define AZLON_MANIFEST_H

#include <azlon/arena.h>
#include <azlon/store.h>

struct az_file {
	struct az_str path;
	char sha256[65]; /* hex */
	char blob[27];   /* its blob's name where that is not the digest, else "" */
	int64_t size;    /* bytes */
	unsigned mode;   /* 0644 or 0755 */
	int64_t modified_ms;
};
struct az_manifest {
	struct az_file *files; /* sorted by path, bytewise, unique */
	size_t n, cap;
	struct az_arena *a; /* owns it */
};

/* The name of the file's blob, for az_key_blob() and az_key_input_blob(). */
AZ_API struct az_str az_file_blob(const struct az_file *f);
/* Are the bytes of both the same stored object? */
AZ_API bool az_file_same_blob(const struct az_file *a, const struct az_file *b);

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
 * Store a body as a blob while hashing it. It gets its sha256 as its name (written once; an
 * equal blob is left alone), or keeps the one it began under where the store had to name it
 * before its end was known. For run blobs wid is set; for input sets, set.
 */
struct az_blob_writer;
AZ_API AZ_MUST_CHECK enum az_code az_blob_open(struct az_store *s, const struct az_bucket *b,
    struct az_str wid, struct az_str set, struct az_blob_writer **out, struct az_err *err);
AZ_API AZ_MUST_CHECK enum az_code az_blob_write(
    struct az_blob_writer *w, struct az_str chunk, struct az_err *err);
/* Sets sha256, blob and size of f. Frees w in any case. */
AZ_API AZ_MUST_CHECK enum az_code az_blob_commit(
    struct az_blob_writer *w, struct az_file *f, struct az_err *err);
AZ_API void az_blob_abort(struct az_blob_writer *w); /* accepts NULL */
/* A small body in one go: written straight under its sha256. */
AZ_API AZ_MUST_CHECK enum az_code az_blob_put(struct az_store *s, const struct az_bucket *b,
    struct az_str wid, struct az_str set, struct az_str body, char sha256[65], struct az_err *err);

#endif
