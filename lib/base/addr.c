/* Which addresses are the public internet. */
#include <azlon/addr.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

struct range {
	uint32_t net;
	int bits;
};

static bool
public4(uint32_t a)
{
	/* IANA special-purpose registry: all that is not the public internet */
	static const struct range no[] = {
	    {0x00000000, 8},  /* this network */
	    {0x0a000000, 8},  /* private */
	    {0x64400000, 10}, /* carrier NAT; 100.100.100.200 metadata */
	    {0x7f000000, 8},  /* loopback */
	    {0xa9fe0000, 16}, /* link-local; 169.254.169.254 metadata */
	    {0xac100000, 12}, /* private */
	    {0xc0000000, 24}, /* protocol assignments; 192.0.0.192 metadata */
	    {0xc0000200, 24}, /* documentation */
	    {0xc0586300, 24}, /* 6to4 relay */
	    {0xc0a80000, 16}, /* private */
	    {0xc6120000, 15}, /* benchmarks */
	    {0xc6336400, 24}, /* documentation */
	    {0xcb007100, 24}, /* documentation */
	    {0xe0000000, 4},  /* multicast */
	    {0xf0000000, 4},  /* reserved, broadcast */
	    {0xa83f8110, 32}, /* 168.63.129.16, a cloud's host service */
	};

	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if ((a ^ no[i].net) >> (32 - no[i].bits) == 0)
			return false;
	return true;
}

static bool
public6(const unsigned char a[16])
{
	static const unsigned char zero[12];
	uint32_t low = (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];

	/* v4 in disguise: mapped, translated (64:ff9b::/96), 6to4 */
	if (!memcmp(a, zero, 10) && a[10] == 0xff && a[11] == 0xff)
		return public4(low);
	if (a[0] == 0 && a[1] == 0x64 && a[2] == 0xff && a[3] == 0x9b)
		return !memcmp(a + 4, zero, 8) && public4(low);
	if (a[0] == 0x20 && a[1] == 0x02)
		return false;
	/* only global unicast 2000::/3, without Teredo, documentation and others */
	if ((a[0] & 0xe0) != 0x20)
		return false;
	if (a[0] == 0x20 && a[1] == 0x01 && (a[2] < 0x02 || (a[2] == 0x0d && a[3] == 0xb8)))
		return false;
	if (a[0] == 0x3f && a[1] == 0xff)
		return false;
	return true;
}

bool
az_addr_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof in);
		return public4(ntohl(in.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof in6);
		return public6(in6.sin6_addr.s6_addr);
	}
	return false;
}

bool
az_addr_loopback(const struct sockaddr *sa)
{
	static const unsigned char one[16] = {[15] = 1};

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof in);
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof in6);
		return memcmp(in6.sin6_addr.s6_addr, one, sizeof one) == 0;
	}
	return false;
}
