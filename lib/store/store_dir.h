/* What the files of the directory adapter share. */
#ifndef STORE_DIR_H
#define STORE_DIR_H

#include <azlon/store.h>

/* "azlon-<tag>/" + the longest key + NUL, with room for one '/' */
#define DIR_PATH_MAX (39 + 1024 + 2)

struct store_dir {
	struct az_store base;
	int root;          /* the directory that holds the buckets */
	int tmp;           /* our own directory beneath <root>/.tmp, locked while we live */
	char tmp_name[40]; /* its name there */
	int tmp_all;       /* <root>/.tmp */
};

/* "bucket/key" as a C string. */
void dir_path(char out[DIR_PATH_MAX], const struct az_bucket *b, struct az_str key);
/* errno as an error of this port: a full disk is AZ_EUNAVAIL "store_full". */
enum az_code dir_fail(struct az_err *err, const char *op);
enum az_code dir_put_open(struct az_store *s, const struct az_bucket *b, struct az_str key,
    struct az_put **out, struct az_err *err);
enum az_code dir_put_write(struct az_put *p, struct az_str chunk, struct az_err *err);
/* All that is left of an open file. */
enum az_code dir_put_fd(struct az_put *base, int fd, struct az_err *err);
enum az_code dir_put_name(struct az_put *p, struct az_str key, struct az_err *err);
enum az_code dir_put_commit(struct az_put *p, struct az_err *err);
void dir_put_abort(struct az_put *p);
enum az_code dir_put_if(struct az_store *s, const struct az_bucket *b, struct az_str key,
    struct az_str was, struct az_str body, struct az_err *err);
enum az_code dir_list(struct az_store *s, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err);
/* Own temporary directory: swept of dead processes' leftovers, made, locked. */
enum az_code dir_tmp_open(struct store_dir *d, struct az_err *err);
void dir_tmp_close(struct store_dir *d);
/* A name nobody else uses in the temporary directory. */
void dir_tmp_name(char out[27]);

#endif
