/*
 * generate_code: ask the model, parse its reply, store the tree. Each reply is stored
 * as it arrives, so that a repeated attempt never pays for the same call twice.
 */
#include "functions.h"
#include "model.h"
#include "prompt.h"
#include "reply.h"
#include "spent.h"

#define OP "work.generate"

enum {
	REPAIRS_MAX = 1,   /* replies that could not be parsed */
	CONTINUES_MAX = 2, /* replies that were cut off */
	TURNS_MAX = 1 + REPAIRS_MAX + CONTINUES_MAX,
	CHANGED_TOLD = 50,
};

struct turn {
	struct az_str text;
	bool cut;
};

struct generate {
	struct work_job j;
	struct az_manifest inputs, tree;
	struct az_str system, user;
	struct az_llm_msg msgs[2 + 2 * TURNS_MAX];
	size_t n_msgs;
	struct turn turns[TURNS_MAX];
	size_t n_turns; /* stored ones first, then those asked for now */
	struct model_use use;
	struct az_str note;
	struct az_str changed[CHANGED_TOLD];
	size_t n_changed, all_changed;
	bool repaired, fenced;
	double temperature;
};

/* ---- the tree to start from ---- */

static enum az_code
load_trees(struct generate *g, struct az_err *err)
{
	int base = (int)(az_json_geti(g->j.in, "base", 0) & 0xffff);
	bool forked = az_json_type(az_json_get(g->j.request, "forked_from")) == AZ_JOBJ;
	enum az_code rc = job_manifest(&g->j, 0, "source", &g->inputs, err);

	/* a fork begins with another run's tree, of which the inputs are only a part */
	if (rc == AZ_OK && base == 0 && forked)
		return job_manifest_must(&g->j, 0, "manifest", &g->tree, err);
	return rc == AZ_OK ? job_manifest(&g->j, base, "source", &g->tree, err) : rc;
}

static enum az_code
make_prompt(struct generate *g, struct az_err *err)
{
	struct az_str strategy = az_json_gets(g->j.in, "strategy");
	struct prompt_generate p = {.inputs = &g->inputs,
	    .current = &g->tree,
	    .previous = (int)(az_json_geti(g->j.in, "previous", 0) & 0xffff),
	    .fresh = az_str_eqc(strategy, "fresh"),
	    .change = az_str_eqc(strategy, "change")};
	enum az_code rc = prompt_system(&g->j, "generate", &g->system, err);
	struct az_buf b;

	/* an error that came back wants another kind of answer */
	g->temperature = p.fresh || p.change ? 0.7 : 0.2;
	if (rc == AZ_OK)
		rc = prompt_generate(&g->j, &p, &g->user, err);
	if (rc != AZ_OK)
		return rc;
	g->msgs[0] = (struct az_llm_msg){"system", g->system};
	g->msgs[1] = (struct az_llm_msg){"user", g->user};
	g->n_msgs = 2;
	az_buf_init(&b, AZ_MIB(2));
	az_buf_addf(&b, "[system]\n%.*s\n[user]\n%.*s", AZ_FMT(g->system), AZ_FMT(g->user));
	rc = job_put_iter_buf(&g->j, g->j.iteration, "prompt", &b, err);
	az_buf_release(&b);
	return rc;
}

/* ---- replies, remembered ---- */

static enum az_code
load_turns(struct generate *g, struct az_err *err)
{
	const struct az_json *doc = NULL, *all;
	enum az_code rc = job_json_iter(&g->j, g->j.iteration, "llm", &doc, err);

	if (rc != AZ_OK || !doc)
		return rc;
	all = az_json_get(doc, "turns");
	for (size_t i = 0; i < az_json_len(all) && i < TURNS_MAX; i++) {
		const struct az_json *t = az_json_at(all, i);

		g->turns[g->n_turns++] =
		    (struct turn){az_json_gets(t, "text"), az_json_getb(t, "cut", false)};
	}
	g->use = (struct model_use){.calls = az_json_geti(doc, "calls", 0),
	    .tokens_in = az_json_geti(doc, "tokens_in", 0),
	    .tokens_out = az_json_geti(doc, "tokens_out", 0),
	    .name = az_json_gets(doc, "model"),
	    .provenance = az_json_gets(doc, "provenance"),
	    .at = (size_t)(az_json_geti(doc, "at", 0) & 0xff)};
	return AZ_OK;
}

static enum az_code
save_turns(struct generate *g, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_MIB(16));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ks(&w, "model", g->use.name);
	az_jw_ks(&w, "provenance", g->use.provenance);
	az_jw_ki(&w, "calls", g->use.calls);
	az_jw_ki(&w, "tokens_in", g->use.tokens_in);
	az_jw_ki(&w, "tokens_out", g->use.tokens_out);
	az_jw_ki(&w, "at", (int64_t)g->use.at);
	az_jw_key(&w, "turns");
	az_jw_arr(&w);
	for (size_t i = 0; i < g->n_turns; i++) {
		az_jw_obj(&w);
		az_jw_ks(&w, "text", g->turns[i].text);
		az_jw_kb(&w, "cut", g->turns[i].cut);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	rc = job_put_iter_buf(&g->j, g->j.iteration, "llm", &b, err);
	az_buf_reset(&b);
	for (size_t i = 0; i < g->n_turns; i++) {
		if (i)
			az_buf_addc(&b, "\n[continued]\n");
		az_buf_adds(&b, g->turns[i].text);
	}
	if (rc == AZ_OK)
		rc = job_put_iter_buf(&g->j, g->j.iteration, "reply", &b, err);
	az_buf_release(&b);
	return rc == AZ_ETOOBIG ? az_err_reason(err, "bad_model_output") : rc;
}

/* Turn number at: from the store, else from the model. */
static enum az_code
next_turn(struct generate *g, size_t at, struct az_err *err)
{
	struct model_ask q = {.msgs = g->msgs,
	    .n = g->n_msgs,
	    .temperature = g->temperature,
	    .tokens_left = az_json_geti(g->j.in, "tokens_left", 0)};
	struct az_llm_reply r;
	enum az_code rc;

	if (at < g->n_turns)
		return AZ_OK;
	rc = model_complete(&g->j, &q, &r, &g->use, err);
	if (rc != AZ_OK)
		return rc;
	g->turns[g->n_turns++] = (struct turn){r.text, strcmp(r.finish, "length") == 0};
	return save_turns(g, err);
}

static void
say(struct generate *g, const char *role, struct az_str text)
{
	g->msgs[g->n_msgs++] = (struct az_llm_msg){role, text};
}

/* ---- into the tree ---- */

static void
note_change(struct generate *g, struct az_str path)
{
	for (size_t i = 0; i < g->n_changed; i++)
		if (az_str_eq(g->changed[i], path))
			return;
	g->all_changed++;
	if (g->n_changed < CHANGED_TOLD)
		g->changed[g->n_changed++] = path;
}

/* A name that cannot stand beside the others is the model's mistake. */
static enum az_code
put_file(struct generate *g, struct az_str path, struct az_str body, struct az_err *err)
{
	bool script = az_str_starts(body, AZ_S("#!"));
	enum az_code rc = job_put_file(&g->j, &g->tree, path, body, script ? 0755 : 0644, err);

	if (rc == AZ_EINVAL && err) {
		rc = err->code = AZ_EUNPROC;
		az_err_reason(err, "bad_model_output");
	}
	note_change(g, path);
	return rc;
}

static enum az_code
apply(struct generate *g, const struct az_reply *r, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	if (r->note.n && g->note.n == 0)
		g->note = r->note;
	g->repaired = g->repaired || r->repaired;
	g->fenced = g->fenced || r->fenced;
	for (size_t i = 0; i < r->n; i++)
		if (r->files[i].remove) {
			az_manifest_drop(&g->tree, r->files[i].path);
			note_change(g, r->files[i].path);
		}
	for (size_t i = 0; i < r->n && rc == AZ_OK; i++)
		if (!r->files[i].remove)
			rc = put_file(g, r->files[i].path, r->files[i].body, err);
	if (rc == AZ_OK && r->has_dockerfile)
		rc = put_file(g, AZ_S("Dockerfile"), r->dockerfile, err);
	return rc;
}

static struct az_str
ask_for_rest(struct generate *g)
{
	struct az_buf b;
	struct az_str out = {0};

	az_buf_init(&b, AZ_KIB(32));
	az_buf_addc(&b, "Your answer was cut off. Continue with the remaining files, as blocks; "
			"repeat none of these:");
	for (size_t i = 0; i < g->n_changed; i++)
		az_buf_addf(&b, " %.*s", AZ_FMT(g->changed[i]));
	az_buf_addc(&b, g->n_changed ? "\nEnd with ### END.\n"
				     : " (none was complete)\n"
				       "End with ### END.\n");
	if (job_text(&g->j, &b, &out, NULL) != AZ_OK)
		out = AZ_S("Your answer was cut off. Continue with the remaining files.");
	az_buf_release(&b);
	return out;
}

static void
free_arena(void *arg)
{
	az_arena_free(arg);
}

/* The dialogue: ask, and within bounds ask again. */
static enum az_code
converse(struct generate *g, struct az_err *err)
{
	int repairs = 0, continues = 0;

	for (size_t at = 0; at < TURNS_MAX; at++) {
		struct az_arena *scratch = az_arena_new(AZ_REPLY_ARENA_BYTES);
		struct az_err e = AZ_ERR_INIT;
		struct az_reply *r;
		struct turn *t;
		enum az_code rc;

		if (!scratch || !az_arena_defer(g->j.a, free_arena, scratch))
			return job_nomem(err);
		rc = next_turn(g, at, err);
		if (rc != AZ_OK)
			return rc;
		t = &g->turns[at];
		r = az_arena_alloc(scratch, sizeof(*r));
		if (!r)
			return job_nomem(err);
		rc = az_reply_parse(t->text, t->cut, scratch, r, &e);
		if (rc == AZ_OK)
			rc = apply(g, r, &e);
		if (rc == AZ_OK && !r->truncated)
			return AZ_OK;
		say(g, "assistant", t->text);
		if (rc == AZ_OK) {
			if (++continues > CONTINUES_MAX)
				break;
			say(g, "user", ask_for_rest(g));
			continue;
		}
		if (strcmp(e.reason, "bad_model_output") != 0 || ++repairs > REPAIRS_MAX) {
			if (err)
				*err = e;
			return rc;
		}
		say(g, "user",
		    az_str_c(az_arena_printf(g->j.a,
			"That answer cannot be used: %s\nAnswer again in the form asked for: one "
			"line "
			"of diagnosis, then every file as a ### FILE block, then ### END.\n",
			e.text)));
	}
	az_fail(err, AZ_EUNPROC, OP, "the model's answer was cut off again and again");
	return az_err_reason(err, "bad_model_output");
}

/* ---- what others see ---- */

static void
write_result(struct generate *g, struct az_jw *w)
{
	char hash[65];

	job_tree_hash(&g->tree, hash);
	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_ki(w, "iteration", g->j.iteration);
	az_jw_ks(w, "model", g->use.name);
	az_jw_ks(w, "provenance", g->use.provenance);
	az_jw_ki(w, "calls", g->use.calls);
	az_jw_ki(w, "tokens_in", g->use.tokens_in);
	az_jw_ki(w, "tokens_out", g->use.tokens_out);
	az_jw_kc(w, "tree", hash);
	az_jw_ki(w, "files", (int64_t)g->tree.n);
	az_jw_ks(w, "diagnosis", job_clip(&g->j, g->note, WORK_MESSAGE_BYTES));
	az_jw_key(w, "events");
	az_jw_arr(w);
	az_jw_obj(w);
	az_jw_kc(w, "type", "llm.done");
	az_jw_ks(w, "model", g->use.name);
	az_jw_ks(w, "provenance", g->use.provenance);
	az_jw_ki(w, "calls", g->use.calls);
	az_jw_ki(w, "tokens_in", g->use.tokens_in);
	az_jw_ki(w, "tokens_out", g->use.tokens_out);
	az_jw_ki(w, "turns", (int64_t)g->n_turns);
	az_jw_kb(w, "repaired", g->repaired);
	az_jw_ks(w, "diagnosis", job_clip(&g->j, g->note, WORK_MESSAGE_BYTES));
	az_jw_end(w, '}');
	az_jw_obj(w);
	az_jw_kc(w, "type", "files.changed");
	az_jw_kc(w, "by", "model");
	az_jw_ki(w, "count", (int64_t)g->all_changed);
	az_jw_key(w, "paths");
	az_jw_arr(w);
	for (size_t i = 0; i < g->n_changed; i++)
		az_jw_str(w, g->changed[i]);
	az_jw_end(w, ']');
	az_jw_end(w, '}');
	az_jw_end(w, ']');
	az_jw_end(w, '}');
}

/* The line for memory.json needs these after the call is over. */
static enum az_code
save_note(struct generate *g, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_KIB(64));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ks(&w, "diagnosis", job_clip(&g->j, g->note, WORK_MESSAGE_BYTES));
	az_jw_key(&w, "changed");
	az_jw_arr(&w);
	for (size_t i = 0; i < g->n_changed; i++)
		az_jw_str(&w, g->changed[i]);
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	rc = job_put_iter_buf(&g->j, g->j.iteration, "note", &b, err);
	az_buf_release(&b);
	return rc;
}

enum az_code
fn_generate(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	struct generate *g = NULL;
	struct work_job j;
	enum az_code rc;
	struct az_jw w;

	rc = job_open(&j, ctx, app, input, "generate", err);
	if (rc == AZ_OK && !(g = az_arena_alloc(j.a, sizeof(*g))))
		rc = job_nomem(err);
	if (rc != AZ_OK || !g)
		goto out;
	g->j = j;
	/* the fold takes a sealed prompt as it is; only here it is open */
	if (!az_json_is_str(az_json_get(j.request, "user_prompt"))) {
		az_fail(err, AZ_EINVAL, OP, "The start input is no request.");
		rc = az_err_reason(err, "bad_input");
		goto out;
	}
	rc = load_trees(g, err);
	if (rc == AZ_OK)
		rc = make_prompt(g, err);
	if (rc == AZ_OK)
		rc = load_turns(g, err);
	if (rc == AZ_OK)
		rc = converse(g, err);
	if (model_awaits(rc, err)) {
		rc = model_awaiting(&g->j, 0, result, err);
		goto out;
	}
	if (rc == AZ_OK)
		rc = save_note(g, err);
	if (rc == AZ_OK)
		rc = job_save_manifest(&g->j, g->j.iteration, "source", &g->tree, err);
	if (rc == AZ_OK)
		rc = job_save_manifest(&g->j, g->j.iteration, "manifest", &g->tree, err);
	if (rc == AZ_OK) {
		az_jw_init(&w, result);
		write_result(g, &w);
		rc = az_buf_check(result, OP, err);
	}
out:
	spent_write(rc, g ? &g->use : NULL, 0, result);
	job_close(&j);
	return rc;
}
