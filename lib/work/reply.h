/*
 * Model replies: text of a model -> data. Everything here is attacker input; what
 * comes out has safe paths, valid UTF-8 and no NUL. Linear time, all memory from the
 * caller's arena, nothing borrowed from text after return.
 *
 * What is in a file stays as it came, byte for byte, but for this: bytes that are no UTF-8
 * become U+FFFD; in an answer whose first line ends in CRLF every CRLF becomes LF (escapes
 * in JSON strings are not touched); one BOM before the answer goes. A BOM, a CR or a CRLF
 * inside a file of another answer stay.
 *
 *   reply.c         limits, cleaning, the choice between the two forms, paths
 *   reply_blocks.c  "### FILE: path" blocks
 *   reply_fence.c   fences, and paths in or before them
 *   reply_find.c    JSON candidates in prose
 *   reply_json.c    {dockerfile, files[]}
 *   reply_verdict.c the judge's {result, …}
 *   reply_repair.c  almost-JSON -> JSON
 */
#ifndef AZ_WORK_REPLY_H
#define AZ_WORK_REPLY_H

#include <azlon/arena.h>

/* Arena that is ample for one parse. */
#define AZ_REPLY_ARENA_BYTES ((size_t)64 * 1024 * 1024)

struct az_reply_file {
	struct az_str path, body; /* path passed az_path_ok() */
	bool remove;              /* ### DELETE: body is empty */
};

struct az_reply {
	bool has_dockerfile;
	struct az_str dockerfile;
	struct az_reply_file *files; /* unique paths; the last one named wins */
	size_t n;                    /* "Dockerfile" is never among them */
	struct az_str note;          /* prose before the first block, <= 2 KiB: the diagnosis */
	bool truncated;              /* cut off: ask for the rest; n may be 0 */
	bool fenced;                 /* taken out of a fence */
	bool repaired;               /* was not well-formed */
	int candidates;              /* JSON candidates looked at; 0 for file blocks */
};

/*
 * Parse a generator's reply: file blocks, or the original's JSON {dockerfile,
 * files:[{filename,content}]}. cut_by_length: finish_reason was "length".
 *
 * A file body cut by the end is dropped and truncated is set; when nothing else was
 * complete the call still succeeds with n == 0 and no Dockerfile.
 *
 * Fails with AZ_EUNPROC, reason "bad_model_output" (nothing found, an unsafe path,
 * a body that only says "rest of code unchanged", a NUL in a body) or AZ_ETOOBIG,
 * reason "bad_model_output" (limits of azlon/limits.h). err->text is a sentence
 * that can be shown to the model.
 */
AZ_MUST_CHECK enum az_code az_reply_parse(struct az_str text, bool cut_by_length,
    struct az_arena *a, struct az_reply *r, struct az_err *err);

#define AZ_REPLY_SUSPECTED 16

struct az_reply_verdict {
	bool result;
	struct az_str reason, plan, evidence;        /* empty when null or absent */
	struct az_str suspected[AZ_REPLY_SUSPECTED]; /* safe paths only */
	size_t n_suspected;
	bool fenced, repaired;
	int candidates;
};

/*
 * Parse a judge's reply. Only a JSON object with a boolean "result" is a verdict
 * (true/false/yes/no as strings are taken); prose never is: AZ_EUNPROC, reason
 * "bad_model_output". Texts are cut to 8 KiB. Unsafe suspected paths are left out.
 */
AZ_MUST_CHECK enum az_code az_reply_verdict_parse(
    struct az_str text, struct az_arena *a, struct az_reply_verdict *v, struct az_err *err);

#endif
