/* The run plan's own insides: parser state, words, the map of paths. */
#ifndef AZ_WORK_RUNPLAN_INT_H
#define AZ_WORK_RUNPLAN_INT_H

#include "runplan.h"

/* Stands for the sandbox's PATH until it is known. No Dockerfile we accept holds it:
   control bytes are refused. */
#define PLAN_PATH_MARK "\x01"

struct plan_var {
	struct az_str name, value;
	bool env; /* ENV, else ARG */
	bool set; /* ARG without a value is known, but unset */
};

struct plan_map_entry {
	struct az_str from, to; /* absolute, normal */
};

struct plan_map {
	struct az_str root; /* what AZ_PLAN_APP stands for; empty: not decided */
	struct plan_map_entry entry[AZ_PLAN_MAX_STEPS + 4];
	size_t n;
};

struct plan_parse {
	struct az_arena *a;
	struct az_err *err;
	struct az_plan *out;
	char escape;
	int line;         /* of the instruction at hand */
	const char *name; /* of it, upper case */
	struct plan_var vars[AZ_PLAN_MAX_VARS];
	size_t n_vars;
	struct plan_var globals[AZ_PLAN_MAX_VARS]; /* ARG before FROM */
	size_t n_globals;
	bool from;
	const char *const *shell;
	size_t n_shell;
	struct az_str cwd;                        /* as the Dockerfile sees it: absolute, normal */
	struct az_str first_workdir, first_whole; /* candidates for the root */
	struct {
		const char **argv;
		size_t n;
		bool shell, seen;
	} cmd, entry;
	struct plan_map map;
	const char *const *env; /* snapshot for RUN, NULL when a variable changed */
	size_t instructions;
	size_t spent; /* bytes of text made, all together */
};

/* AZ_EUNPROC "dockerfile", naming line and instruction. */
enum az_code plan_bad(struct plan_parse *p, const char *fmt, ...) AZ_PRINTF(2, 3);
enum az_code plan_nomem(struct plan_parse *p);
/* A sentence for log and model; dropped silently past the bound. */
void plan_warn(struct plan_parse *p, const char *fmt, ...) AZ_PRINTF(2, 3);
/* Copy into the arena, or fail; a small text must not ask for much memory. */
enum az_code plan_keep(struct plan_parse *p, const struct az_buf *b, struct az_str *out);

/* words: variables and quotes */
enum az_code plan_expand(struct plan_parse *p, struct az_str word, struct az_str *out);
/* Split at blanks. quotes: not inside them, nor after the escape character. */
enum az_code plan_split(
    struct plan_parse *p, struct az_str rest, bool quotes, struct az_str *words, size_t *n);
/* The JSON form: *is says whether it is one; argv NULL-terminated. */
enum az_code plan_exec_form(
    struct plan_parse *p, struct az_str rest, bool *is, const char ***argv, size_t *n);
enum az_code plan_set(
    struct plan_parse *p, struct az_str name, struct az_str value, bool env, bool set);
const struct plan_var *plan_var(const struct plan_parse *p, struct az_str name);
/* "K=V" of all variables (ARGs too when args), NULL-terminated. */
enum az_code plan_env(struct plan_parse *p, bool args, const char *const **out);

/* paths */
/* path seen from cwd: absolute, without ".", ".." and doubled '/'. Appends. */
void plan_normal(struct az_buf *b, struct az_str cwd, struct az_str path);
bool plan_under(struct az_str path, struct az_str dir);
/* Where an absolute path of the Dockerfile lies in the sandbox. */
enum az_code plan_map_path(struct plan_parse *p, struct az_str path, struct az_str *out);
/* Remember path as one that texts may mention. */
void plan_map_add(struct plan_parse *p, struct az_str path);
bool plan_system_dir(struct az_str path);
/* Settle the root, then every path and text of the plan. */
enum az_code plan_map_all(struct plan_parse *p);

/* instructions */
struct plan_line {
	struct az_str text;     /* behind the instruction, joined, trimmed; borrowed */
	struct az_str doc;      /* a here-document's body */
	struct az_str doc_word; /* as it stands in text: <<EOF, <<-"EOF" */
	bool has_doc, doc_quoted;
};
struct plan_instruction {
	const char *name; /* upper case */
	enum az_code (*run)(struct plan_parse *p, struct plan_line *l);
	bool doc; /* may carry a here-document */
};
enum az_code plan_add_step(
    struct plan_parse *p, const struct plan_line *l, struct az_plan_step **out);
/* Container path of word, seen from the WORKDIR in force. */
enum az_code plan_absolute(struct plan_parse *p, struct az_str word, struct az_str *out);
/* Cut "--name=value" off the front of *rest; false when there is none. */
bool plan_flag(struct az_str *rest, struct az_str *name, struct az_str *value);
bool plan_in_list(struct az_str s, const char *const *list); /* NULL-terminated */
enum az_code plan_do_copy(struct plan_parse *p, struct plan_line *l);
extern const struct plan_instruction plan_instructions[]; /* ends with name NULL */

/* base images */
struct plan_image {
	const char *name, *language, *probe;
};
/* By the last part of the name without tag; NULL when we have no such thing. */
const struct plan_image *plan_image(struct az_str image);

#endif
