/*
 * The event log of a run as the streams of this process share it: read, folded and rendered
 * once for all of them. One of the streams asks the engine for news, the others sleep until
 * it has some; when that one leaves, another asks.
 */
#ifndef AZLON_API_RUN_LOG_H
#define AZLON_API_RUN_LOG_H

#include "run.h"

struct run_log;
struct run_text; /* the frame of a progress; shared, never changed */

struct run_frame {
	int64_t seq;
	bool last; /* run.finished */
	struct az_str text;
};

/* What a stream has of a log; starts zeroed. */
struct run_seen {
	uint64_t turn, progress;
};
struct run_news {
	const struct run_frame *frames; /* from the first event on; as long as the log */
	size_t n;
	struct run_text *progress; /* that the stream does not have yet, or NULL; dropped by it */
};

/* The log of id, which is the caller's run. run_log_leave() in the end. */
AZ_MUST_CHECK enum az_code run_log_enter(
    const struct az_api *api, struct az_str id, struct run_log **out, struct az_err *err);
void run_log_leave(struct run_log *l); /* accepts NULL */
/* Until there is something newer than seen, ms at most. */
AZ_MUST_CHECK enum az_code run_log_wait(
    struct run_log *l, const struct run_seen *seen, int64_t ms, struct az_err *err);
/* What there is; seen has it from now on. */
void run_log_news(struct run_log *l, struct run_seen *seen, struct run_news *out);
struct az_str run_text_str(const struct run_text *t);
void run_text_drop(struct run_text *t); /* accepts NULL */

#endif
