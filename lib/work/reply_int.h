/* Between the reply*.c files only; callers use reply.h. */
#ifndef AZ_WORK_REPLY_INT_H
#define AZ_WORK_REPLY_INT_H

#include <azlon/json.h>
#include "reply.h"

#define REPLY_PATH_BYTES 255
#define REPLY_NOTE_BYTES 2048
/* how far a decision may look ahead */
#define REPLY_LOOK_BYTES 4096

struct reply_ctx {
	struct az_arena *a;
	struct az_reply *r;
	struct az_err *err;
	size_t total; /* bytes of all bodies so far */
	size_t added; /* blocks so far, replaced ones included */
	bool cut;     /* finish_reason was "length" */
};

/* reply.c */
enum az_code reply_bad(struct az_err *err, const char *fmt, ...) AZ_PRINTF(2, 3);
enum az_code reply_big(struct az_err *err, const char *fmt, ...) AZ_PRINTF(2, 3);
/* Without think blocks and a BOM before all, valid UTF-8, CRLF as LF when the first line
   ends so; a copy in the arena, .p NULL on failure. */
struct az_str reply_clean(struct az_arena *a, struct az_str text);
/* Without **x**, `x`, "x", a trailing colon, "./" and blanks. */
struct az_str reply_bare_path(struct az_str raw);
/* Judge and keep one file; raw is stripped here, body must live in the arena. */
enum az_code reply_add(struct reply_ctx *c, struct az_str raw, struct az_str body, bool remove);
/* Prose as a note: trimmed, cut at 2 KiB, no control bytes. */
enum az_code reply_note(struct reply_ctx *c, struct az_str prose);
/* At most max bytes, ending on a whole character. */
struct az_str reply_clip(struct az_str s, size_t max);

/* reply_fence.c */
struct reply_fence {
	char c; /* '`' or '~' */
	size_t len;
	struct az_str info;
};
bool reply_fence_line(struct az_str line, struct reply_fence *f);
/* Does this fence line end what open began? Same kind, at least as long, no info. */
bool reply_fence_ends(const struct reply_fence *f, const struct reply_fence *open);
/* The path a fence names in its info string ("python src/a.py", "title=a.py"). */
bool reply_info_path(struct az_str info, struct az_str *path);
/* The path a line of prose names: "**src/a.py**:"; free: also one `a.py` in a
   sentence. */
bool reply_line_path(struct az_str line, bool in_sentence, struct az_str *path);
/* Languages of commands and output, not of files. */
bool reply_info_shell(struct az_str info);

/* reply_blocks.c: *found when any block was begun */
enum az_code reply_blocks(struct reply_ctx *c, struct az_str text, bool *found);
enum az_code reply_path_fences(struct reply_ctx *c, struct az_str text, bool *found);

/* reply_repair.c */
struct reply_cut {
	size_t end;    /* bytes of the input that were read */
	size_t depth;  /* brackets open at the end of the input */
	bool in_value; /* it ended inside a string or before a value */
};
/* Rewrite almost-JSON that begins with { or [ as JSON. False when hopeless. Stops
   after the first value: what follows is ignored. */
bool reply_repair(struct az_str in, struct az_buf *out, struct reply_cut *cut);

/* reply_find.c */
enum { REPLY_USABLE = 1, REPLY_KEEP = 2, REPLY_DONE = 4 }; /* what a judge says, or'ed */
struct reply_candidate {
	const struct az_json *root;
	struct reply_cut cut;
	bool repaired, fenced;
	bool whole;  /* the text is this and nothing else */
	size_t from; /* where it (or its fence) begins in the text */
};

struct reply_search {
	struct az_arena *a;
	struct az_err *err;
	/* REPLY_USABLE, REPLY_KEEP when it is the best so far, REPLY_DONE to end the search. */
	int (*judge)(void *arg, const struct reply_candidate *c);
	void *arg;
	struct az_json *kept; /* document of the best so far; others are freed */
	struct az_str text;
	/* a usable value lies here: what stands inside it is not a candidate */
	size_t used_from, used_to;
	int n;
};
/* Show every candidate to the judge; the document kept lives as long as the arena. */
enum az_code reply_search(struct reply_search *s, struct az_str text);
/* Keys are compared without case, '_' and '-'; names end with NULL. */
bool reply_key_is(struct az_str key, const char *const *names);
/* The member of the first name that is there and not null. */
const struct az_json *reply_get(const struct az_json *obj, const char *const *names);
/* The value of the last member. */
const struct az_json *reply_last(const struct az_json *obj);
extern const char *const reply_k_name[]; /* filename and its aliases */

/* reply_json.c */
enum az_code reply_json(struct reply_ctx *c, struct az_str text, bool *found);

#endif
