/*
 * Documents of any bytes through the codec, with the key of the published vector.
 * What was JSON stays JSON; no value that is marked leaves an encode in the clear; an
 * encode and a decode change nothing a second time.
 */
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <azlon/json.h>
#include "engine/restack_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct az_json_limits any = {AZ_MIB(32), 200, 10000000};
static int listener;

/* The engine: the same key for every request, one connection at a time. */
static void *
engine(void *arg)
{
	static const char answer[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 54\r\n\r\n"
	    "{\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}";
	char in[4096];
	int fd;

	(void)arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while (recv(fd, in, sizeof in, 0) > 0)
			(void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static struct restack_codec *
start(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct restack_codec_opts o = {0};
	struct restack_codec *c = NULL;
	socklen_t len = sizeof sa;
	char url[64];
	pthread_t t;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&sa, sizeof sa) != 0 ||
	    listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&sa, &len) != 0 ||
	    pthread_create(&t, NULL, engine, NULL) != 0 || az_http_new(&o.http, NULL))
		return NULL;
	pthread_detach(t);
	snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(sa.sin_port));
	o.api_url = url;
	return restack_codec_new(&o, &c, NULL) ? NULL : c;
}

static bool
clear_mark_in(const struct az_json *j)
{
	const struct az_json *v;
	bool found = false, value = false;
	struct az_str key;
	void *it = NULL;

	for (size_t i = 0; az_json_type(j) == AZ_JARR && i < az_json_len(j) && !found; i++)
		found = clear_mark_in(az_json_at(j, i));
	while (az_json_type(j) == AZ_JOBJ && az_json_each(j, &it, &key, &v)) {
		found = found || clear_mark_in(v);
		value = value || az_str_eqc(key, "value");
	}
	return found || (value && az_json_getb(j, "__restack_sensitive__", false));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct restack_codec *c;
	struct az_str text = az_str_n(data, n);
	struct az_buf open, sealed, once, twice;
	struct az_json *j = NULL;
	bool json = az_json_scan(text, &any, NULL) == AZ_OK;

	if (!c && !(c = start()))
		return 0;
	az_buf_init(&open, AZ_MIB(8));
	az_buf_init(&sealed, AZ_MIB(8));
	az_buf_init(&once, AZ_MIB(8));
	az_buf_init(&twice, AZ_MIB(8));
	if (restack_codec_unwrap(c, text, &open, NULL) == AZ_OK && json)
		assert(az_json_scan(az_buf_str(&open), &any, NULL) == AZ_OK);
	if (restack_codec_encode(c, text, &sealed, NULL))
		goto out;
	if (json && !az_json_parse(az_buf_str(&sealed), &any, &j, NULL))
		assert(!clear_mark_in(j));
	if (restack_codec_decode(c, az_buf_str(&sealed), &once, NULL))
		goto out;
	assert(!json || az_json_scan(az_buf_str(&once), &any, NULL) == AZ_OK);
	az_buf_reset(&sealed);
	if (restack_codec_encode(c, az_buf_str(&once), &sealed, NULL))
		goto out;
	assert(restack_codec_decode(c, az_buf_str(&sealed), &twice, NULL) == AZ_OK);
	assert(az_str_eq(az_buf_str(&once), az_buf_str(&twice)));
out:
	az_json_free(j);
	az_buf_release(&open);
	az_buf_release(&sealed);
	az_buf_release(&once);
	az_buf_release(&twice);
	return 0;
}
