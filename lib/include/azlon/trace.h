/*
 * W3C Trace Context: "00-<32 hex digits: the trace>-<16: who sent it>-<2: flags>". A request
 * joins the trace it came with, or begins one; its run and every call made for either carry it
 * on, and every log line names it (azlon/log.h). Nothing is measured or reported.
 */
#ifndef AZLON_TRACE_H
#define AZLON_TRACE_H

#include <azlon/str.h>

#define AZ_TRACE_BYTES 56 /* with its NUL */

/* Is it a traceparent of a version we can read: lower-case hex, no id all zeros? */
AZ_API bool az_trace_ok(struct az_str s);
/*
 * What we send on: from's trace and flags with a sender of our own. Where from is none, a new
 * trace, not sampled; id is its name if it is 32 hex digits, so that a log has one name less.
 */
AZ_API void az_trace_next(struct az_str from, struct az_str id, char out[AZ_TRACE_BYTES]);
/* The 32 digits of one that is ok. */
AZ_API struct az_str az_trace_id(struct az_str s);

#endif
