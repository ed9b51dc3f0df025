/* Private to files_*.c: bytes into and out of a box, in constant memory. */
#ifndef BOX_FILES_H
#define BOX_FILES_H

#include <azlon/gzip.h>
#include "box.h"

#define FILE_MS 60000

/* ---- files_sign.c: who may move them ---- */
enum files_op { FILES_READ, FILES_WRITE };
/* As envd_box(), but a signature in the query does for a token. */
enum az_code files_box(struct az_rq *rq, struct az_box_server *s, enum files_op op,
    struct box **out, bool *stop, struct az_err *err);
/* The signature of a URL: "v1_" and base64. expiration < 0: none. */
void files_signature(struct az_buf *out, struct az_str path, enum files_op op, struct az_str user,
    struct az_str token, int64_t expiration);

/* ---- files_get.c ---- */
/* Does an Accept-Encoding take this coding? 1 or 0; -1: it does not say. */
int coding_taken(struct az_str header, struct az_str coding);
/* Open a file; e is valid until the first files_pull(). call_close(c, true) is due after
   success. */
enum az_code files_open(
    struct box *b, struct az_str path, struct call *c, struct entry *e, struct az_err *err);
/* n bytes from where it stands, for sink; a failure when there are fewer. */
enum az_code files_pull(
    struct box *b, struct call *c, uint64_t n, az_gzip_sink *sink, void *arg, struct az_err *err);

/* ---- files_meta.c ---- */
/* X-Metadata-*, as an AW_WRITE holds it. */
enum az_code meta_of_request(struct az_rq *rq, struct az_buf *out, struct az_err *err);
/* The member "metadata", if there is any. */
void meta_json(struct az_jw *w, struct aw_rd pairs);

/* ---- files_put.c: one file on its way in ---- */
struct put {
	struct box *b;
	struct az_str meta; /* as meta_of_request() says it */
	struct call c;
	bool open;
	char *path; /* resolved, of the file under way or the last one */
};
enum az_code put_begin(struct put *u, struct az_str path, struct az_err *err);
enum az_code put_bytes(struct put *u, struct az_str s, struct az_err *err);
/* In place, and told to w. */
enum az_code put_end(struct put *u, struct az_jw *w, struct az_err *err);
void put_release(struct put *u); /* what is not in place is gone */
enum az_code no_space(const struct az_box_server *s, struct az_err *err);

#endif
