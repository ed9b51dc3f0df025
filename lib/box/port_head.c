/* Who is asked, with what right, and what the program is to read. */
#include "port_head.h"

#define MASK_MAX 255

static const char PORT[] = "${PORT}";

size_t
port_head_end(struct az_str in)
{
	ptrdiff_t at = az_str_find(in, AZ_S("\r\n\r\n"), 0);

	return at < 0 ? 0 : (size_t)at + 4;
}

/* The next line with its CRLF; false at the end. */
static bool
next_line(struct az_str *rest, struct az_str *line)
{
	ptrdiff_t at = az_str_find(*rest, AZ_S("\r\n"), 0);

	if (at < 0)
		return false;
	*line = az_str_sub(*rest, 0, (size_t)at + 2);
	*rest = az_str_sub(*rest, (size_t)at + 2, rest->n);
	return true;
}

static bool
is(struct az_str line, const char *name, struct az_str *value)
{
	ptrdiff_t colon = az_str_chr(line, ':');

	if (colon < 0 || !az_str_ieq(az_str_sub(line, 0, (size_t)colon), az_str_c(name)))
		return false;
	*value = az_str_trim(az_str_sub(line, (size_t)colon + 1, line.n));
	return true;
}

static bool
is_host(struct az_str line, struct az_str *value)
{
	return is(line, "Host", value);
}

static bool
is_token(struct az_str line, struct az_str *value)
{
	return is(line, "E2b-Traffic-Access-Token", value);
}

bool
port_head_read(struct az_str head, struct port_head *out)
{
	struct az_str line, value;
	unsigned hosts = 0, tokens = 0;

	*out = (struct port_head){.host = AZ_S(""), .token = AZ_S("")};
	if (!next_line(&head, &line) || line.n < 3)
		return false;
	while (next_line(&head, &line) && line.n > 2) {
		if (line.p[0] == ' ' || line.p[0] == '\t')
			return false;
		if (is_host(line, &value)) {
			hosts++;
			out->host = value;
		} else if (is_token(line, &value)) {
			tokens++;
			out->token = value;
		}
	}
	return hosts == 1 && tokens <= 1;
}

static void
masked(struct az_buf *b, struct az_str mask, int port)
{
	ptrdiff_t at;

	az_buf_addc(b, "Host: ");
	while ((at = az_str_find(mask, az_str_c(PORT), 0)) >= 0) {
		az_buf_adds(b, az_str_sub(mask, 0, (size_t)at));
		az_buf_addf(b, "%d", port);
		mask = az_str_sub(mask, (size_t)at + sizeof PORT - 1, mask.n);
	}
	az_buf_adds(b, mask);
	az_buf_addc(b, "\r\n");
}

void
port_head_write(struct az_buf *b, struct az_str head, struct az_str mask, int port)
{
	struct az_str line, value;
	bool first = true;

	for (; next_line(&head, &line); first = false) {
		if (!first && is_token(line, &value))
			continue;
		if (!first && mask.n && is_host(line, &value))
			masked(b, mask, port);
		else
			az_buf_adds(b, line);
	}
}

bool
port_host(struct az_str host, struct az_str domain, int *port, struct az_str *id)
{
	ptrdiff_t dash = az_str_chr(host, '-'), dot = az_str_chr(host, '.');

	*port = 0;
	if (dash < 1 || dash > 5 || dot <= dash + 1 || host.p[0] == '0' ||
	    !az_str_ieq(az_str_sub(host, (size_t)dot + 1, host.n), domain))
		return false;
	for (ptrdiff_t i = 0; i < dash; i++) {
		if (host.p[i] < '0' || host.p[i] > '9')
			return false;
		*port = *port * 10 + (host.p[i] - '0');
	}
	*id = az_str_sub(host, (size_t)dash + 1, (size_t)dot);
	return *port <= 65535;
}

bool
port_mask_ok(struct az_str mask)
{
	if (!mask.n || mask.n > MASK_MAX)
		return false;
	while (mask.n) {
		char c = mask.p[0];
		bool port = az_str_starts(mask, az_str_c(PORT));

		if (!port && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
		    c != '.' && c != '-' && c != ':')
			return false;
		mask = az_str_sub(mask, port ? sizeof PORT - 1 : 1, mask.n);
	}
	return true;
}
