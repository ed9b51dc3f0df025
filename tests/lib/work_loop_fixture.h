/* One run a test: what is asked, how it is started, how it ended. */
#ifndef WORK_LOOP_FIXTURE_H
#define WORK_LOOP_FIXTURE_H

#include "work_rig.h"

#define REQ(more)                                                                                  \
	"{\"v\":1,\"uid\":\"alice\",\"request\":{\"user_prompt\":\"print hello\","                 \
	"\"test_conditions\":\"\",\"model\":\"recording/x\",\"limits\":{\"iterations\":5}" more    \
	"}}"
#define CHECK_HELLO                                                                                \
	",\"checks\":[{\"id\":\"c1\",\"run\":\"python3 main.py\","                                 \
	"\"expect\":{\"stdout_equals\":\"hello\\n\"}}]"
#define DOCKER                                                                                     \
	"### FILE: Dockerfile\n~~~~~\nFROM python:3\nWORKDIR /app\nCOPY . .\n"                     \
	"CMD [\"python3\", \"main.py\"]\n~~~~~\n"
#define PROG(note, body) note "\n### FILE: main.py\n~~~~~\n" body "~~~~~\n" DOCKER "### END\n"

static struct rig R;

static inline int
teardown(void **state)
{
	(void)state;
	rig_close(&R);
	return 0;
}

static inline void
start(const struct fake_answer *a, size_t n, const char *input)
{
	rig_open(&R, a, n, input);
	R.box->exec = rig_exec;
}

static inline bool
says(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static inline bool
status_is(const struct az_json *close, const char *status)
{
	return az_str_eqc(az_json_gets(close, "status"), status);
}

static inline bool
reason_is(const struct az_json *close, const char *reason)
{
	return az_str_eqc(az_json_gets(close, "reason"), reason);
}

#endif
