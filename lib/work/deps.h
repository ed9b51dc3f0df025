/*
 * Which file of a tree reads or writes which other, as far as its text says so: names in
 * string literals, what they are given to, imports, and redirections of shell scripts. A
 * reader's help, not a proof: a name that is computed is not seen, and nothing depends
 * on it being complete.
 */
#ifndef AZ_WORK_DEPS_H
#define AZ_WORK_DEPS_H

#include <azlon/json.h>
#include <azlon/manifest.h>

#define DEPS_FILE_BYTES AZ_KIB(256) /* a longer file is data */
#define DEPS_MAX 500                /* of a tree; more are not kept */

struct deps_use {
	struct az_str file; /* which file's text */
	struct az_str path; /* names this one */
	bool writes;        /* else it reads it */
	bool there;         /* the tree has it */
};
struct deps {
	struct az_arena *a;
	const struct az_manifest *m;
	struct deps_use v[DEPS_MAX];
	size_t n;
};

/* Both borrowed until the last use. */
void deps_init(struct deps *d, struct az_arena *a, const struct az_manifest *m);
/* Could the text of this file name others? (a program or script, not too long) */
bool deps_wanted(const struct az_file *f);
/* Look through the text of a file of the tree. */
AZ_MUST_CHECK enum az_code deps_scan(
    struct deps *d, struct az_str file, struct az_str text, struct az_err *err);
/* [{"file":"main.py","reads":["a.csv"],"writes":["out.png"],"missing":["b.csv"]}]: one
   entry a file that names any; what is read but neither there nor written is missing. */
void deps_json(const struct deps *d, struct az_jw *w);

#endif
