/* Inside the files part of the api room. */
#ifndef AZLON_API_FILES_H
#define AZLON_API_FILES_H

#include <azlon/archive.h>
#include <azlon/json.h>
#include <azlon/keys.h>
#include <azlon/limits.h>
#include <azlon/manifest.h>
#include "caller.h"

#define FILES_PAGE 200              /* files of a page that names no limit */
#define FILES_TEXT_BYTES AZ_MIB(32) /* a rendered listing */
#define FILES_SET_MAX AZ_LIM_ARCHIVE_ENTRIES
#define FILES_CHUNK ((size_t)64 * 1024)
#define FILES_EDIT_TRIES 100 /* writers that may get ahead of one edit */

/* ---- files_tree.c: manifests ---- */
/* The tree of a run: of iteration n, or (n < 0) the current one. A run that has no
   files yet has an empty tree; AZ_ENOTFOUND when there is no such run or iteration. */
AZ_MUST_CHECK enum az_code files_tree(const struct az_api *api, struct az_arena *a,
    const struct az_bucket *b, struct az_str wid, int n, struct az_manifest *m, struct az_err *err);
/* The final manifest of a run, else that of the last iteration which has one. */
AZ_MUST_CHECK enum az_code files_current(const struct az_api *api, struct az_arena *a,
    const struct az_bucket *b, struct az_str wid, struct az_manifest *m, struct az_err *err);
/* The iteration named in the query, or -1. */
AZ_MUST_CHECK enum az_code files_iteration(struct az_rq *rq, int *n, struct az_err *err);
/* Numbers of the iterations that have anything stored, ascending. */
AZ_MUST_CHECK enum az_code files_iterations(const struct az_api *api, struct az_arena *a,
    const struct az_bucket *b, struct az_str wid, int *v, size_t max, size_t *n,
    struct az_err *err);
AZ_MUST_CHECK enum az_code files_set_load(const struct az_api *api, const struct az_bucket *b,
    struct az_str set, struct az_manifest *m, struct az_err *err);
/*
 * Change the manifest under key and store it, starting over when another writer was
 * faster. fn sets *changed. A manifest that is not there starts empty if make, else it is
 * AZ_ENOTFOUND.
 */
AZ_MUST_CHECK enum az_code files_edit(const struct az_api *api, const struct az_bucket *b,
    struct az_str key, bool make,
    enum az_code (*fn)(struct az_manifest *m, void *arg, bool *changed, struct az_err *err),
    void *arg, struct az_err *err);
/* A path from a client as we store it: NFC, by the rules. In the arena. */
AZ_MUST_CHECK enum az_code files_path(
    struct az_arena *a, struct az_str raw, struct az_str *out, struct az_err *err);

/* Is path below the directory dir, which is named without a '/' at its end? */
bool files_below(struct az_str path, struct az_str dir);

/* ---- files_view.c: what a listing looks like ---- */
void files_view_file(struct az_jw *w, const struct az_file *f);
/* {"files":[…],"next_cursor"}; id_key (may be NULL) and id stand before. */
AZ_MUST_CHECK enum az_code files_view_page(const struct az_manifest *m, const char *id_key,
    struct az_str id, struct az_str prefix, size_t limit, struct az_str cursor, struct az_buf *out,
    struct az_err *err);
void files_view_tree(const struct az_manifest *m, struct az_str prefix, struct az_buf *out);
void files_view_drawn(
    const struct az_manifest *m, struct az_str prefix, struct az_str title, struct az_buf *out);
void files_view_legacy(const struct az_manifest *m, struct az_buf *out);

/* ---- files_http.c: what the bytes travel with ---- */
/* Content-Disposition of RFC 6266 with an RFC 8187 name where it needs one. */
void files_disposition(struct az_buf *out, struct az_str name, bool attachment);
/* Would a browser run it? */
bool files_active(const char *mime);

/* ---- files_links.c: signed links ---- */
/* Does the request come by a link? Then it is judged by it, whoever sends it. */
bool files_by_link(struct az_rq *rq);
/* Whose file it may read: AZ_EPERM "link_invalid" or "link_expired" for any other than the
   one that was signed. */
AZ_MUST_CHECK enum az_code files_link_run(struct az_rq *rq, const struct az_api *api,
    struct az_str path, int iteration, struct az_bucket *b, struct az_err *err);
AZ_MUST_CHECK enum az_code files_link_set(struct az_rq *rq, const struct az_api *api,
    struct az_str path, struct az_bucket *b, struct az_err *err);

/* ---- files_archive.c ---- */
/* Has the client of an archive taken so long for so many bytes that it is given up? */
bool files_archive_too_slow(int64_t waited_ms, int64_t sent);

/* ---- files_get.c ---- */
/* Answer with the blob under key, which is f of a manifest. */
AZ_MUST_CHECK enum az_code files_serve(struct az_rq *rq, const struct az_api *api,
    const struct az_bucket *b, struct az_str key, const struct az_file *f, struct az_err *err);

/* ---- upload.c: files on their way into an input set ---- */
struct upload;
/* A new set, or one that may exist. limit: bytes of one file and of all together. */
AZ_MUST_CHECK enum az_code upload_open(const struct az_api *api, const struct az_bucket *b,
    struct az_str set, struct az_arena *a, bool fresh, struct upload **out, struct az_err *err);
/* Would so many bytes pass the owner's quota? Asked early, where they are known. */
AZ_MUST_CHECK enum az_code upload_fits(struct upload *u, int64_t bytes, struct az_err *err);
/* Begin a file; a second one of that name is an error. */
AZ_MUST_CHECK enum az_code upload_begin(
    struct upload *u, struct az_str path, unsigned mode, struct az_err *err);
AZ_MUST_CHECK enum az_code upload_data(struct upload *u, struct az_str bytes, struct az_err *err);
AZ_MUST_CHECK enum az_code upload_end(struct upload *u, struct az_err *err);
/* All files of an archive in a seekable fd. */
AZ_MUST_CHECK enum az_code upload_archive(struct upload *u, int fd, struct az_err *err);
/* Put what came into the set's manifest: from now on it is there. */
AZ_MUST_CHECK enum az_code upload_commit(struct upload *u, struct az_err *err);
const struct az_manifest *upload_files(const struct upload *u);
/* Frees; what was not committed is removed. Accepts NULL. */
void upload_close(struct upload *u);
/* Remove blobs of a set that its manifest does not name. */
AZ_MUST_CHECK enum az_code upload_drop_blobs(const struct az_api *api, const struct az_bucket *b,
    struct az_str set, const struct az_manifest *gone, struct az_err *err);

/* ---- handlers ---- */
#define FILE_HANDLER(f) enum az_code f(struct az_rq *rq, void *app, struct az_err *err)
FILE_HANDLER(files_list);
FILE_HANDLER(files_get);
FILE_HANDLER(files_archive);
FILE_HANDLER(files_may_upload);
FILE_HANDLER(files_post_inputs);
FILE_HANDLER(files_put_input);
FILE_HANDLER(files_get_set);
FILE_HANDLER(files_get_input);
FILE_HANDLER(files_post_link);
FILE_HANDLER(files_post_input_link);
FILE_HANDLER(files_remove_input);
FILE_HANDLER(files_remove_set);
FILE_HANDLER(files_remove);
FILE_HANDLER(files_remove_one);
FILE_HANDLER(files_remove_all);
FILE_HANDLER(files_live);
FILE_HANDLER(files_ready);

#endif
