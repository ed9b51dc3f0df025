/* The adapters that the configuration names, opened. Each *out is the caller's to
   close; on failure it stays as it was. */
#ifndef AZLON_FCGI_PORTS_H
#define AZLON_FCGI_PORTS_H

#include <azlon/api.h>
#include <azlon/conf.h>
#include <azlon/engine.h>
#include <azlon/http.h>
#include <azlon/llm.h>
#include <azlon/sandbox.h>
#include <azlon/store.h>

/* http fetches the keys of ID tokens, and lives longer. */
AZ_MUST_CHECK enum az_code ports_auth(
    const struct az_conf *c, struct az_http *http, struct az_auth **out, struct az_err *err);
/* What users may ask for in a minute, counted together by the processes of this host. */
AZ_MUST_CHECK enum az_code ports_rates(
    const struct az_conf *c, struct az_api_rates **out, struct az_err *err);
/* http serves the engine's HTTP side, where it has one. */
AZ_MUST_CHECK enum az_code ports_engine(
    const struct az_conf *c, struct az_http *http, struct az_engine **out, struct az_err *err);
/* http serves a store of S3, which is closed before it. */
AZ_MUST_CHECK enum az_code ports_store(
    const struct az_conf *c, struct az_http *http, struct az_store **out, struct az_err *err);
/* key: what sandboxes are asked with. */
AZ_MUST_CHECK enum az_code ports_sandbox(const struct az_conf *c, struct az_http *http,
    const char *key, struct az_sandbox **out, struct az_err *err);
/* Recordings always go to the replay process, the rest to the model that was chosen. */
AZ_MUST_CHECK enum az_code ports_llm(
    const struct az_conf *c, struct az_http *http, struct az_llm **out, struct az_err *err);

#endif
