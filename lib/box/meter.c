/* What a box uses: measured every few seconds, kept for an hour, told in E2B's shapes. */
#include "control.h"

#define EVERY_MS 5000
#define DISK_MS 30000   /* how long a number for an idle disk is good */
#define SHORT_US 200000 /* too short to tell a share of CPU from it */
#define IDS_MAX 100
#define ASK_MS 5000

/* ---- measuring ---- */

void
meter_reset(struct box *b)
{
	b->meter.at_us = az_boot_us();
}

void
meter_disk(struct box *b, int64_t used)
{
	pthread_mutex_lock(&b->mu);
	b->meter.disk_used = used;
	b->meter.disk_at = az_boot_ms();
	pthread_mutex_unlock(&b->mu);
}

static int64_t
count(struct aw_rd *r)
{
	uint64_t v = aw_u64(r);

	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* From the agent's numbers and, where there is one, the control group's. */
static bool
measure(struct box *b, struct aw_rd r, struct sample *out, int64_t *cpu_us, int64_t *at_us)
{
	const struct az_box_server *s = b->srv;
	const struct meter *m = &b->meter;
	int64_t cpu = count(&r), memory = count(&r), home = count(&r), used, span;

	if (r.bad)
		return false;
	used = cg_cpu_us(&s->cg, b->id);
	*cpu_us = used >= 0 ? used : cpu;
	*at_us = az_boot_us();
	span = *at_us - m->at_us;
	*out = (struct sample){.ms = az_wall_ms(),
	    .mem_used = memory,
	    .disk_used = s->tmpfs_home ? home : m->disk_used};
	used = cg_memory_used(&s->cg, b->id);
	if (used >= 0) {
		out->mem_cache = cg_memory_cache(&s->cg, b->id);
		out->mem_used = used > out->mem_cache ? used - out->mem_cache : 0;
	}
	if (span >= SHORT_US || !m->n) {
		double share = (double)(*cpu_us - m->cpu_us) / (double)(span > 0 ? span : 1);

		share = share < 0 ? 0 : share * 100 * 100 / s->cpu_pct;
		out->cpu_pct = (double)(int64_t)(share * 100 + 0.5) / 100;
	} else {
		out->cpu_pct = m->v[(m->n - 1) % METER_MAX].cpu_pct;
	}
	return true;
}

bool
meter_frame(struct box *b, struct aw_frame *f)
{
	struct meter *m = &b->meter;
	int64_t cpu_us, at_us;

	if (!m->asked || !measure(b, f->body, &m->v[m->n % METER_MAX], &cpu_us, &at_us))
		return false;
	m->asked = false;
	m->cpu_us = cpu_us;
	m->at_us = at_us;
	m->n++;
	return true;
}

void
meter_look(struct box *b, int64_t now)
{
	struct meter *m = &b->meter;
	bool stale;

	if (now < m->ask_at)
		return;
	m->ask_at = now + EVERY_MS;
	pthread_mutex_lock(&b->mu);
	stale = b->home[0] && (!m->disk_at || now - m->disk_at >= DISK_MS);
	pthread_mutex_unlock(&b->mu);
	if (stale)
		meter_disk(b, home_used(b, b->srv->disk));
	pthread_mutex_lock(&b->mu);
	/* one that still thinks about the last time is not asked again */
	if (!m->asked && b->state == BOX_RUNNING &&
	    !link_send(b, 0, AW_USAGE, (struct az_str){0}, (struct az_str){0}, false, NULL))
		m->asked = true;
	pthread_mutex_unlock(&b->mu);
}

/* ---- telling ---- */

static void
sample_json(
    struct az_jw *w, const struct az_box_server *s, const struct box *b, const struct sample *v)
{
	az_jw_obj(w);
	jw_time(w, "timestamp", v->ms);
	az_jw_ki(w, "timestampUnix", v->ms / 1000);
	az_jw_ki(w, "cpuCount", sandbox_cpus(s));
	az_jw_key(w, "cpuUsedPct");
	az_jw_double(w, v->cpu_pct);
	az_jw_ki(w, "memUsed", v->mem_used);
	az_jw_ki(w, "memTotal", b->memory);
	az_jw_ki(w, "memCache", v->mem_cache);
	az_jw_ki(w, "diskUsed", v->disk_used);
	az_jw_ki(w, "diskTotal", s->disk);
	az_jw_end(w, '}');
}

enum az_code
control_metrics(struct az_rq *rq, void *app, struct az_err *err)
{
	const struct meter *m;
	struct az_buf out;
	struct az_jw w;
	struct box *b;
	int64_t start, end;
	enum az_code rc = control_find(rq, app, &b, err);

	if (rc)
		return rc;
	if ((rc = az_rq_query_i64(rq, "start", 0, INT64_MAX, 0, &start, err)) ||
	    (rc = az_rq_query_i64(rq, "end", 0, INT64_MAX, INT64_MAX, &end, err)))
		goto out;
	if (start > end) {
		rc = az_fail(err, AZ_EINVAL, "box.metrics", "end is before start");
		goto out;
	}
	m = &b->meter;
	az_buf_init(&out, AZ_MIB(1));
	az_jw_init(&w, &out);
	az_jw_arr(&w);
	pthread_mutex_lock(&b->mu);
	for (unsigned i = m->n > METER_MAX ? m->n - METER_MAX : 0; i < m->n; i++) {
		const struct sample *v = &m->v[i % METER_MAX];

		if (v->ms / 1000 >= start && v->ms / 1000 <= end)
			sample_json(&w, b->srv, b, v);
	}
	pthread_mutex_unlock(&b->mu);
	az_jw_end(&w, ']');
	if (!(rc = az_buf_check(&out, "box.metrics", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
out:
	box_unref(b);
	return rc;
}

/* The last sample of each; who is not here, or has none yet, is left out. */
static enum az_code
latest_of(struct az_jw *w, struct az_box_server *s, struct az_str ids, struct az_err *err)
{
	struct az_str one;
	int n = 0;

	while (az_str_cut(&ids, ',', &one)) {
		struct box *b;

		if (++n > IDS_MAX)
			return az_fail(
			    err, AZ_EINVAL, "box.metrics", "sandbox_ids: more than %d", IDS_MAX);
		if (!(b = box_find(s, one)))
			continue;
		pthread_mutex_lock(&b->mu);
		if (b->meter.n) {
			az_jw_key(w, b->id);
			sample_json(w, s, b, &b->meter.v[(b->meter.n - 1) % METER_MAX]);
		}
		pthread_mutex_unlock(&b->mu);
		box_unref(b);
	}
	return AZ_OK;
}

enum az_code
control_metrics_many(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str ids = az_rq_query(rq, "sandbox_ids");
	struct az_buf out;
	struct az_jw w;
	enum az_code rc = check_key(rq, app, err);

	if (rc)
		return rc;
	if (!ids.n)
		return az_fail(err, AZ_EINVAL, "box.metrics", "sandbox_ids is required");
	az_buf_init(&out, AZ_KIB(128));
	az_jw_init(&w, &out);
	az_jw_obj(&w);
	az_jw_key(&w, "sandboxes");
	az_jw_obj(&w);
	rc = latest_of(&w, app, ids, err);
	az_jw_end(&w, '}');
	az_jw_end(&w, '}');
	if (!rc && !(rc = az_buf_check(&out, "box.metrics", err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}

/* What the daemon of a sandbox says: measured now. */
static enum az_code
usage_json(struct box *b, struct az_buf *out, struct az_err *err)
{
	const struct az_box_server *s = b->srv;
	int64_t cpu_us, at_us;
	struct sample v = {0};
	struct aw_frame f;
	struct az_jw w;
	struct call c;
	enum az_code rc = call_ask(b, &c, AW_USAGE, (struct az_str){0}, ASK_MS, &f, err);

	if (!rc) {
		pthread_mutex_lock(&b->mu);
		if (f.type != AW_USED || !measure(b, f.body, &v, &cpu_us, &at_us))
			rc = az_fail(err, AZ_EINTERNAL, "box.metrics", "bad answer");
		pthread_mutex_unlock(&b->mu);
	}
	call_close(b, &c, false);
	if (rc)
		return rc;
	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_ki(&w, "ts", v.ms / 1000);
	az_jw_ki(&w, "cpu_count", sandbox_cpus(s));
	az_jw_key(&w, "cpu_used_pct");
	az_jw_double(&w, v.cpu_pct);
	az_jw_ki(&w, "mem_total_mib", b->memory >> 20);
	az_jw_ki(&w, "mem_used_mib", v.mem_used >> 20);
	az_jw_ki(&w, "mem_total", b->memory);
	az_jw_ki(&w, "mem_used", v.mem_used);
	az_jw_ki(&w, "mem_cache", v.mem_cache);
	az_jw_ki(&w, "disk_used", v.disk_used);
	az_jw_ki(&w, "disk_total", s->disk);
	az_jw_end(&w, '}');
	return az_buf_check(out, "box.metrics", err);
}

enum az_code
envd_metrics(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf out;
	struct box *b;
	bool stop;
	enum az_code rc = envd_box(rq, app, &b, &stop, err);

	if (rc || stop)
		return rc;
	az_buf_init(&out, AZ_KIB(4));
	if (!(rc = usage_json(b, &out, err)))
		rc = az_rs_json(rq, 200, az_buf_str(&out), err);
	az_buf_release(&out);
	return rc;
}
