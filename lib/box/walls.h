/* What a box is made of, so that code stays in it. */
#ifndef BOX_WALLS_H
#define BOX_WALLS_H

#include <sys/types.h>
#include <azlon/buf.h>

struct az_box_server;
struct box;

/* ---- cgroup.c ---- */
enum cg_mode { CG_NONE, CG_V1, CG_V2 };
enum { CG_MEMORY, CG_PIDS, CG_CPU, CG_FREEZER, CG_KINDS };
struct cgroups {
	enum cg_mode mode;
	char *dir[CG_KINDS]; /* v2: all in [CG_MEMORY] */
};
struct cg_limits {
	int64_t memory;
	int pids, cpu_pct;
};
/* list may be NULL; what cannot be used is left out, not an error. */
enum az_code cg_open(struct cgroups *c, const char *list, struct az_err *err);
void cg_release(struct cgroups *c);
/* One group (per controller) for a box; procs[] are open cgroup.procs files or -1. */
enum az_code cg_make(const struct cgroups *c, const char *name, const struct cg_limits *lim,
    int procs[CG_KINDS], struct az_err *err);
int64_t cg_oom_kills(const struct cgroups *c, const char *name); /* 0 unknown */
int64_t cg_pids_hits(const struct cgroups *c, const char *name);
int64_t cg_memory_used(const struct cgroups *c, const char *name);  /* -1 unknown */
int64_t cg_memory_cache(const struct cgroups *c, const char *name); /* could be dropped */
int64_t cg_cpu_us(const struct cgroups *c, const char *name);       /* -1 unknown */
/* Who can make a box stand still. */
enum cg_freezer { CG_FREEZE_NONE, CG_FREEZE_V1, CG_FREEZE_V2 };
enum cg_freezer cg_freezer(const struct cgroups *c);
/* False: it did not come to rest in time, and runs again. */
bool cg_freeze(const struct cgroups *c, const char *name, int64_t deadline_ms);
bool cg_thaw(const struct cgroups *c, const char *name);
/* Kill what is left in it and remove it; waits up to a second. */
void cg_remove(const struct cgroups *c, const char *name);
/* As cg_remove() for all that a server which died left behind. */
void cg_sweep(const struct cgroups *c);
const char *cg_mode_name(enum cg_mode m);

/* ---- seccomp.c ---- */
enum az_code filter_build(struct az_buf *bpf, struct az_err *err);

/* ---- spawn.c ---- */
struct spawn {
	const char *home; /* bound to BOX_HOME, or NULL: a tmpfs of its own */
	const char *root; /* its system's tree, or NULL: the host's */
	int ns;           /* user namespace of its slot, or -1 */
	int64_t home_bytes;
	int procs[CG_KINDS];
	bool rlimits; /* no memory cgroup: RLIMIT_DATA */
	int64_t memory;
	/* filled */
	pid_t pid;           /* bwrap, our child */
	int sock, info, err; /* to the agent; bwrap's info and complaints */
};
struct spawner;
/* One thread that forks: die-with-parent follows the thread. */
enum az_code spawner_open(const struct az_box_server *s, struct spawner **out, struct az_err *err);
enum az_code spawner_run(struct spawner *sp, struct spawn *job, struct az_err *err);
void spawner_close(struct spawner *sp);
/* <dir>/etc, the /etc of every box. */
enum az_code etc_make(const char *dir, struct az_err *err);
/* The i-th name in it that a template's own /etc gives way to, or NULL. */
const char *etc_ours(size_t i);

/* ---- slot.c: pairs of subordinate ids ---- */
struct slot {
	int ns; /* -1: not made yet */
	bool taken;
};
struct slots {
	uint32_t uid, gid, pairs, first; /* the ranges; which pair is v[0] */
	struct slot *v;
	unsigned n;   /* 0: one id is agent and user, "shared" */
	char why[96]; /* it is */
};
void slots_open(struct az_box_server *s, unsigned need);
void slots_close(struct az_box_server *s);
/* *slot -1 where there are none. */
enum az_code slot_alloc(struct az_box_server *s, int *slot, struct az_err *err);
void slot_free(struct az_box_server *s, int slot);
int slot_ns(const struct az_box_server *s, int slot); /* borrowed, or -1 */
/* A namespace with the user of an older server's slot, to be closed; -1: not ours. */
int slot_ns_of(const struct az_box_server *s, uint32_t uid);

/* ---- home.c ---- */
enum az_code home_make(struct box *b, struct az_err *err);
int64_t home_used(const struct box *b, int64_t max);
void home_remove(struct box *b);
void home_remove_old(const struct az_box_server *s, const char *dir);

/* ---- templates.c: ids with or without a tag ---- */
bool template_known(const struct az_box_server *s, struct az_str id);
bool template_is_base(struct az_str id);
bool template_same(struct az_str id, struct az_str other);
/* The tree of one that has its own; "" and false for base and for what there is not. */
bool template_root(const struct az_box_server *s, struct az_str id, char *out, size_t size);

/* ---- disk.c ---- */
/* Bytes really used below dir, links not followed; stops counting past max. */
int64_t disk_used(const char *dir, int64_t max);
/* able: modes do not hold us up */
int64_t disk_count(int dir, int64_t max, bool able);
void disk_empty(int dir);
void disk_remove(const char *dir);
/* An upload is about to add n bytes: false when its disk has no room for them. Without
   b->mu. */
bool disk_take(struct box *b, int64_t n);

#endif
