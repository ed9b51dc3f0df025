/*
 * Keys inside a user's bucket (DESIGN "Names and storage"). Writers and readers
 * build them here and nowhere else. Each appends to b.
 */
#ifndef AZLON_KEYS_H
#define AZLON_KEYS_H

#include <azlon/buf.h>

/* {wid}/.azlon/blobs/{name}; name: az_file_blob() */
AZ_API void az_key_blob(struct az_buf *b, struct az_str wid, struct az_str name);
/* {wid}/.azlon/iterations/{n}/{name}; n is written as %04d so that keys sort. Names
   in use: manifest, source, stdout, stderr, build, run, verdict, prompt, reply (and lib/work's
   own: llm, note, asked, judge_prompt, judge_reply, validated-N). Iteration 0 is preflight, which
   has dependencies as well. */
AZ_API void az_key_iter(struct az_buf *b, struct az_str wid, int n, const char *name);
/* {wid}/.azlon/{name}: request, memory.json, manifest (of the final tree), AZ_META_REPLY
   followed by the SHA-256 of a reply that a person gave */
#define AZ_META_REPLY "replies/"
AZ_API void az_key_meta(struct az_buf *b, struct az_str wid, const char *name);
/* {wid}/ */
AZ_API void az_key_run(struct az_buf *b, struct az_str wid);
/* {wid}/{path}: the final tree */
AZ_API void az_key_final(struct az_buf *b, struct az_str wid, struct az_str path);
/* input/{set}/{path}; input/{set}/.azlon/manifest */
AZ_API void az_key_input(struct az_buf *b, struct az_str set, struct az_str path);
AZ_API void az_key_input_manifest(struct az_buf *b, struct az_str set);
/* input/{set}/.azlon/blobs/{name} */
AZ_API void az_key_input_blob(struct az_buf *b, struct az_str set, struct az_str name);

/* prompts/{which}: a user's own prompt text; which is "generate" or "validate" */
AZ_API void az_key_prompt(struct az_buf *b, const char *which);

/*
 * Workflow ids: user-{u}-{ms}-{26 characters of a-z2-7}; u is the uid if it matches
 * [A-Za-z0-9_]{1,31}, else its tag. tail26 NULL = random.
 */
AZ_API void az_wid_make(struct az_buf *b, struct az_str uid, int64_t ms, const char *tail26);
/* azlon-user-{tag}: the workflow that serves the runs of a user; no run's id is like it. */
AZ_API void az_wid_user(struct az_buf *b, struct az_str uid);
/* user-{u}-: how all ids of a user begin. */
AZ_API void az_wid_prefix(struct az_buf *b, struct az_str uid);
/* Does the id have that form (parsed from the right)? *u and *ms may be NULL. */
AZ_API bool az_wid_parse(struct az_str wid, struct az_str *u, int64_t *ms);
/* Could uid own this id? */
AZ_API bool az_wid_owned_by(struct az_str wid, struct az_str uid);
/* Input set ids: "inp_" + 26 characters; "default" is the original's default set. */
AZ_API void az_input_id_make(struct az_buf *b);
AZ_API bool az_input_id_ok(struct az_str id);

#endif
