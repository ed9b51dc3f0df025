/* The route tables of run_workflow: the first serves short requests, the second those
   that may wait. nginx sends ?wait=, /events and what may take seconds to the second. */
#include "run.h"

#define ID "/run_workflow/{id}"
#define COMMON                                                                                     \
	{"GET", "/run_workflow/prompts", run_prompts_get},                                         \
	    {"POST", "/run_workflow/prompts", run_prompts_set},                                    \
	    {"GET", "/run_workflow/health/live", run_live},                                        \
	    {"GET", "/run_workflow/health/ready", run_ready},                                      \
	    {"GET", "/run_workflow/openapi.json", run_openapi},                                    \
	    {"GET", "/run_workflow/metrics", run_metrics}, {"DELETE", ID, run_remove},             \
	    {"POST", ID "/cancel", run_cancel}, {"POST", ID "/signal", run_signal},                \
	    {"GET", ID "/request", run_request}, {"GET", ID "/webhook", run_webhook},              \
	    {"GET", ID "/iterations", run_iterations},                                             \
	    {"GET", ID "/iterations/{n}", run_iteration},                                          \
	    {"GET", ID "/iterations/{n}/logs/{stream}", run_log},                                  \
	    {"GET", ID "/iterations/{n}/diff", run_diff}, {"POST", ID "/fork", run_fork},          \
	    {"GET", ID "/events", run_events}, {"POST", "/run_workflow", run_create},              \
	{                                                                                          \
		"GET", "/run_workflow", run_list                                                   \
	}

const struct az_route az_api_run_routes[] = {
    COMMON,
    {"GET", ID, run_status},
    {"GET", ID "/result", run_result},
    {NULL, NULL, NULL},
};

const struct az_route az_api_wait_routes[] = {
    COMMON,
    {"GET", ID, run_status_wait},
    {"GET", ID "/result", run_result_wait},
    {"GET", "/_wait/{id}", run_handed_over},
    {NULL, NULL, NULL},
};
