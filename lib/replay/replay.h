/* Inside the replay room. */
#ifndef AZ_REPLAY_INT_H
#define AZ_REPLAY_INT_H

#include <pthread.h>
#include <sys/stat.h>
#include <azlon/json.h>
#include <azlon/replay.h>

#define REPLAY_CASSETTE_BYTES AZ_MIB(64)
#define REPLAY_LINE_BYTES AZ_MIB(16)
#define REPLAY_BODY_BYTES AZ_MIB(8)
#define REPLAY_ENTRIES 10000
#define REPLAY_CASSETTES 256
#define REPLAY_NAME_BYTES 64

extern const struct az_json_limits replay_limits;

/* ---- canon.c ---- */
/* The text with what differs from run to run replaced; appended. Idempotent. */
void replay_normalise(struct az_buf *out, struct az_str text);
/* The canonical form of an OpenAI request (or of a canonical form), and its key. */
AZ_MUST_CHECK enum az_code replay_canon(
    const struct az_json *request, struct az_buf *out, char key[65], struct az_err *err);

/* ---- fault.c ---- */
enum replay_fault { NO_FAULT, F_429, F_500, F_STALL, F_CUT, F_SPLIT, F_ERROR, F_LONG };
/* "429", "500", "stall", "cut", "split", "error200", "long"; false if none of them. */
bool replay_fault_parse(struct az_str name, enum replay_fault *f);

/* ---- cassette.c ---- */
struct replay_entry {
	char key[65];
	int64_t seq;
	size_t off, len; /* of its line in the file */
};
struct replay_faulty {
	enum replay_fault fault;
	int64_t times, retry_after_s;
};
/* The index of one file; the texts stay on disk. */
struct replay_cassette {
	char name[REPLAY_NAME_BYTES + 1];
	struct stat st; /* of the file that was read */
	struct replay_entry *entries;
	size_t n;
	struct replay_faulty faults[16];
	size_t n_faults;
	int64_t asked;    /* requests since it was read: picks the fault */
	int64_t said;     /* highest seq given so far: recording goes on from it */
	char broken[240]; /* why the file cannot be used, or "" */
};

struct az_replay {
	char *dir, *key, *record;
	int port;
	bool faults;
	pthread_mutex_t mu; /* what follows */
	struct replay_cassette *list[REPLAY_CASSETTES];
	size_t n;
};

bool replay_name_ok(struct az_str name);
/* "hosted-api", "local-model", "manual", "reference-solution", "synthetic-fault" */
bool replay_kind_ok(struct az_str kind);
/* dir/name.jsonl; false when too long */
bool replay_path(const struct az_replay *r, const char *name, char *out, size_t n);
/* Read what is new or changed in the directory. */
void replay_scan(struct az_replay *r);
/* The cassette as the file is now, NULL if there is no such file. Locked by the caller. */
struct replay_cassette *replay_cassette(struct az_replay *r, const char *name);
const struct replay_entry *replay_find(const struct replay_cassette *c, const char *key);
/* The line of an entry, parsed; AZ_ECONFLICT when the file changed meanwhile. */
AZ_MUST_CHECK enum az_code replay_load(const struct az_replay *r, const char *name,
    const struct replay_entry *e, struct az_arena *a, const struct az_json **out,
    struct az_err *err);
void replay_forget(struct az_replay *r);

/* ---- record.c ---- */
/* Answer a miss from the scripts and append it to the cassette. Locked by the caller.
   AZ_ENOTFOUND when the scripts have no such reply. */
AZ_MUST_CHECK enum az_code replay_record(struct az_replay *r, const char *name, int64_t seq,
    struct az_str canon, const char *key, struct az_err *err);

/* ---- wire.c ---- */
struct replay_answer {
	const char *name, *key;
	const struct az_json *line; /* of the cassette; NULL for a bare fault */
	bool stream, usage;
	enum replay_fault fault;
	int64_t retry_after_s;
};
AZ_MUST_CHECK enum az_code replay_say(
    struct az_rq *rq, const struct replay_answer *w, struct az_err *err);
/* An error in OpenAI's shape. */
AZ_MUST_CHECK enum az_code replay_error(struct az_rq *rq, int status, const char *code,
    struct az_err *err, const char *fmt, ...) AZ_PRINTF(5, 6);

#endif
