/*
 * A whole run on a table: the real fold and the real functions over a store in memory, a
 * fake sandbox and a scripted model, one step at a time.
 */
#ifndef WORK_RIG_H
#define WORK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <azlon/flow.h>
#include <azlon/keys.h>
#include <azlon/manifest.h>
#include <azlon/work.h>

#include "fake_llm.h"
#include "fake_sandbox.h"
#include "tiny_engine.h"

#define RIG_WID "user-alice-1790000000000-abcdefghijklmnopqrstuvwxyz"

struct rig {
	struct az_work app;
	struct az_store *store;
	struct fake_sandbox *box;
	struct fake_llm *llm;
	struct tiny t;
	struct az_bucket bkt;
	struct az_arena *a;
	bool cancelled;
	int beats;
	char last_beat[70000];
	int retries;
	/* called before each function attempt, may be NULL */
	void (*before)(struct rig *r, const struct az_event *fn, int attempt);
};

static inline bool
rig_cancelled(struct az_fn_ctx *c)
{
	return ((struct rig *)c->engine)->cancelled;
}

static inline void
rig_beat(struct az_fn_ctx *c, struct az_str json)
{
	struct rig *r = c->engine;

	r->beats++;
	assert_true(json.n < sizeof(r->last_beat));
	memcpy(r->last_beat, json.p, json.n);
	r->last_beat[json.n] = '\0';
}

static inline void
rig_open(struct rig *r, const struct fake_answer *answers, size_t n, const char *input)
{
	memset(r, 0, sizeof(*r));
	r->box = calloc(1, sizeof(*r->box));
	r->llm = calloc(1, sizeof(*r->llm));
	r->a = az_arena_new(AZ_MIB(256));
	assert_true(r->box && r->llm && r->a);
	assert_int_equal(az_store_mem_open(&r->store, NULL), AZ_OK);
	fake_sandbox_init(r->box);
	fake_llm_init(r->llm, answers, n);
	r->app =
	    (struct az_work){.store = r->store, .sandbox = &r->box->base, .llm = &r->llm->base};
	r->bkt = az_bucket_of(AZ_S("alice"));
	tiny_init(&r->t, &az_flow_coding, input);
}

static inline void
rig_close(struct rig *r)
{
	tiny_release(&r->t);
	az_arena_free(r->a);
	az_store_close(r->store);
	fake_sandbox_release(r->box);
	fake_llm_release(r->llm);
	free(r->box);
	free(r->llm);
}

/* One attempt of a function; the result goes into out. */
static inline enum az_code
rig_call(struct rig *r, struct az_str name, int64_t ref, int attempt, struct az_str input,
    struct az_buf *out, struct az_err *err)
{
	struct az_fn_ctx ctx = {.workflow_id = AZ_S(RIG_WID),
	    .uid = AZ_S("alice"),
	    .name = name,
	    .ref = ref,
	    .attempt = attempt,
	    .heartbeat = rig_beat,
	    .cancelled = rig_cancelled,
	    .engine = r};
	enum az_code rc = AZ_EINTERNAL;
	const struct az_function *f;

	ctx.arena = az_arena_new(AZ_MIB(4));
	for (f = az_work_functions; f->name; f++)
		if (az_str_eqc(name, f->name))
			rc = f->run(&ctx, &r->app, input, out, err);
	az_arena_free(ctx.arena);
	return rc;
}

/* Do the one function under way as an engine would, retries included. */
static inline enum az_code
rig_step(struct rig *r)
{
	const struct az_event *p = tiny_pending(&r->t);
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc = AZ_EINTERNAL;
	struct az_buf out;

	assert_non_null(p);
	az_buf_init(&out, AZ_LIM_PAYLOAD_BYTES);
	for (int attempt = 1; attempt <= 20; attempt++) {
		if (r->before)
			r->before(r, p, attempt);
		az_buf_reset(&out);
		rc = rig_call(r, p->name, p->id, attempt, p->payload, &out, &err);
		if (rc == AZ_OK || !az_code_retryable(rc))
			break;
		r->retries++;
	}
	if (rc == AZ_OK) {
		assert_true(out.n > 0);
		tiny_add(&r->t, AZ_EV_FN_COMPLETED, p->id, NULL, az_buf_str(&out));
	} else if (rc == AZ_ECANCELLED) {
		tiny_add(&r->t, AZ_EV_FN_CANCELED, p->id, NULL, az_buf_str(&out));
	} else {
		tiny_fail(&r->t, p->id, err.reason, err.text);
	}
	az_buf_release(&out);
	return rc;
}

/* Until the run is over; its closing payload. */
static inline const struct az_json *
rig_run(struct rig *r)
{
	const struct az_json *j = NULL;

	for (int i = 0; i < 1000 && !tiny_closed(&r->t); i++) {
		struct az_err err = AZ_ERR_INIT;

		if (tiny_fold(&r->t, &err) < 0)
			fail_msg("fold: %s", err.text);
		if (!tiny_closed(&r->t) && tiny_pending(&r->t))
			rig_step(r);
	}
	assert_non_null(tiny_closed(&r->t));
	assert_int_equal(
	    az_json_parse_in(r->a, tiny_closed(&r->t)->payload, &az_json_own_limits, &j, NULL),
	    AZ_OK);
	return j;
}

/* Result of the nth (from 1) completed function of that name, parsed. */
static inline const struct az_json *
rig_result(struct rig *r, const char *name, int nth)
{
	const struct az_json *j = NULL;
	int64_t id = 0;

	for (size_t i = 0; i < r->t.n; i++) {
		const struct az_event *e = &r->t.ev[i];

		if (e->type == AZ_EV_FN_SCHEDULED && az_str_eqc(e->name, name) && --nth == 0)
			id = e->id;
		if (e->type == AZ_EV_FN_COMPLETED && id && e->ref == id) {
			assert_int_equal(
			    az_json_parse_in(r->a, e->payload, &az_json_own_limits, &j, NULL),
			    AZ_OK);
			return j;
		}
	}
	fail_msg("%s has no such result", name);
	return NULL;
}

/* An object of an iteration as text, "" when absent. */
static inline const char *
rig_object(struct rig *r, int n, const char *name)
{
	const char *out = "";
	struct az_buf key, b;

	az_buf_init(&key, 1024);
	az_buf_init(&b, AZ_MIB(128));
	az_key_iter(&key, AZ_S(RIG_WID), n, name);
	if (az_store_get(r->store, &r->bkt, az_buf_str(&key), &b, NULL) == AZ_OK)
		out = az_arena_cstr(r->a, az_buf_str(&b));
	az_buf_release(&key);
	az_buf_release(&b);
	return out ? out : "";
}

/* A file of the final tree. */
static inline const char *
rig_final(struct rig *r, const char *path)
{
	const char *out = NULL;
	struct az_buf key, b;

	az_buf_init(&key, 1024);
	az_buf_init(&b, AZ_MIB(16));
	az_key_final(&key, AZ_S(RIG_WID), az_str_c(path));
	if (az_store_get(r->store, &r->bkt, az_buf_str(&key), &b, NULL) == AZ_OK)
		out = az_arena_cstr(r->a, az_buf_str(&b));
	az_buf_release(&key);
	az_buf_release(&b);
	return out;
}

/* An input set with one file, as an upload leaves it. */
static inline void
rig_input(struct rig *r, const char *set, const char *path, const char *body)
{
	struct az_file f = {.path = az_str_c(path), .mode = 0644};
	struct az_blob_writer *w;
	struct az_manifest m;
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_manifest_init(&m, r->a);
	az_key_input_manifest(&key, az_str_c(set));
	rc = az_manifest_load(&m, r->store, &r->bkt, az_buf_str(&key), NULL);
	assert_true(rc == AZ_OK || rc == AZ_ENOTFOUND);
	assert_int_equal(
	    az_blob_open(r->store, &r->bkt, (struct az_str){0}, az_str_c(set), &w, NULL), AZ_OK);
	assert_int_equal(az_blob_write(w, az_str_c(body), NULL), AZ_OK);
	assert_int_equal(az_blob_commit(w, &f, NULL), AZ_OK);
	assert_int_equal(az_manifest_set(&m, &f, NULL), AZ_OK);
	assert_int_equal(az_manifest_save(&m, r->store, &r->bkt, az_buf_str(&key), NULL), AZ_OK);
	az_buf_release(&key);
}

/*
 * The language of the fake sandbox, one directive a line: "out TEXT", "err TEXT",
 * "write PATH TEXT", "unlink PATH", "exit N", "hang", "oom", "stdin", "flood N",
 * "many N", "stealth PATH TEXT" (written with its time kept), "fetch HOST PORT WHY" (a
 * connection that is refused). Run by "python3 FILE" as program or
 * check; "cat FILE" works as well.
 */
static inline void
rig_script(
    struct fake_sandbox *s, const struct az_sb_cmd *c, const char *file, struct az_sb_result *r)
{
	char path[600], *text, *line, *save = NULL;
	struct az_str src;

	snprintf(path, sizeof(path), "/home/user/app/%s", file);
	src = fake_read(s, path);
	if (!fake_exists(s, path)) {
		fake_print(c, 2, "python3: can't open file\n");
		r->exit_code = 2;
		return;
	}
	text = strndup(src.p ? src.p : "", src.n);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[300], rest[2000];
		int n = 0;

		if (strncmp(line, "out ", 4) == 0) {
			fake_print(c, 1, line + 4);
			fake_print(c, 1, "\n");
		} else if (strncmp(line, "err ", 4) == 0) {
			fake_print(c, 2, line + 4);
			fake_print(c, 2, "\n");
		} else if (sscanf(line, "write %299s %1999[^\n]", name, rest) == 2) {
			snprintf(path, sizeof(path), "/home/user/app/%s", name);
			fake_write(s, path, az_str_c(rest));
		} else if (sscanf(line, "stealth %299s %1999[^\n]", name, rest) == 2) {
			snprintf(path, sizeof(path), "/home/user/app/%s", name);
			fake_rewrite(s, path, az_str_c(rest));
		} else if (sscanf(line, "unlink %299s", name) == 1) {
			snprintf(path, sizeof(path), "/home/user/app/%s", name);
			fake_unlink(s, path);
		} else if (sscanf(line, "fetch %299s %d %1999s", name, &n, rest) == 3) {
			fake_refuse(s, name, n, rest);
		} else if (sscanf(line, "exit %d", &n) == 1) {
			r->exit_code = n;
		} else if (strcmp(line, "hang") == 0) {
			r->end = AZ_END_TIMEOUT;
		} else if (strcmp(line, "oom") == 0) {
			r->end = AZ_END_SIGNALLED;
			snprintf(r->status, sizeof(r->status), "signal: killed");
			snprintf(r->error, sizeof(r->error), "out of memory");
		} else if (strcmp(line, "stdin") == 0 && c->stdin_bytes.p) {
			char *in = strndup(c->stdin_bytes.p, c->stdin_bytes.n);

			fake_print(c, 1, in);
			free(in);
		} else if (sscanf(line, "flood %d", &n) == 1) {
			char *big = malloc(1 << 20);

			memset(big, 'x', (1 << 20) - 1);
			big[(1 << 20) - 1] = '\0';
			for (int i = 0; i < n; i++)
				fake_print(c, 1, big);
			free(big);
		} else if (sscanf(line, "many %d", &n) == 1) {
			for (int i = 0; i < n; i++) {
				snprintf(path, sizeof(path), "/home/user/app/f/%05d.txt", i);
				fake_write(s, path, AZ_S("x"));
			}
		}
	}
	free(text);
}

static inline enum az_code
rig_exec(
    struct fake_sandbox *s, const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err)
{
	const char *cmd =
	    c->argv[1] && c->argv[2] && strcmp(c->argv[1], "-c") == 0 ? c->argv[2] : NULL;
	char file[300], path[600];

	(void)err;
	if (strcmp(c->argv[0], "python3") == 0 && c->argv[1])
		rig_script(s, c, c->argv[1], r);
	else if (cmd && sscanf(cmd, "python3 %299s", file) == 1)
		rig_script(s, c, file, r);
	else if (cmd && sscanf(cmd, "cat %299s", file) == 1) {
		char *t;

		snprintf(path, sizeof(path), "/home/user/app/%s", file);
		r->exit_code = !fake_exists(s, path);
		t = strndup(fake_read(s, path).p ? fake_read(s, path).p : "", fake_read(s, path).n);
		fake_print(c, 1, t);
		free(t);
	}
	return AZ_OK;
}

#endif
