/* Which templates there are. They are not built here: building one is answered 501. */
#include "control.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#define NAME_MAX_CHARS 63
#define LISTED_MAX 200
#define NO_BUILD "00000000-0000-0000-0000-000000000000"

/* Without its tag: there is one build of each. */
static struct az_str
name_of(struct az_str id)
{
	ptrdiff_t colon = az_str_chr(id, ':');

	return colon < 0 ? id : az_str_sub(id, 0, (size_t)colon);
}

bool
template_is_base(struct az_str id)
{
	return az_str_eqc(name_of(id), "base");
}

bool
template_same(struct az_str id, struct az_str other)
{
	return az_str_eq(name_of(id), name_of(other));
}

static bool
name_ok(struct az_str n)
{
	if (!n.n || n.n > NAME_MAX_CHARS || n.p[0] == '-' || n.p[0] == '_')
		return false;
	for (size_t i = 0; i < n.n; i++)
		if (!((n.p[i] >= 'a' && n.p[i] <= 'z') || (n.p[i] >= '0' && n.p[i] <= '9') ||
			n.p[i] == '-' || n.p[i] == '_'))
			return false;
	return true;
}

bool
template_root(const struct az_box_server *s, struct az_str id, char *out, size_t size)
{
	struct az_str name = name_of(id);
	struct stat st;
	char usr[640];
	int n;

	out[0] = 0;
	if (!s->templates || az_str_eqc(name, "base") || !name_ok(name))
		return false;
	n = snprintf(out, size, "%s/%.*s", s->templates, AZ_FMT(name));
	if (n > 0 && (size_t)n < size && !lstat(out, &st) && S_ISDIR(st.st_mode)) {
		snprintf(usr, sizeof usr, "%s/usr", out);
		if (!stat(usr, &st) && S_ISDIR(st.st_mode))
			return true;
	}
	out[0] = 0;
	return false;
}

bool
template_known(const struct az_box_server *s, struct az_str id)
{
	char root[600];

	return template_is_base(id) || template_root(s, id, root, sizeof root);
}

static void
template_json(struct az_jw *w, struct az_box_server *s, const char *name)
{
	az_jw_obj(w);
	az_jw_kc(w, "templateID", name);
	az_jw_kc(w, "buildID", NO_BUILD);
	az_jw_ki(w, "cpuCount", sandbox_cpus(s));
	az_jw_ki(w, "memoryMB", s->memory >> 20);
	az_jw_ki(w, "diskSizeMB", s->disk >> 20);
	az_jw_kb(w, "public", true);
	az_jw_key(w, "aliases");
	az_jw_arr(w);
	az_jw_cstr(w, name);
	az_jw_end(w, ']');
	az_jw_key(w, "names");
	az_jw_arr(w);
	az_jw_cstr(w, name);
	az_jw_end(w, ']');
	jw_time(w, "createdAt", s->started_ms);
	jw_time(w, "updatedAt", s->started_ms);
	az_jw_kn(w, "createdBy");
	az_jw_kn(w, "lastSpawnedAt");
	az_jw_ki(w, "spawnCount", 0);
	az_jw_ki(w, "buildCount", 0);
	az_jw_kc(w, "envdVersion", BOX_ENVD);
	az_jw_kc(w, "buildStatus", "ready");
	az_jw_end(w, '}');
}

static void
others_json(struct az_jw *w, struct az_box_server *s)
{
	DIR *d = s->templates ? opendir(s->templates) : NULL;
	struct dirent *e;
	char root[600];

	for (int n = 0; d && n < LISTED_MAX && (e = readdir(d));)
		/* a name with a tag is none of a directory */
		if (name_ok(az_str_c(e->d_name)) &&
		    template_root(s, az_str_c(e->d_name), root, sizeof root)) {
			template_json(w, s, e->d_name);
			n++;
		}
	if (d)
		closedir(d);
}

enum az_code
control_templates(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf out;
	struct az_jw w;
	enum az_code rc = check_key(rq, app, err);

	if (rc)
		return rc;
	az_buf_init(&out, AZ_KIB(256));
	az_jw_init(&w, &out);
	az_jw_arr(&w);
	template_json(&w, app, "base");
	others_json(&w, app);
	az_jw_end(&w, ']');
	if (!(rc = az_buf_check(&out, "box.templates", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

enum az_code
control_alias(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str name = az_rq_param(rq, "alias");
	struct az_buf out;
	struct az_jw w;
	enum az_code rc = check_key(rq, app, err);

	if (rc)
		return rc;
	if (!template_known(app, name))
		return az_fail(err, AZ_ENOTFOUND, "box.alias", "template '%.*s' not found",
		    AZ_FMT(az_str_sub(name, 0, 100)));
	az_buf_init(&out, AZ_KIB(1));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	az_jw_ks(&w, "templateID", name_of(name));
	az_jw_kb(&w, "public", true);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&out, "box.alias", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}
