/*
 * The functions a coding run schedules, doing I/O through the ports.
 */
#ifndef AZLON_WORK_H
#define AZLON_WORK_H

#include <azlon/engine.h>
#include <azlon/llm.h>
#include <azlon/sandbox.h>
#include <azlon/store.h>

struct az_work { /* app of the functions; ports borrowed */
	struct az_store *store;
	struct az_sandbox *sandbox;
	struct az_llm *llm;
	const char *default_model; /* or NULL */
};
/* The table for struct az_worker, ends with name == NULL. */
extern AZ_API const struct az_function az_work_functions[];

/* The two default prompt texts that GET /run_workflow/prompts shows. */
AZ_API struct az_str az_work_default_prompt(const char *which /* "generate","validate" */);

#endif
