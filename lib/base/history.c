#include <azlon/history.h>

static const char *const names[AZ_EV_TYPES] = {
    [AZ_EV_STARTED] = "started",
    [AZ_EV_FN_SCHEDULED] = "fn_scheduled",
    [AZ_EV_FN_COMPLETED] = "fn_completed",
    [AZ_EV_FN_FAILED] = "fn_failed",
    [AZ_EV_FN_CANCELED] = "fn_canceled",
    [AZ_EV_TIMER_STARTED] = "timer_started",
    [AZ_EV_TIMER_FIRED] = "timer_fired",
    [AZ_EV_SIGNALED] = "signaled",
    [AZ_EV_CANCEL_REQUESTED] = "cancel_requested",
    [AZ_EV_FN_CANCEL_REQUESTED] = "fn_cancel_requested",
    [AZ_EV_COMPLETED] = "completed",
    [AZ_EV_FAILED] = "failed",
    [AZ_EV_CANCELED] = "canceled",
    [AZ_EV_TIMED_OUT] = "timed_out",
    [AZ_EV_TERMINATED] = "terminated",
};

bool
az_ev_is_close(enum az_ev_type t)
{
	return t >= AZ_EV_COMPLETED && t <= AZ_EV_TERMINATED;
}

const char *
az_ev_name(enum az_ev_type t)
{
	if ((int)t < AZ_EV_STARTED || t >= AZ_EV_TYPES)
		return "unknown";
	return names[t];
}

enum az_ev_type
az_ev_by_name(struct az_str name)
{
	for (int t = AZ_EV_STARTED; t < AZ_EV_TYPES; t++)
		if (az_str_eqc(name, names[t]))
			return (enum az_ev_type)t;
	return (enum az_ev_type)0;
}
