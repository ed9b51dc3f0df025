/*
 * Output of a command on its way into the store: whole up to AZ_LIM_LOG_BYTES, then cut
 * with a flag; its beginning and end are kept for people and the model.
 */
#ifndef AZ_WORK_SINK_H
#define AZ_WORK_SINK_H

#include "job.h"
#include "tail.h"

struct work_sink {
	struct work_job *j;
	struct az_put *put; /* NULL: kept in memory only */
	int64_t bytes;      /* all that came */
	int64_t kept, max;
	bool cut;
	struct az_tail ends;
};

/* name NULL: no object. A zeroed sink may be closed; close in any case. */
AZ_MUST_CHECK enum az_code sink_open(
    struct work_sink *s, struct work_job *j, const char *name, struct az_err *err);
AZ_MUST_CHECK enum az_code sink_write(struct work_sink *s, struct az_str bytes, struct az_err *err);
/* Make the object visible. */
AZ_MUST_CHECK enum az_code sink_commit(struct work_sink *s, struct az_err *err);
/* Drops what was not committed. */
void sink_close(struct work_sink *s);
/* Beginning, a mark where something is missing, end. In the job's arena; empty without
   memory. */
struct az_str sink_text(const struct work_sink *s);
/* {"bytes":N,"cut":false,"text":"…"} */
void sink_json(const struct work_sink *s, struct az_jw *w);

#endif
