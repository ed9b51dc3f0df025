/*
 * The functions that runs and their user's workflow schedule, doing I/O through the ports.
 */
#ifndef AZLON_WORK_H
#define AZLON_WORK_H

#include <azlon/crypto.h>
#include <azlon/engine.h>
#include <azlon/llm.h>
#include <azlon/sandbox.h>
#include <azlon/store.h>

/* One message to an address that a user named. */
struct az_post {
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated */
	struct az_str body;
	bool (*cancelled)(void *arg);
	void *arg;
	int status; /* of the answer */
};

struct az_work { /* app of the functions; ports borrowed */
	struct az_store *store;
	struct az_sandbox *sandbox;
	struct az_llm *llm;
	const char *default_model; /* or NULL */
	struct az_engine *engine;  /* how runs and their user's workflow tell each other */
	struct az_secrets secrets; /* what webhooks are signed with */
	/* AZ_OK with any status; AZ_EPERM: no address that may be reached. */
	enum az_code (*post)(void *arg, struct az_post *p, struct az_err *err);
	void *post_arg;
};
/* The table for struct az_worker, ends with name == NULL. */
extern AZ_API const struct az_function az_work_functions[];

/* The two default prompt texts that GET /run_workflow/prompts shows. */
AZ_API struct az_str az_work_default_prompt(const char *which /* "generate","validate" */);

#endif
