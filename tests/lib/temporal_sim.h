/*
 * A Temporal server's history, made by hand: what a server writes down for commands,
 * results and requests. Pages are packed and read again, as over the wire.
 */
#ifndef TEMPORAL_SIM_H
#define TEMPORAL_SIM_H

#include <azlon/arena.h>
#include "temporal.pb-c.h"

#define SIM_MAX 4000

struct sim {
	struct az_arena *a;
	Azt__HistoryEvent *ev[SIM_MAX];
	size_t n;
	int64_t t_ms; /* advances by 10 with each event */
};

void sim_init(struct sim *s, struct az_arena *a);
/* A message in the arena. */
void *sim_new(struct sim *s, const ProtobufCMessageDescriptor *type);
/* One payload; encoding NULL: no metadata. data NULL: no payload at all (NULL). */
Azt__Payloads *sim_payloads(struct sim *s, const char *encoding, const char *data);
Azt__Failure *sim_failure(struct sim *s, const char *type, const char *message);
Azt__Failure *sim_timeout(struct sim *s, int timeout_type);

/* Append an event; attributes (of the type's own message, or NULL) are its new ones. */
Azt__HistoryEvent *sim_event(
    struct sim *s, int type, int attributes_case, const ProtobufCMessageDescriptor *attributes);
#define SIM_EVENT(s, TYPE, name)                                                                   \
	sim_event(s, AZT__EVENT_TYPE__E__##TYPE, AZT__HISTORY_EVENT__ATTRIBUTES_##TYPE,            \
	    &azt__##name##__descriptor)

/* uid NULL: no memo. */
void sim_start(struct sim *s, const char *type, const char *uid, Azt__Payloads *input);
/* A workflow task is handed out. */
void sim_task(struct sim *s);
/* Its completion, and what comes of its commands. */
void sim_commands(struct sim *s, Azt__Command *const *v, size_t n);
/* attempt 0: it never began. Each ends the function scheduled at ref. */
void sim_done(struct sim *s, int64_t ref, int attempt, const char *json);
void sim_failed(struct sim *s, int64_t ref, int attempt, Azt__Failure *f, int retry_state);
void sim_timed_out(struct sim *s, int64_t ref, int attempt, Azt__Failure *f, int retry_state);
void sim_canceled(struct sim *s, int64_t ref, int attempt, const char *json);
void sim_fired(struct sim *s, int64_t ref);
void sim_signal(struct sim *s, const char *name, Azt__Payloads *p);
void sim_cancel(struct sim *s, const char *cause);

/* Events [from, to) as bytes of a History, and as one that was read from them. */
struct az_str sim_bytes(struct sim *s, size_t from, size_t to);
Azt__History *sim_page(struct sim *s, size_t from, size_t to);

#endif
