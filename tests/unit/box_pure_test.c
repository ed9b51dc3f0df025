/* What needs no box: addresses, names, envelopes, disk sizes. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "box/net.h"

static bool
vet(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	struct sockaddr_in6 b = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, ip, &a.sin_addr) == 1)
		return vet_public((const struct sockaddr *)&a, port);
	assert_int_equal(inet_pton(AF_INET6, ip, &b.sin6_addr), 1);
	return vet_public((const struct sockaddr *)&b, port);
}

static void
only_the_public_internet_is_reachable(void **state)
{
	static const char *const no[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3",
	    "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1",
	    "100.100.100.200", "100.127.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1",
	    "198.19.255.255", "224.0.0.1", "255.255.255.255", "240.0.0.1", "168.63.129.16", "::1",
	    "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
	    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
	    "2002:7f00:1::1", "2001::1", "2001:db8::1", "3fff::1", "::127.0.0.1", "fec0::1"};
	static const char *const yes[] = {"1.1.1.1", "8.8.8.8", "172.32.0.1", "172.15.255.255",
	    "100.63.255.255", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1",
	    "64:ff9b::101:101", "::ffff:1.1.1.1"};

	(void)state;
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (vet(no[i], 443))
			fail_msg("%s was allowed", no[i]);
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (!vet(yes[i], 443))
			fail_msg("%s was refused", yes[i]);
	assert_true(vet("1.1.1.1", 80));
	assert_false(vet("1.1.1.1", 25));
	assert_false(vet("1.1.1.1", 22));
}

static void
names_match_whole_labels(void **state)
{
	char a[] = "pkgs.example", b[] = "*.wheels.example";
	char *allow[] = {a, b};

	(void)state;
	assert_true(vet_domain(AZ_S("pkgs.example"), allow, 2));
	assert_true(vet_domain(AZ_S("Pkgs.Example."), allow, 2));
	assert_true(vet_domain(AZ_S("files.wheels.example"), allow, 2));
	assert_false(vet_domain(AZ_S("evilpkgs.example"), allow, 2));
	assert_false(vet_domain(AZ_S("pkgs.example.evil.com"), allow, 2));
	assert_false(vet_domain(AZ_S("wheels.example"), allow, 2));
	assert_false(vet_domain(AZ_S("xwheels.example"), allow, 2));
	assert_true(vet_domain(AZ_S("anything"), allow, 0));
	assert_true(vet_domain_ok(AZ_S("*.a.b")));
	assert_false(vet_domain_ok(AZ_S("*")));
	assert_false(vet_domain_ok(AZ_S("a/b")));
	assert_false(vet_domain_ok(AZ_S("10.0.0.0/8")));
	assert_false(vet_domain_ok(AZ_S("")));
}

static void
envelopes_are_bounded(void **state)
{
	static const char big[] = {0, 0, 0x40, 0, 1};
	unsigned flags;
	struct az_str m;
	size_t used;
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 100);
	envelope_add(&b, 2, AZ_S("{}"));
	assert_int_equal(envelope_next(az_buf_str(&b), &flags, &m, &used), 1);
	assert_int_equal(flags, 2);
	assert_int_equal(used, 7);
	assert_true(az_str_eqc(m, "{}"));
	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(envelope_next(az_str_n(b.p, i), &flags, &m, &used), 0);
	assert_int_equal(envelope_next(az_str_n(big, 5), &flags, &m, &used), -1);
	assert_int_equal(envelope_next(AZ_S("\001xxxx"), &flags, &m, &used), -2);
	az_buf_release(&b);
}

static void
disks_count_what_is_really_there(void **state)
{
	char dir[] = "/tmp/az-disk-XXXXXX", p[200];
	char data[65536];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	memset(data, 1, sizeof data);
	snprintf(p, sizeof p, "%s/real", dir);
	fd = open(p, O_WRONLY | O_CREAT, 0600);
	for (int i = 0; i < 16; i++)
		assert_int_equal(write(fd, data, sizeof data), sizeof data);
	close(fd);
	snprintf(p, sizeof p, "%s/sparse", dir);
	fd = open(p, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	close(fd);
	snprintf(p, sizeof p, "%s/link", dir);
	assert_int_equal(symlink("/usr", p), 0);
	snprintf(p, sizeof p, "%s/locked", dir);
	assert_int_equal(mkdir(p, 0700), 0);
	snprintf(p, sizeof p, "%s/locked/in", dir);
	assert_int_equal(mkdir(p, 0700), 0);
	snprintf(p, sizeof p, "%s/locked", dir);
	assert_int_equal(chmod(p, 0), 0);
	assert_in_range(disk_used(dir, INT64_MAX - 1), 1 << 20, 2 << 20);
	disk_remove(dir);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(access("/usr/bin", F_OK), 0);
}

/* Deeper than any stack would like: made by descriptor, as hostile code would. */
static void
deep_trees_go_too(void **state)
{
	char dir[] = "/tmp/az-deep-XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3000; i++) {
		int sub;

		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		sub = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		assert_true(sub >= 0);
		close(fd);
		fd = sub;
	}
	close(fd);
	/* past the depth anybody needs it counts as full */
	assert_true(disk_used(dir, 1 << 30) > 1 << 30);
	disk_remove(dir);
	assert_int_equal(access(dir, F_OK), -1);
}

static void
the_filter_is_a_program(void **state)
{
	struct az_buf b;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	az_buf_init(&b, AZ_KIB(64));
	assert_int_equal(filter_build(&b, &err), AZ_OK);
	assert_true(b.n > 500 && b.n % 8 == 0);
	az_buf_release(&b);
}

static void
groups_are_recognised_by_their_files(void **state)
{
	char dir[] = "/tmp/az-cg-XXXXXX", list[300], p[200];
	static const char *const marks[] = {"m/memory.limit_in_bytes", "p/pids.current"};
	struct cgroups c;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		snprintf(p, sizeof p, "%s/%c", dir, marks[i][0]);
		assert_int_equal(mkdir(p, 0700), 0);
		snprintf(p, sizeof p, "%s/%s", dir, marks[i]);
		close(open(p, O_WRONLY | O_CREAT, 0600));
	}
	snprintf(list, sizeof list, "%s/p, %s/m", dir, dir);
	assert_int_equal(cg_open(&c, list, &err), AZ_OK);
	assert_int_equal(c.mode, CG_V1);
	assert_non_null(c.dir[CG_MEMORY]);
	cg_release(&c);
	/* half of it is none of it */
	snprintf(list, sizeof list, "%s/m,/nowhere", dir);
	assert_int_equal(cg_open(&c, list, &err), AZ_OK);
	assert_int_equal(c.mode, CG_NONE);
	assert_int_equal(cg_open(&c, NULL, &err), AZ_OK);
	assert_int_equal(c.mode, CG_NONE);
	cg_release(&c);
	disk_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_the_public_internet_is_reachable),
	    cmocka_unit_test(names_match_whole_labels),
	    cmocka_unit_test(envelopes_are_bounded),
	    cmocka_unit_test(disks_count_what_is_really_there),
	    cmocka_unit_test(deep_trees_go_too),
	    cmocka_unit_test(the_filter_is_a_program),
	    cmocka_unit_test(groups_are_recognised_by_their_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
