/* Is it alive, and how strong is it? */
#include "box.h"

enum az_code
health_azlon(struct az_rq *rq, void *app, struct az_err *err)
{
	static const char *const names[] = {"env", "fd", "network", "write", "pids", "memory"};
	struct az_box_server *s = app;
	struct az_buf out;
	struct az_jw w;
	unsigned spares;
	int live;
	enum az_code rc = check_host(rq, s, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&s->mu);
	live = s->live;
	pthread_mutex_unlock(&s->mu);
	spares = spares_count(s);
	az_buf_init(&out, AZ_KIB(4));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	az_jw_kc(&w, "level", "namespaces+seccomp");
	az_jw_kc(&w, "cgroup", cg_mode_name(s->cg.mode));
	az_jw_kc(&w, "pause", cg_freezer(&s->cg) == CG_FREEZE_NONE ? "signals" : "freezer");
	az_jw_kc(&w, "uid_mode", s->slots.n ? "pair" : "shared");
	if (!s->slots.n)
		az_jw_kc(&w, "uid_mode_why", s->slots.why);
	az_jw_kc(&w, "network", "none, CONNECT proxy to what is allowed");
	az_jw_kc(&w, "home", s->tmpfs_home ? "tmpfs" : "directory");
	az_jw_key(&w, "canaries");
	az_jw_obj(&w);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		az_jw_kb(&w, names[i], s->canaries >> i & 1);
	az_jw_end(&w, '}');
	az_jw_key(&w, "limits");
	az_jw_obj(&w);
	az_jw_ki(&w, "memory_bytes", s->memory);
	az_jw_ki(&w, "disk_bytes", s->disk);
	az_jw_ki(&w, "pids", s->pids);
	az_jw_ki(&w, "cpu_pct", s->cpu_pct);
	az_jw_ki(&w, "sandboxes", s->max);
	az_jw_end(&w, '}');
	az_jw_ki(&w, "sandboxes", live - (int)spares);
	az_jw_ki(&w, "spares", spares);
	az_jw_end(&w, '}');
	if (!(rc = az_buf_check(&out, "box.health", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

enum az_code
health(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str id = az_rq_header(rq, "E2b-Sandbox-Id");
	struct box *b;
	bool stop;
	enum az_code rc;

	if (az_rq_query(rq, "azlon").n)
		return health_azlon(rq, app, err);
	if (id.n) {
		if ((rc = envd_box(rq, app, &b, &stop, err)) || stop)
			return rc;
	} else if ((rc = check_host(rq, app, err))) {
		return rc;
	}
	az_rs_status(rq, 204);
	return az_rs_flush(rq, err);
}
