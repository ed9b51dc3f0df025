/* Handles with a warm connection, checked out by scheme, host and port. */
#include <stdlib.h>
#include "http_room.h"

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_up;

static void
curl_start(void)
{
	curl_up = curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum az_code
az_http_new(struct az_http **out, struct az_err *err)
{
	struct az_http *h;

	*out = NULL;
	pthread_once(&curl_once, curl_start);
	if (curl_up != CURLE_OK)
		return az_fail(
		    err, AZ_EINTERNAL, "http.new", "libcurl: %s", curl_easy_strerror(curl_up));
	if (!(h = calloc(1, sizeof *h)))
		return az_fail(err, AZ_ENOMEM, "http.new", "out of memory");
	pthread_mutex_init(&h->mu, NULL);
	h->hold_bytes = HTTP_STREAM_BYTES / 2;
	*out = h;
	return AZ_OK;
}

void
http_slot_free(struct http_slot *s)
{
	if (!s)
		return;
	curl_easy_cleanup(s->easy);
	if (s->multi)
		curl_multi_cleanup(s->multi);
	free(s);
}

void
az_http_free(struct az_http *h)
{
	struct http_slot *s, *next;

	if (!h)
		return;
	for (s = h->idle; s; s = next) {
		next = s->next;
		http_slot_free(s);
	}
	pthread_mutex_destroy(&h->mu);
	free(h);
}

enum az_code
http_slot_take(struct az_http *h, const char *key, struct http_slot **out, struct az_err *err)
{
	struct http_slot **at, *s;

	pthread_mutex_lock(&h->mu);
	for (at = &h->idle; *at && strcmp((*at)->key, key) != 0; at = &(*at)->next)
		;
	if ((s = *at)) {
		*at = s->next;
		h->n_idle--;
	}
	pthread_mutex_unlock(&h->mu);
	if (s) {
		*out = s;
		return AZ_OK;
	}
	if (!(s = calloc(1, sizeof *s)))
		goto nomem;
	memcpy(s->key, key, strlen(key) + 1);
	s->multi = curl_multi_init();
	s->easy = curl_easy_init();
	if (!s->multi || !s->easy)
		goto nomem;
	curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, 1L);
	*out = s;
	return AZ_OK;
nomem:
	http_slot_free(s);
	return az_fail(err, AZ_ENOMEM, "http.call", "out of memory");
}

void
http_slot_give(struct az_http *h, struct http_slot *s)
{
	struct http_slot **at, *old = NULL;

	/* forgets options and pointers of the call; connections stay */
	curl_easy_reset(s->easy);
	pthread_mutex_lock(&h->mu);
	s->next = h->idle;
	h->idle = s;
	if (++h->n_idle > HTTP_IDLE_SLOTS) {
		for (at = &h->idle; (*at)->next; at = &(*at)->next)
			;
		old = *at;
		*at = NULL;
		h->n_idle--;
	}
	pthread_mutex_unlock(&h->mu);
	http_slot_free(old);
}
