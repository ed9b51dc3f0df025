/*
 * Names that come from a client or a model, and files beneath a root.
 */
#ifndef AZLON_PATH_H
#define AZLON_PATH_H

#include <sys/types.h>
#include <azlon/buf.h>

/*
 * May this be the path of a user's file? Relative, '/'-separated, strict UTF-8,
 * 1..900 bytes, no segment over 255 bytes, depth <= 16; no empty, "." or ".."
 * segment, no leading or trailing '/', no backslash, NUL, control byte, bidi
 * override or drive letter; no ".azlon" or ".git" segment. Fails with AZ_EINVAL and a
 * text that says which rule.
 */
AZ_API AZ_MUST_CHECK enum az_code az_path_ok(struct az_str path, struct az_err *err);
/* The rules of az_path_ok() but ".azlon" is allowed: for keys we build ourselves. */
AZ_API AZ_MUST_CHECK enum az_code az_key_ok(struct az_str key, struct az_err *err);
/* Part after the last '/'. */
AZ_API struct az_str az_path_base(struct az_str path);
/* Extension with its dot (".csv"), or empty. */
AZ_API struct az_str az_path_ext(struct az_str path);
/* Is its extension one of these (".csv", NULL at the end), in any case of letters? */
AZ_API bool az_path_ext_in(struct az_str path, const char *const *exts);
/* Content type by extension, from a short allow-list, else
   "application/octet-stream"; static. */
AZ_API const char *az_path_mime(struct az_str path);

/*
 * Open path beneath directory fd root: no symlink, no "..", no mount crossing to
 * magic links (openat2). flags and mode as open(2); O_CLOEXEC is added. Returns
 * the fd or -1 with errno.
 */
AZ_API int az_open_beneath(int root, const char *path, int flags, mode_t mode);
/* mkdir -p of the parents of path beneath root (0700 & ~umask); 0 or -1 with errno. */
AZ_API int az_mkparents_beneath(int root, const char *path);
/* Remove path and what is below it, beneath root, links not followed; missing is fine. */
AZ_API int az_remove_tree(int root, const char *path);
/* A file of dir, open for reading and writing, that has no name and goes with its last
   descriptor; -1 with errno. */
AZ_API int az_open_spool(const char *dir);
/* Write all n bytes, retrying; 0 or -1 with errno. */
AZ_API int az_write_all(int fd, const void *p, size_t n);
/* Read a whole small file (<= max bytes) into b; path as open(2). */
AZ_API AZ_MUST_CHECK enum az_code az_read_file(
    const char *path, size_t max, struct az_buf *b, struct az_err *err);

#endif
