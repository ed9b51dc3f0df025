/* What the files of process.Process share. */
#ifndef BOX_PROCESS_H
#define BOX_PROCESS_H

#include "box.h"

/* ---- process_follow.c ---- */
struct follow {
	struct proc *p; /* referenced */
	struct sub sub;
	int64_t timeout_ms, deadline; /* 0, -1: none */
	bool kills;                   /* the deadline ends the program */
};

/* Send what it writes and its end; leaves and releases f->p in any case. */
enum az_code process_follow(struct az_rq *rq, struct box *b, struct follow *f, struct az_err *err);

/* ---- process.c ---- */
/* The process that a ProcessSelector names, referenced. */
enum az_code process_select(struct box *b, const struct az_json *sel, bool ended_too,
    struct proc **out, struct az_err *err);
typedef enum az_code process_fn(
    struct box *b, struct proc *p, const struct az_json *body, struct az_err *err);
/* The common shape of small calls on one process: act, then "{}". */
enum az_code process_act(struct az_rq *rq, void *app, process_fn *act, struct az_err *err);

#endif
