/*
 * The model's Dockerfile as a run plan: parsed whole, then its build steps are
 * executed in a sandbox through the port. There is no Docker and no root.
 *
 * The uploaded tree is the build context and lies in AZ_PLAN_APP. The first absolute
 * WORKDIR of the Dockerfile (else "/") is that directory; other absolute paths
 * are mapped beneath AZ_PLAN_HOME. The mapping is applied to WORKDIR, COPY and ADD, and
 * to mentions of these paths in ENV, RUN, CMD and ENTRYPOINT; what programs themselves
 * name is not mapped. So what a program writes beside itself lands in AZ_PLAN_APP.
 */
#ifndef AZ_WORK_RUNPLAN_H
#define AZ_WORK_RUNPLAN_H

#include <azlon/limits.h>
#include <azlon/sandbox.h>

#define AZ_PLAN_HOME "/home/user"
#define AZ_PLAN_APP "/home/user/app" /* context and root of the program */

#define AZ_PLAN_MAX_BYTES AZ_KIB(64)
#define AZ_PLAN_MAX_STEPS 500 /* instructions */
#define AZ_PLAN_MAX_WORDS 200 /* of one instruction */
#define AZ_PLAN_MAX_VARS 200
#define AZ_PLAN_MAX_VALUE AZ_KIB(16) /* one variable, expanded */
#define AZ_PLAN_MAX_PORTS 32
#define AZ_PLAN_MAX_WARNINGS 50
#define AZ_PLAN_OUT_OF_TIME "the run's sandbox time (limits.sandbox_s) is used up"
#define AZ_PLAN_ARENA_BYTES                                                                        \
	AZ_MIB(32) /* ceiling to give the arena; what needs                                        \
		      more is refused */

enum az_plan_kind { AZ_PLAN_RUN = 1, AZ_PLAN_COPY, AZ_PLAN_WORKDIR };

struct az_plan_step {
	enum az_plan_kind kind;
	int line;                /* first line of the instruction, from 1 */
	struct az_str text;      /* for people: "RUN pip install x", one line */
	const char *const *env;  /* RUN: "K=V" */
	const char *const *argv; /* RUN: NULL-terminated */
	const char *cwd;         /* RUN: where; WORKDIR: what to make. Absolute */
	const char *const *src;  /* COPY: relative to the context, wildcards
				    allowed, "." = all; NULL for a here-document */
	const char *dest;        /* COPY: absolute */
	bool dest_dir;           /* COPY: dest was written as a directory */
	unsigned mode;           /* COPY --chmod, 0 = none */
	struct az_str body;      /* COPY of a here-document */
};

struct az_plan {
	struct az_str image;        /* as written: "python:3.12-slim" */
	struct az_str language;     /* "python", "node", "c", "shell", … */
	const char *probe;          /* program the template must have: "python3" */
	struct az_plan_step *steps; /* in order */
	size_t n_steps;
	const char *const *argv;      /* the program, NULL-terminated; NULL when there
					 is neither CMD nor ENTRYPOINT */
	const char *const *env;       /* private: complete only in az_plan_result */
	const char *cwd;              /* absolute */
	int ports[AZ_PLAN_MAX_PORTS]; /* EXPOSE */
	size_t n_ports;
	struct az_str warnings[AZ_PLAN_MAX_WARNINGS]; /* "line 3: …", for the log of the
					   run and the model */
	size_t n_warnings;
};

/*
 * Parse and check the whole of it. Everything in *out lives in the arena and does not
 * refer to dockerfile. Fails with AZ_EUNPROC reason "dockerfile" for whatever is
 * malformed, too large or cannot be honoured, the text naming line and instruction,
 * fit to be shown to model and user.
 */
AZ_MUST_CHECK enum az_code az_plan_parse(
    struct az_str dockerfile, struct az_arena *a, struct az_plan *out, struct az_err *err);

struct az_plan_exec {
	struct az_sandbox *sandbox;
	const struct az_box_ref *box;
	int timeout_s; /* per command; <= 0: AZ_LIM_CMD_S */
	/* Seconds that a command may take which wants wish_s; 0: none are left, and the
	   build fails. May be NULL. */
	int (*allow)(void *arg, int wish_s);
	const char *tag; /* prefix of the tags of its commands, or NULL */
	/* A step begins; its text is step->text ("FROM …" with step NULL). May be NULL. */
	void (*begin)(void *arg, const struct az_plan_step *step, struct az_str text);
	/* Output of a step, stream 1 or 2; failing stops it. May be NULL. */
	enum az_code (*output)(void *arg, const struct az_plan_step *step, int stream,
	    struct az_str bytes, struct az_err *err);
	bool (*cancelled)(void *arg); /* may be NULL */
	void *arg;
};

struct az_plan_result {
	bool built;                        /* false: a build failure, of the code's making */
	const struct az_plan_step *failed; /* the step, NULL for FROM */
	enum az_run_end end;               /* how it ended, 0 when it was not started */
	int exit_code;
	bool out_of_time;        /* allow() gave too little */
	struct az_str text;      /* why, for model and user; "" when built */
	const char *const *argv; /* what to run then: as in the plan … */
	const char *const *env;  /* … complete, with PATH */
	const char *cwd;
};

/*
 * Execute the build steps; the tree must lie in AZ_PLAN_APP already, and the network be
 * as build steps should find it. A step that fails is AZ_OK with !r->built; failures of
 * the sandbox itself are errors as in the port, a cancel is AZ_ECANCELLED. Texts in r
 * live in the arena, r->failed in the plan.
 */
AZ_MUST_CHECK enum az_code az_plan_exec(const struct az_plan *p, const struct az_plan_exec *x,
    struct az_arena *a, struct az_plan_result *r, struct az_err *err);

#endif
