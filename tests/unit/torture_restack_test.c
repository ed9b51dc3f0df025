/* Out of memory while addresses are resolved and marked values are opened and closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "engine/restack_addr.h"
#include "engine/restack_codec.h"
#include "http_peer.h"
#include "torture.h"

#define SEALED                                                                                     \
	"{\"__restack_encrypted__\":\"v1\",\"alg\":\"AES-256-GCM\",\"iv\":\"AAECAwQFBgcICQoL\","   \
	"\"ct\":\"ZXKhOejO2oB6QMmAcRZy+VWviNM=\"}"
#define CLEAR "{\"__restack_sensitive__\":true,\"value\":\"pw\"}"
#define DOC "{\"a\":[1," SEALED "],\"b\":" CLEAR "}"

static struct restack_codec *codec;

static enum az_code
addresses(struct az_err *err)
{
	const struct restack_settings s = {.engine_address = "https://[fd00::7]:7233/",
	    .api_address = "api.example.com",
	    .codec_address = "http://blobs:12233",
	    .api_key = "rk_1",
	    .engine_id = "e1",
	    .ca_file = "/etc/ca.pem"};
	struct restack_addr r;
	struct az_buf all;
	enum az_code rc = restack_addr_init(&r, &s, err);

	if (rc)
		return rc;
	torture_pause();
	az_buf_init(&all, AZ_KIB(4));
	az_buf_addf(
	    &all, "%s %s %s %s %s", r.authority, r.api_url, r.codec_url, r.queue, r.ca_file);
	for (size_t i = 0; r.headers[i]; i++)
		az_buf_addf(&all, "|%s", r.headers[i]);
	torture_resume();
	torture_made(az_buf_str(&all));
	az_buf_release(&all);
	restack_addr_release(&r);
	return AZ_OK;
}

static enum az_code
opened(struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(4));
	if (!(rc = restack_codec_decode(codec, AZ_S(DOC), &b, err)) &&
	    !(rc = restack_codec_unwrap(codec, AZ_S(DOC), &b, err)))
		torture_made(az_buf_str(&b));
	az_buf_release(&b);
	return rc;
}

static enum az_code
closed_and_opened(struct az_err *err)
{
	struct az_buf b, back;
	enum az_code rc;

	az_buf_init(&b, AZ_KIB(4));
	az_buf_init(&back, AZ_KIB(4));
	if (!(rc = restack_codec_encode(codec, AZ_S(DOC), &b, err)) &&
	    !(rc = restack_codec_unwrap(codec, az_buf_str(&b), &back, err)))
		torture_made(az_buf_str(&back));
	az_buf_release(&b);
	az_buf_release(&back);
	return rc;
}

#define CASE(f)                                                                                    \
	static void test_##f(void **state)                                                         \
	{                                                                                          \
		(void)state;                                                                       \
		torture(#f, f);                                                                    \
	}
CASE(addresses)
CASE(opened)
CASE(closed_and_opened)

int
main(void)
{
	static const struct http_peer_step key = {
	    .bytes = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
		     "{\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}",
	    .then = HTTP_THEN_CLOSE};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_opened),
	    cmocka_unit_test(test_closed_and_opened),
	};
	struct http_peer *peer = http_peer_start(&key, 1, NULL, NULL);
	struct restack_codec_opts o = {0};
	struct az_buf first;
	char url[64];
	int failed;

	http_peer_url(peer, "", url, sizeof url);
	o.api_url = url;
	az_buf_init(&first, AZ_KIB(4));
	/* the key is there before memory runs out */
	if (az_http_new(&o.http, NULL) || restack_codec_new(&o, &codec, NULL) ||
	    restack_codec_decode(codec, AZ_S(DOC), &first, NULL))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	az_buf_release(&first);
	restack_codec_free(codec);
	az_http_free(o.http);
	http_peer_stop(peer);
	return failed;
}
