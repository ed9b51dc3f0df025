/* A model that answers from a list. */
#ifndef FAKE_LLM_H
#define FAKE_LLM_H

#include <azlon/llm.h>

struct fake_answer {
	const char *text;
	const char *finish; /* NULL = "stop" */
	enum az_code fail;  /* instead of an answer; AZ_ECANCELLED: after so much of it */
	const char *reason;
};

struct fake_llm {
	struct az_llm base;
	const struct fake_answer *answers;
	size_t n, next; /* past the end: no_recording */
	int calls;
	struct az_buf seen[64]; /* all messages of each call, "[role]\ntext\n" */
	double temperature[64];
	bool schema[64];
	char model[64][32];
	int tries[64];
	int64_t total_ms[64];
};

void fake_llm_init(struct fake_llm *l, const struct fake_answer *a, size_t n);
void fake_llm_release(struct fake_llm *l);
/* The prompt of a call, NUL-terminated. */
const char *fake_llm_seen(const struct fake_llm *l, int call);

#endif
