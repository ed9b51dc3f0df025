/* filesystem.Filesystem: names in a box. The agent touches them, not we. */
#include "fs.h"

#include <stdio.h>
#include "files.h"

#define FS_MS 60000

static const char *
owner(uint32_t id)
{
	return id == 1000 ? "user" : "root";
}

void
entry_json(struct az_jw *w, const struct entry *e)
{
	ptrdiff_t slash = az_str_rchr(e->path, '/');
	struct az_str name = az_str_sub(e->path, (size_t)slash + 1, e->path.n);
	char perm[11], num[32];
	struct az_buf t;

	az_jw_obj(w);
	az_jw_ks(w, "name", name.n ? name : e->path);
	if (e->kind == AK_FILE)
		az_jw_kc(w, "type", "FILE_TYPE_FILE");
	else if (e->kind == AK_DIR)
		az_jw_kc(w, "type", "FILE_TYPE_DIRECTORY");
	az_jw_ks(w, "path", e->path);
	snprintf(num, sizeof num, "%llu", (unsigned long long)e->size);
	if (e->size)
		az_jw_kc(w, "size", num);
	if (e->mode)
		az_jw_ki(w, "mode", e->mode);
	perm[0] = e->link ? 'L' : e->kind == AK_DIR ? 'd' : '-';
	for (int i = 0; i < 9; i++)
		perm[1 + i] = (char)(e->link || e->mode & (0400u >> i) ? "rwx"[i % 3] : '-');
	perm[10] = 0;
	az_jw_kc(w, "permissions", perm);
	az_jw_kc(w, "owner", owner(e->uid));
	az_jw_kc(w, "group", owner(e->gid));
	az_buf_init(&t, 64);
	az_rfc3339(&t, (int64_t)(e->mtime_ns / 1000000));
	if (t.fail)
		w->b->fail = t.fail;
	az_jw_ks(w, "modifiedTime", az_buf_str(&t));
	az_buf_release(&t);
	if (e->link) {
		az_jw_ks(w, "symlinkTarget", e->target);
		az_jw_kb(w, "isSymlink", true);
	}
	meta_json(w, e->meta);
	az_jw_end(w, '}');
}

/* Ask the agent; its entries become JSON in w (array elements or one value). */
static enum az_code
ask(struct box *b, enum aw_type type, struct az_str payload, struct az_jw *w, bool *any,
    struct az_err *err)
{
	int64_t deadline = az_boot_ms() + FS_MS;
	struct call c;
	struct aw_frame f;
	struct entry e;
	enum az_code rc = call_open(b, &c, type, payload, err);

	if (rc)
		return rc;
	*any = false;
	while (!(rc = call_next(b, &c, deadline, &f, err)) && f.type == AW_ENTRY) {
		if (!entry_parse(f.body, &e)) {
			rc = az_fail(err, AZ_EINTERNAL, "box.fs", "bad entry");
			break;
		}
		*any = true;
		if (w)
			entry_json(w, &e);
	}
	if (!rc && f.type != AW_OK)
		rc = az_fail(err, AZ_EINTERNAL, "box.fs", "bad answer");
	call_close(b, &c, false);
	return rc;
}

struct fs_call {
	enum aw_type type;
	const char *path, *second; /* members of the request */
	const char *wrap;          /* member of the reply, or NULL: {} */
	bool list;
};

static enum az_code
serve(struct az_rq *rq, void *app, const struct fs_call *k, struct az_err *err)
{
	const struct az_json *body;
	struct az_err e = AZ_ERR_INIT;
	struct az_buf payload, out;
	struct az_jw w;
	struct box *b;
	bool stop, any;
	enum az_code rc;

	if ((rc = envd_box(rq, app, &b, &stop, err)) || stop ||
	    (rc = connect_unary(rq, &body, &stop, err)) || stop)
		return rc;
	az_buf_init(&payload, AZ_KIB(16));
	az_buf_init(&out, AZ_MIB(32));
	az_jw_init(&w, &out);
	put_text(&payload, az_json_gets(body, k->path));
	if (k->second)
		put_text(&payload, az_json_gets(body, k->second));
	if (k->list) {
		int64_t depth = az_json_geti(body, "depth", 1);

		put_u32(&payload, depth < 1 ? 1 : depth > 64 ? 64 : (uint32_t)depth);
	}
	if (k->type == AW_REMOVE)
		put_text(&payload, (struct az_str){0}); /* whatever it is */
	az_jw_obj(&w);
	if (k->wrap)
		az_jw_key(&w, k->wrap);
	if (k->list)
		az_jw_arr(&w);
	if (!(rc = envd_user(rq, &e)) && !(rc = path_check(&payload, "box.fs", &e)))
		rc = ask(b, k->type, az_buf_str(&payload), k->wrap ? &w : NULL, &any, &e);
	if (k->list)
		az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	if (!rc)
		rc = az_buf_check(&out, "box.fs", &e);
	if (rc)
		rc = connect_fail(rq, &e);
	else
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&payload);
	az_buf_release(&out);
	return rc;
}

enum az_code
fs_stat(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, &(struct fs_call){AW_STAT, "path", NULL, "entry", false}, err);
}

enum az_code
fs_list(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, &(struct fs_call){AW_LIST, "path", NULL, "entries", true}, err);
}

enum az_code
fs_mkdir(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, &(struct fs_call){AW_MKDIR, "path", NULL, "entry", false}, err);
}

enum az_code
fs_move(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(
	    rq, app, &(struct fs_call){AW_MOVE, "source", "destination", "entry", false}, err);
}

enum az_code
fs_remove(struct az_rq *rq, void *app, struct az_err *err)
{
	return serve(rq, app, &(struct fs_call){AW_REMOVE, "path", NULL, NULL, false}, err);
}
