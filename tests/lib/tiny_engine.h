/*
 * The smallest engine: a history in memory, driven by hand. It turns a fold's
 * commands into events the way real engines do, and nothing else.
 */
#ifndef TINY_ENGINE_H
#define TINY_ENGINE_H

#include <azlon/history.h>
#include <azlon/limits.h>

#define TINY_MAX 4000

struct tiny {
	const struct az_workflow *wf;
	struct az_arena *a;
	struct az_event ev[TINY_MAX];
	size_t n;
	int64_t t_ms; /* advances by 10 with each event */
	int anew;     /* how often the history began anew */
};

void tiny_init(struct tiny *t, const struct az_workflow *wf, const char *input);
void tiny_release(struct tiny *t);
/* Append an event; texts are copied. Returns its id. */
int64_t tiny_add(
    struct tiny *t, enum az_ev_type type, int64_t ref, const char *name, struct az_str payload);
int64_t tiny_fail(struct tiny *t, int64_t ref, const char *reason, const char *message);
/* Fold once and append what it wants; the number of commands, -1 when it refused. */
int tiny_fold(struct tiny *t, struct az_err *err);
/* Fold the first n events only, into a caller's command list. */
enum az_code tiny_fold_prefix(
    struct tiny *t, size_t n, struct az_arena *a, struct az_cmds *out, struct az_err *err);
struct az_history tiny_history(const struct tiny *t);
/* The scheduled function that has not ended, or NULL. */
const struct az_event *tiny_pending(const struct tiny *t);
/* The closing event, or NULL. */
const struct az_event *tiny_closed(const struct tiny *t);
bool tiny_cancel_wanted(const struct tiny *t, int64_t ref);
int64_t tiny_timer(const struct tiny *t);
size_t tiny_count(const struct tiny *t, enum az_ev_type type, const char *name);

#endif
