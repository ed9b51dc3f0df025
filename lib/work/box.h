/*
 * The sandbox of a run: found by its metadata, made when there is none, kept warm
 * across iterations. And the tree of an iteration in it.
 */
#ifndef AZ_WORK_BOX_H
#define AZ_WORK_BOX_H

#include "job.h"
#include "runplan.h"

enum work_net { NET_INSTALL = 1, NET_DENY, NET_ALLOW };

struct work_box {
	struct az_box_ref ref;
	bool made;    /* by this call */
	bool renewed; /* by work_box_renew(): once is enough */
	enum work_net net;
	const char *const *allow; /* domains, or NULL */
};

/* Failures are those of the port, retryable where another try can help. */
AZ_MUST_CHECK enum az_code work_box_open(
    struct work_job *j, struct work_box *b, struct az_err *err);
/* Did a call fail because of what programs left in this sandbox? Then another can help. */
bool work_box_spoiled(const struct work_box *b, enum az_code rc);
/* Kill it and make another. */
AZ_MUST_CHECK enum az_code work_box_renew(
    struct work_job *j, struct work_box *b, struct az_err *err);
/* Is the route to the internet as building (or not) wants it? */
AZ_MUST_CHECK enum az_code work_box_network(
    struct work_job *j, const struct work_box *b, bool building, struct az_err *err);
/*
 * What is left of the run's sandbox time (limits.sandbox_s): seconds that a command may
 * take which wants wish_s; 0: none are left. The clock starts with the first question;
 * an input without "sandbox_s_left" has no such limit.
 */
int work_box_time(struct work_job *j, int wish_s);
/* A command within that time, as az_sandbox_run(). One that was cut by it, or for which
   nothing was left, has timed out, and j->box_spent is set. */
AZ_MUST_CHECK enum az_code work_box_run(struct work_job *j, const struct work_box *b,
    const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err);
/* Kill all sandboxes of the run; none is fine. */
AZ_MUST_CHECK enum az_code job_box_kill(struct work_job *j, struct az_err *err);
/* What a small file in the box says ("" when there is none), and writing one. */
AZ_MUST_CHECK enum az_code work_box_read(struct work_job *j, const struct work_box *b,
    const char *path, size_t max, struct az_str *out, struct az_err *err);
AZ_MUST_CHECK enum az_code work_box_write(struct work_job *j, const struct work_box *b,
    const char *path, struct az_str body, struct az_err *err);

/* A file found in the box. */
struct tree_entry {
	struct az_str path; /* relative to AZ_PLAN_APP */
	int64_t size, modified_ms;
	unsigned mode;
};
struct tree_list {
	struct tree_entry *v; /* by path */
	size_t n, cap;
	bool cut;   /* limits: some are not listed */
	size_t odd; /* left out: names we do not take */
};
struct tree_stats {
	size_t collected;
	int64_t bytes;
	bool cut;
};

/* Empty AZ_PLAN_APP and put the files of m there. */
AZ_MUST_CHECK enum az_code work_tree_upload(
    struct work_job *j, const struct work_box *b, const struct az_manifest *m, struct az_err *err);
/* One file of the manifest anew. */
AZ_MUST_CHECK enum az_code work_tree_upload_file(
    struct work_job *j, const struct work_box *b, const struct az_file *f, struct az_err *err);
/* Regular files below AZ_PLAN_APP, without caches and links. */
AZ_MUST_CHECK enum az_code work_tree_list(
    struct work_job *j, const struct work_box *b, struct tree_list *out, struct az_err *err);
/* Take into m what is new or changed against before; into the store, binary-safe. */
AZ_MUST_CHECK enum az_code work_tree_collect(struct work_job *j, const struct work_box *b,
    const struct tree_list *before, struct az_manifest *m, struct tree_stats *st,
    struct az_err *err);
/*
 * SHA-256 of files as they are in the box, in hex; "" where it is not known: unreadable,
 * too many, too large all together, or no time for it.
 */
#define AZ_SUM_BYTES 65
AZ_MUST_CHECK enum az_code work_tree_sums(struct work_job *j, const struct work_box *b,
    const struct tree_entry *const *v, size_t n, char (*sums)[AZ_SUM_BYTES], struct az_err *err);
/* "/home/user/app/" + path */
char *work_tree_path(struct work_job *j, struct az_str path);

#endif
