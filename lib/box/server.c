/* The server object: start-up checks, the reaper, shutdown. */
#include "net.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000
#define LOOK_MAX(s) ((size_t)(s)->max + 1) /* with the canaries' */

/* ---- the reaper: deadlines and disks ---- */

/* One box past its deadline, referenced; *next is when to look again. */
static struct box *
expired(struct az_box_server *s, int64_t now, int64_t *next)
{
	for (struct box *b = s->boxes; b; b = b->next) {
		if (b->deadline_ms <= now) {
			b->refs++;
			return b;
		}
		if (b->deadline_ms < *next)
			*next = b->deadline_ms;
	}
	return NULL;
}

/* What is busy may fill its disk. */
static bool
busy(struct box *b, int64_t now)
{
	bool yes = false;

	pthread_mutex_lock(&b->mu);
	for (struct proc *p = b->procs; p; p = p->next)
		yes |= p->started && (!p->ended || now - p->ended_ms < 2 * LOOK_EVERY_MS);
	pthread_mutex_unlock(&b->mu);
	return yes;
}

static void
check_disk(struct az_box_server *s, struct box *b)
{
	int64_t used = home_used(b, s->disk);
	char why[96];

	meter_disk(b, used);
	if (used <= s->disk)
		return;
	snprintf(why, sizeof why, "stopped: disk limit (%lld MiB)", (long long)(s->disk >> 20));
	az_log(AZ_INFO, "box.disk", AZ_KC("box", b->id));
	pthread_mutex_lock(&b->mu);
	/* who wrote is not known, and nothing may go on writing */
	if (procs_end(b, why, NULL))
		az_log(AZ_DEBUG, "box.disk", AZ_KC("err", "gone"));
	pthread_mutex_unlock(&b->mu);
}

static void
look_at(struct az_box_server *s, struct box *b, int64_t now)
{
	if (box_paused(b))
		return;
	procs_overdue(b, now);
	if (b->home[0] && busy(b, now))
		check_disk(s, b);
	meter_look(b, now);
}

/* Once a second: programs whose client left before their timeout, disks, and what is used. */
static void
look_after(struct az_box_server *s)
{
	size_t n = 0;

	pthread_mutex_lock(&s->mu);
	for (struct box *b = s->boxes; b && n < LOOK_MAX(s); b = b->next) {
		b->refs++;
		s->look[n++] = b;
	}
	pthread_mutex_unlock(&s->mu);
	for (size_t i = 0; i < n; i++) {
		look_at(s, s->look[i], az_boot_ms());
		box_unref(s->look[i]);
	}
}

static void *
reaper_main(void *arg)
{
	struct az_box_server *s = arg;
	int64_t look_ms = 0;

	prctl(PR_SET_NAME, "box-reaper");
	pthread_mutex_lock(&s->mu);
	while (!s->stopping) {
		int64_t now = az_boot_ms(), next = INT64_MAX;
		struct box *b = expired(s, now, &next);

		if (b) {
			bool rests = box_rest(b, now);

			pthread_mutex_unlock(&s->mu);
			if (!rests)
				box_destroy(b, "expired", false);
			box_unref(b);
			pthread_mutex_lock(&s->mu);
			continue;
		}
		if (s->boxes) {
			if (now >= look_ms) {
				pthread_mutex_unlock(&s->mu);
				look_after(s);
				look_ms = az_boot_ms() + LOOK_EVERY_MS;
				pthread_mutex_lock(&s->mu);
				continue;
			}
			if (look_ms < next)
				next = look_ms;
		}
		az_cond_wait(&s->changed, &s->mu, next == INT64_MAX ? -1 : next);
	}
	pthread_mutex_unlock(&s->mu);
	return NULL;
}

/* ---- start ---- */

/* Homes that a server which died left behind. */
static void
clean_up(const struct az_box_server *s)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;
	char path[600];

	while (d && (e = readdir(d)))
		if (box_id_ok(e->d_name)) {
			snprintf(path, sizeof path, "%s/%s", s->dir, e->d_name);
			home_remove_old(s, path);
		}
	if (d)
		closedir(d);
}

/* What a tmpfs holds counts as memory of the box that wrote it, and would end the whole box
   where a disk ends one program: it must fit beside the program's own. */
static void
homes(struct az_box_server *s)
{
	struct statfs fs;

	if (statfs(s->dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC && s->disk > s->memory / 2)
		s->disk = s->memory / 2;
	s->tmpfs_home = s->disk <= s->memory / 2;
}

static enum az_code
options(struct az_box_server *s, const struct az_box_opts *o, struct az_err *err)
{
	s->dir = az_str_dup(az_str_c(o->dir));
	s->agent = az_str_dup(az_str_c(o->agent));
	s->bwrap = az_str_dup(az_str_c(o->bwrap && *o->bwrap ? o->bwrap : "/usr/bin/bwrap"));
	s->key = az_str_dup(az_str_c(o->key));
	s->port = o->port;
	s->domain = az_str_dup(az_str_c(o->domain && *o->domain ? o->domain : "localhost"));
	s->memory = o->memory_bytes > 0 ? o->memory_bytes : (int64_t)AZ_LIM_BOX_MEMORY_BYTES;
	s->disk = o->disk_bytes > 0 ? o->disk_bytes : (int64_t)AZ_LIM_BOX_DISK_BYTES;
	s->pids = o->pids > 0 ? o->pids : AZ_LIM_BOX_PIDS;
	s->cpu_pct = o->cpu_pct > 0 ? o->cpu_pct : 100;
	s->max = o->max > 0 ? o->max : 64;
	s->spares_want = o->spares > 0 ? o->spares : 0;
	if (o->templates && *o->templates && !(s->templates = az_str_dup(az_str_c(o->templates))))
		return az_fail(err, AZ_ENOMEM, "box.open", "out of memory");
	if (o->wheels && *o->wheels && !(s->wheels = az_str_dup(az_str_c(o->wheels))))
		return az_fail(err, AZ_ENOMEM, "box.open", "out of memory");
	s->vet = vet_public;
	s->started_ms = az_wall_ms();
	s->look = calloc(LOOK_MAX(s), sizeof(struct box *));
	if (!s->dir || !s->agent || !s->bwrap || !s->key || !s->domain || !s->look)
		return az_fail(err, AZ_ENOMEM, "box.open", "out of memory");
	if (!*s->key)
		return az_fail(err, AZ_EINVAL, "box.open", "no key given");
	if (s->dir[0] != '/' || s->agent[0] != '/')
		return az_fail(err, AZ_EINVAL, "box.open",
		    "the scratch directory and the agent need absolute paths");
	return AZ_OK;
}

/* The canaries, with ids of its own for each box; if no box starts with them (its programs
   would have to pass directories of others, say), with one id. */
static enum az_code
try_walls(struct az_box_server *s, struct az_err *err)
{
	enum az_code rc = canaries_run(s, err);

	if (!rc || !s->slots.n || s->canaries)
		return rc;
	az_log(AZ_WARN, "box.slot", AZ_KE(err), AZ_KC("uid_mode", "shared"));
	pthread_mutex_lock(&s->mu);
	while (s->live > 0)
		az_cond_wait(&s->changed, &s->mu, -1);
	pthread_mutex_unlock(&s->mu);
	slots_close(s);
	snprintf(
	    s->slots.why, sizeof s->slots.why, "no box starts with ids of its own, see the log");
	return canaries_run(s, err);
}

enum az_code
az_box_open(const struct az_box_opts *o, struct az_box_server **out, struct az_err *err)
{
	struct az_box_server *s;
	enum az_code rc;

	if (geteuid() == 0)
		return az_fail(err, AZ_EUNAVAIL, "box.open",
		    "sandboxes are never run by root: start this as another user");
	s = calloc(1, sizeof *s);
	if (!s)
		return az_fail(err, AZ_ENOMEM, "box.open", "out of memory");
	s->ports_fd = -1;
	pthread_mutex_init(&s->mu, NULL);
	az_cond_init(&s->changed);
	az_buf_init(&s->bpf, AZ_KIB(64));
	if ((rc = options(s, o, err)))
		goto out;
	rc = AZ_EUNAVAIL;
	if (access(s->bwrap, X_OK) < 0 || access(s->agent, X_OK) < 0) {
		az_fail_errno(err, rc, "box.open", "%s and %s are needed", s->bwrap, s->agent);
		goto out;
	}
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST) {
		az_fail_errno(err, rc, "box.open", "cannot make %s", s->dir);
		goto out;
	}
	homes(s);
	/* this process's memory and environment are nobody's business */
	prctl(PR_SET_DUMPABLE, 0);
	slots_open(s, 2 * (unsigned)s->max + (unsigned)s->spares_want + 2);
	if (s->slots.why[0])
		az_log(
		    AZ_WARN, "box.slot", AZ_KC("err", s->slots.why), AZ_KC("uid_mode", "shared"));
	clean_up(s);
	if ((rc = etc_make(s->dir, err)) || (rc = filter_build(&s->bpf, err)) ||
	    (rc = cg_open(&s->cg, o->cgroup, err)))
		goto out;
	cg_sweep(&s->cg);
	if ((rc = spawner_open(s, &s->spawner, err)))
		goto out;
	if (!thread_start(&s->reaper, reaper_main, s, false)) {
		rc = az_fail(err, AZ_EUNAVAIL, "box.open", "cannot start a thread");
		goto out;
	}
	s->reaper_on = true;
	if (!(rc = try_walls(s, err)) && !spares_start(s))
		rc = az_fail(err, AZ_EUNAVAIL, "box.open", "cannot start a thread");
	if (!rc)
		rc = ports_open(s, o->ports, err);
out:
	if (rc)
		az_box_close(s);
	else
		*out = s;
	return rc;
}

void
az_box_close(struct az_box_server *s)
{
	struct idem *k;

	if (!s)
		return;
	pthread_mutex_lock(&s->mu);
	s->stopping = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
	ports_close(s);
	pthread_mutex_lock(&s->mu);
	while (s->boxes) {
		struct box *b = s->boxes;

		b->refs++;
		pthread_mutex_unlock(&s->mu);
		box_destroy(b, "the server stops", false);
		box_unref(b);
		pthread_mutex_lock(&s->mu);
	}
	pthread_mutex_unlock(&s->mu);
	spares_stop(s);
	pthread_mutex_lock(&s->mu);
	while (s->live > 0 || s->pausers > 0)
		az_cond_wait(&s->changed, &s->mu, -1);
	pthread_mutex_unlock(&s->mu);
	if (s->reaper_on)
		pthread_join(s->reaper, NULL);
	spawner_close(s->spawner);
	while ((k = s->idem)) {
		s->idem = k->next;
		free(k->key);
		free(k);
	}
	for (size_t i = 0; i < PAST_MAX; i++)
		journal_free(&s->past[i].journal);
	free(s->look);
	slots_close(s);
	cg_release(&s->cg);
	az_buf_release(&s->bpf);
	free(s->dir);
	free(s->agent);
	free(s->bwrap);
	free(s->key);
	free(s->domain);
	free(s->templates);
	free(s->wheels);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mu);
	free(s);
}
