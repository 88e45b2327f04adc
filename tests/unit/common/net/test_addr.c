#include "common/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "tests/lib/test.h"

static struct addr A(const char *text)
{
	struct addr a = { 0 };

	if (addr_parse(bytes_str(text), &a) != OK)
		fail_msg("refused: %s", text);
	return a;
}

static struct prefix P(const char *text)
{
	struct prefix p = { 0 };

	if (prefix_parse(bytes_str(text), &p) != OK)
		fail_msg("refused: %s", text);
	return p;
}

static void test_texts(void **state)
{
	static const char *const pairs[][2] = { { "0.0.0.0", NULL }, { "255.255.255.255", NULL }, { "100.64.0.1", NULL },
		{ "::", NULL }, { "::1", NULL }, { "1::", NULL }, { "2001:db8::1", NULL }, { "1:2:3:4:5:6:7:8", NULL },
		{ "2001:db8:0:1:1:1:1:1", NULL }, { "2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" }, { "FD7A::A", "fd7a::a" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" }, { "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "::ffff:1.2.3.4", NULL }, { "::ffff:102:304", "::ffff:1.2.3.4" }, { "64:ff9b::1.2.3.4", "64:ff9b::102:304" },
		{ "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" }, { "0:0:1:0:0:0:1:0", "0:0:1::1:0" },
		{ "0:0:0:1:0:0:0:1", "::1:0:0:0:1" }, { "1:0:0:0:0:0:0:0", "1::" } };
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		assert_string_equal(addr_text(A(pairs[i][0]), text), pairs[i][1] ? pairs[i][1] : pairs[i][0]);
	assert_string_equal(addr_text((struct addr){ 0 }, text), "");
}

static void test_refused(void **state)
{
	static const char *const bad[] = { "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "01.2.3.4", "1.2.3.256",
		"1.2.3.4 ", " 1.2.3.4", "1.2.3.-4", "0x1.2.3.4", ":", ":::", "1:", ":1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "12345::", "g::", "::1%eth0", "[::1]", "1:2:3:4:5:6:7:1.2.3.4",
		"::1.2.3", "::1.2.3.4:5", "1.2.3.4::", "::01.2.3.4", "1:2:3:4:5:1.2.3.4", "::1:2:3:4:5:6:1.2.3.4", "1.2.3.4/8" };
	static const char *const bad_port[] = { "", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:1a", "::1:80",
		"[::1]", "[::1]:", "[::1]80", "[1.2.3.4]:80", "[::1:80", "[]:80", ":80", "[::1]:999999" };
	static const char *const bad_prefix[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "::/129",
		"10.0.0.0/8/8", "::/1 ", "::/+1" };
	struct addr a;
	struct addrport ap;
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (addr_parse(bytes_str(bad[i]), &a) != ERR_MALFORMED)
			fail_msg("accepted: %s", bad[i]);
	for (size_t i = 0; i < sizeof bad_port / sizeof bad_port[0]; i++)
		if (addrport_parse(bytes_str(bad_port[i]), &ap) != ERR_MALFORMED)
			fail_msg("accepted: %s", bad_port[i]);
	for (size_t i = 0; i < sizeof bad_prefix / sizeof bad_prefix[0]; i++)
		if (prefix_parse(bytes_str(bad_prefix[i]), &p) != ERR_MALFORMED)
			fail_msg("accepted: %s", bad_prefix[i]);
}

/* inet_pton reads what we write and finds the same bytes; we agree with it on what an address is. */
static void test_like_the_kernel(void **state)
{
	struct test_rng rng = { 4 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct addr a = { .family = 6 };
		uint8_t other[16];
		char text[ADDR_TEXT_MAX];

		rng_fill(&rng, a.b, 16);
		for (int k = 0; k < 8; k++)
			if (rng_below(&rng, 2))
				a.b[2 * k] = a.b[2 * k + 1] = 0;
		if (rng_below(&rng, 4) == 0)
			a = addr_v4(a.b[0], a.b[1], a.b[2], a.b[3]);
		addr_text(a, text);
		assert_int_equal(inet_pton(a.family == 4 ? AF_INET : AF_INET6, text, other), 1);
		assert_memory_equal(other, a.b, a.family == 4 ? 4 : 16);
		assert_true(addr_eq(A(text), a));

		/* a random change: never accepted by us alone */
		size_t at = rng_below(&rng, strlen(text));
		text[at] = "0:.af1"[rng_below(&rng, 6)];
		struct addr b;
		if (addr_parse(bytes_str(text), &b) == OK) {
			assert_int_equal(inet_pton(b.family == 4 ? AF_INET : AF_INET6, text, other), 1);
			assert_memory_equal(other, b.b, b.family == 4 ? 4 : 16);
		}
	}
}

static void test_ports_and_prefixes(void **state)
{
	char text[ADDRPORT_TEXT_MAX], ptext[PREFIX_TEXT_MAX];
	struct addrport ap;

	(void)state;
	assert_ok(addrport_parse(BYTES_LIT("1.2.3.4:41641"), &ap));
	assert_string_equal(addrport_text(ap, text), "1.2.3.4:41641");
	assert_ok(addrport_parse(BYTES_LIT("[2001:db8::1]:0"), &ap));
	assert_string_equal(addrport_text(ap, text), "[2001:db8::1]:0");
	assert_string_equal(addrport_text((struct addrport){ 0 }, text), "");
	assert_string_equal(prefix_text(P("10.1.2.3/8"), ptext), "10.1.2.3/8");
	assert_string_equal(prefix_text(prefix_mask(P("10.1.2.3/8")), ptext), "10.0.0.0/8");
	assert_string_equal(prefix_text(prefix_mask(P("10.255.2.3/12")), ptext), "10.240.0.0/12");
	assert_string_equal(prefix_text(prefix_mask(P("10.255.2.3/0")), ptext), "0.0.0.0/0");
	assert_string_equal(prefix_text(prefix_mask(P("ffff::ffff/127")), ptext), "ffff::fffe/127");
	assert_string_equal(prefix_text(P("10.1.2.3"), ptext), "10.1.2.3/32");
	assert_string_equal(prefix_text(P("::1"), ptext), "::1/128");
	assert_string_equal(prefix_text((struct prefix){ 0 }, ptext), "");
}

static void test_sets(void **state)
{
	struct test_rng rng = { 5 };

	(void)state;
	assert_true(prefix_contains(P("10.0.0.0/8"), A("10.255.0.1")));
	assert_false(prefix_contains(P("10.0.0.0/8"), A("11.0.0.1")));
	assert_false(prefix_contains(P("::/0"), A("11.0.0.1")));
	assert_true(prefix_contains(P("0.0.0.0/0"), A("11.0.0.1")));
	assert_true(prefix_contains(P("1.2.3.4/32"), A("1.2.3.4")));
	assert_false(prefix_contains((struct prefix){ 0 }, (struct addr){ 0 }));
	assert_true(prefix_covers(P("10.0.0.0/8"), P("10.1.0.0/16")));
	assert_false(prefix_covers(P("10.1.0.0/16"), P("10.0.0.0/8")));
	assert_true(prefix_overlaps(P("10.1.0.0/16"), P("10.0.0.0/8")));
	assert_false(prefix_overlaps(P("10.1.0.0/16"), P("10.2.0.0/16")));
	assert_true(prefix_cmp(P("10.0.0.0/8"), P("10.0.0.0/9")) < 0);
	assert_true(addr_cmp(A("255.0.0.0"), A("::")) < 0);
	/* bit by bit, the slow way */
	for (int i = 0; i < 5000; i++) {
		struct prefix p = { .addr.family = 6, .bits = (uint8_t)rng_below(&rng, 129) };
		struct addr a;
		bool same = true;

		rng_fill(&rng, p.addr.b, 16);
		a = p.addr;
		size_t flip = rng_below(&rng, 128);
		a.b[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
		same = flip >= p.bits;
		assert_true(prefix_contains(p, a) == same);
		assert_true(addr_eq(prefix_mask(p).addr, prefix_mask((struct prefix){ a, p.bits }).addr) == same);
	}
}

static void test_classes(void **state)
{
	(void)state;
	assert_true(addr_is_tailscale(A("100.64.0.1")));
	assert_true(addr_is_tailscale(A("100.127.255.255")));
	assert_false(addr_is_tailscale(A("100.128.0.0")));
	assert_false(addr_is_tailscale(A("100.63.255.255")));
	assert_false(addr_is_tailscale(A("100.115.92.0")));
	assert_false(addr_is_tailscale(A("100.115.93.255")));
	assert_true(addr_is_tailscale(A("100.115.94.0")));
	assert_true(addr_is_tailscale(A("fd7a:115c:a1e0::1")));
	assert_false(addr_is_tailscale(A("fd7a:115c:a1e1::1")));
	assert_true(addr_is_loopback(A("127.9.9.9")) && addr_is_loopback(A("::1")));
	assert_false(addr_is_loopback(A("128.0.0.1")) || addr_is_loopback(A("::2")) || addr_is_loopback(A("0.0.0.1")));
	assert_true(addr_is_private(A("172.31.0.1")) && addr_is_private(A("fd00::1")) && addr_is_private(A("192.168.1.1")));
	assert_false(addr_is_private(A("172.32.0.1")) || addr_is_private(A("fe00::1")));
	assert_true(addr_is_link_local(A("169.254.1.1")) && addr_is_link_local(A("febf::1")));
	assert_false(addr_is_link_local(A("fec0::1")));
	assert_true(addr_is_multicast(A("224.0.0.1")) && addr_is_multicast(A("ff02::1")) && addr_is_multicast(A("255.255.255.255")));
	assert_true(addr_is_unspecified(A("0.0.0.0")) && addr_is_unspecified(A("::")));
	assert_false(addr_is_unspecified((struct addr){ 0 }));
	assert_true(addr_eq(addr_limit_key(A("2001:db8::1:2:3:4")), A("2001:db8::")));
	assert_true(addr_eq(addr_limit_key(A("::ffff:1.2.3.4")), A("1.2.3.4")));
}

static void test_sockaddr(void **state)
{
	static const char *const texts[] = { "1.2.3.4:5", "[2001:db8::1]:65535" };
	struct sockaddr_storage ss;
	struct addrport ap;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_ok(addrport_parse(bytes_str(texts[i]), &ap));
		assert_int_equal(addrport_to_sockaddr(ap, &ss), i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_true(addrport_eq(addrport_from_sockaddr((struct sockaddr *)&ss), ap));
	}
	assert_ok(addrport_parse(BYTES_LIT("[::ffff:1.2.3.4]:5"), &ap));
	addrport_to_sockaddr(ap, &ss);
	assert_int_equal(addrport_from_sockaddr((struct sockaddr *)&ss).addr.family, 4);
	ss.ss_family = AF_UNIX;
	assert_int_equal(addrport_from_sockaddr((struct sockaddr *)&ss).addr.family, 0);
	assert_int_equal(addrport_to_sockaddr((struct addrport){ 0 }, &ss), 0);
}

static void parse_all(struct bytes in, void *ctx)
{
	struct addr a;
	struct addrport ap;
	struct prefix p;
	char text[ADDRPORT_TEXT_MAX];

	(void)ctx;
	if (addr_parse(in, &a) == OK)
		assert_true(addr_eq(A(addr_text(a, text)), a));
	if (addrport_parse(in, &ap) == OK)
		addrport_text(ap, text);
	if (prefix_parse(in, &p) == OK)
		assert_true(prefix_cmp(P(prefix_text(p, text)), p) == 0);
}

static void test_cut_and_flipped(void **state)
{
	static const char *const seeds[] = { "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "1::2:3/128",
		"[::ffff:1.2.3.4]:65535", "100.64.0.0/10" };

	(void)state;
	for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
		test_torture(bytes_str(seeds[i]), parse_all, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_like_the_kernel),
		cmocka_unit_test(test_ports_and_prefixes),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_cut_and_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
