/* What is kept about a box: what it used, and what happened to it. */
#ifndef RECORD_H
#define RECORD_H

#include <azlon/log.h>

struct aw_frame;
struct box;

#define METER_MAX 720 /* measurements kept: an hour */
#define JOURNAL_MAX AZ_KIB(64)

struct sample {
	int64_t ms; /* wall */
	int64_t mem_used, mem_cache, disk_used;
	double cpu_pct; /* of what the box may use */
};
struct meter {
	int64_t ask_at; /* boot; the reaper's */
	bool asked;
	int64_t disk_used, disk_at;
	int64_t at_us, cpu_us; /* of the last sample */
	unsigned n;            /* ever taken */
	struct sample v[METER_MAX];
};

struct note { /* an event in the life of a box */
	struct note *next;
	int64_t ms; /* wall */
	enum az_level level;
	const char *message; /* static */
	size_t n;
	char fields[]; /* a JSON object of n bytes */
};
struct journal {
	struct note *head, *tail;
	size_t bytes;
};

/* ---- meter.c: with b->mu held ---- */
void meter_reset(struct box *b); /* the time since the last sample does not count */
bool meter_frame(struct box *b, struct aw_frame *f);
/* By the reaper, without b->mu: measure when it is time to; what its disk holds. */
void meter_look(struct box *b, int64_t now);
void meter_disk(struct box *b, int64_t used);

/* ---- journal.c ---- */
/* With b->mu held. Never what programs write, nor arguments, nor the environment. */
void note_kv(struct box *b, enum az_level level, const char *message, const struct az_kv *kv);
#define note(b, level, message, ...)                                                               \
	note_kv((b), (level), (message), (const struct az_kv[]){__VA_ARGS__, {.kind = 0}})
void journal_free(struct journal *j);
/* Keep it for a while after the box: without locks. */
void journal_keep(struct box *b);
/* Why one of the last that ended did; false when it is not among them. */
bool past_why(struct az_box_server *s, struct az_str id, char out[128]);

#endif
