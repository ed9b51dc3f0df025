/* Webhooks: messages to addresses that users named, guarded. */
#ifndef AZLON_FCGI_HOOK_H
#define AZLON_FCGI_HOOK_H

#include <azlon/http.h>
#include <azlon/work.h>

struct hook {
	struct az_http *http;
	bool local; /* loopback may be reached too, also without TLS */
};

/* post of struct az_work; arg is a struct hook. */
enum az_code hook_post(void *arg, struct az_post *p, struct az_err *err);

#endif
