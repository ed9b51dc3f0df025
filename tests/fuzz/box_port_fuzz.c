/* Heads of requests to ports of programs: what a program reads is a head with one Host and no
   token, whatever came. */
#include <stdint.h>
#include "box/port_head.h"
#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str in = az_str_n(data, n), id;
	size_t end = port_head_end(in);
	struct port_head h, again;
	struct az_buf b;
	int port;

	CHECK(end <= n);
	if (port_host(in, AZ_S("localhost"), &port, &id))
		CHECK(port > 0 && port < 65536 && id.n && id.n < n);
	if (port_mask_ok(in))
		CHECK(!memchr(in.p, '\n', n) && !memchr(in.p, '\r', n));
	if (!end || !port_head_read(az_str_sub(in, 0, end), &h))
		return 0;
	CHECK(h.host.n < n && h.token.n < n);
	for (int masked = 0; masked < 2; masked++) {
		az_buf_init(&b, 2 * n + 1024);
		port_head_write(
		    &b, az_str_sub(in, 0, end), az_str_c(masked ? "m:${PORT}" : ""), 80);
		CHECK(!b.fail && port_head_end(az_buf_str(&b)) == b.n);
		CHECK(port_head_read(az_buf_str(&b), &again) && !again.token.n);
		CHECK(az_str_eq(again.host, masked ? AZ_S("m:80") : h.host));
		az_buf_release(&b);
	}
	return 0;
}
