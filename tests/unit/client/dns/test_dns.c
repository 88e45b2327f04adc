/* The resolver: names of the tailnet both ways, routes, upstreams that fail, lie or send too much. */
#include "client/dns/dns.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/dns/message.h"
#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "tests/lib/test.h"

static const struct dns_client client = { .addr = { { 4, { 127, 0, 0, 1 } }, 999 }, .token = 42 };

static struct addr at(const char *text)
{
	struct addr a;

	assert_ok(addr_parse(bytes_str(text), &a));
	return a;
}
static struct addrport port53(const char *text)
{
	return (struct addrport){ at(text), 53 };
}

/* A query; edns 0: none. */
static struct bytes query(const char *name, uint16_t type, uint16_t edns)
{
	uint8_t b[600];
	struct writer w = wr_init(b, sizeof b);
	struct bytes rest = bytes_str(name);

	wr_u16be(&w, 0x1234);
	wr_u16be(&w, 0x0100);
	wr_u16be(&w, 1);
	wr_u32be(&w, 0);
	wr_u16be(&w, edns ? 1 : 0);
	while (rest.n) {
		struct bytes label = bytes_cut(rest, '.', &rest);

		wr_u8(&w, (uint8_t)label.n);
		wr_bytes(&w, label);
	}
	wr_u8(&w, 0);
	wr_u16be(&w, type);
	wr_u16be(&w, 1);
	if (edns) {
		wr_u8(&w, 0);
		wr_u16be(&w, DNS_OPT);
		wr_u16be(&w, edns);
		wr_u32be(&w, 0);
		wr_u16be(&w, 0);
	}
	assert_false(w.bad);
	return test_exact(wr_view(&w));
}

struct answer {
	unsigned rcode, n;
	bool truncated;
	struct addr first;
	size_t len;
};
static struct answer read_answer(struct bytes b)
{
	struct dns_question q;
	struct answer a = { .len = b.n };

	assert_ok(dns_parse_question(b, &q));
	assert_true(dns_is_response(&q));
	assert_int_equal(q.id, 0x1234);
	a.rcode = q.flags & 15;
	a.truncated = q.flags & 0x0200;
	struct reader r = rd_init(bytes_skip(b, 6));
	a.n = rd_u16be(&r);
	r = rd_init(bytes_skip(b, 12 + q.raw.n));
	if (a.n) {
		assert_int_equal(rd_u16be(&r), 0xc00c);
		uint16_t type = rd_u16be(&r);
		rd_take(&r, 6);
		uint16_t n = rd_u16be(&r);
		if (type == DNS_A || type == DNS_AAAA) {
			assert_int_equal(n, type == DNS_A ? 4 : 16);
			a.first.family = type == DNS_A ? 4 : 6;
			rd_copy(&r, a.first.b, n);
		}
	}
	return a;
}
static struct answer ask(struct dns *d, const char *name, uint16_t type)
{
	struct bytes b = query(name, type, 0);
	struct dns_out o;

	dns_query(d, &client, b, 1000);
	test_exact_free(b);
	assert_true(dns_pull(d, &o));
	assert_true(o.to_client);
	assert_int_equal(o.client.token, 42);
	return read_answer(o.packet);
}
/* The upstream that it goes to. */
static struct addrport asks(struct dns *d, const char *name)
{
	struct bytes b = query(name, DNS_A, 0);
	struct dns_out o;

	dns_query(d, &client, b, 1000);
	test_exact_free(b);
	assert_true(dns_pull(d, &o));
	assert_false(o.to_client);
	return o.upstream;
}

static struct dns *make(void)
{
	static const struct tailcfg_resolver corp = { .addr = "10.0.0.53" }, deep = { .addr = "10.0.0.54:5353" },
					     doh = { .addr = "https://dns.example/" };
	static const struct tailcfg_dns_route routes[] = { { "corp.example.com", &corp, 1 }, { "a.corp.example.com.", &deep, 1 },
		{ "here.example.com", NULL, 0 }, { "doh.example.com", &doh, 1 } };
	static const char *const domains[] = { "tail.example.com" };
	static const struct tailcfg_dns_record extra[] = { { "Printer.corp.example.com", "A", "192.168.1.9" }, { "bad", "", "x" } };
	const struct tailcfg_dns_config c = { .proxied = true, .routes = routes, .n_routes = 4, .domains = domains, .n_domains = 1,
		.extra_records = extra, .n_extra_records = 2 };
	const struct dns_name names[] = { { "Host.tail.example.com.", at("100.64.0.2"), true },
		{ "host.tail.example.com.", at("fd7a:115c:a1e0::2"), true }, { "two.tail.example.com", at("100.64.0.3"), true } };
	const struct addrport system[] = { port53("100.100.100.100"), port53("9.9.9.9"), port53("9.9.9.10") };
	struct dns *d;

	assert_ok(dns_new(&d));
	assert_ok(dns_set_config(d, &c, system, 3));
	assert_ok(dns_set_names(d, names, 3));
	return d;
}

static void test_names(void **state)
{
	struct dns *d = make();

	(void)state;
	struct answer a = ask(d, "HOST.tail.Example.com", DNS_A);
	assert_int_equal(a.n, 1);
	assert_true(addr_eq(a.first, at("100.64.0.2")));
	a = ask(d, "host.tail.example.com", DNS_AAAA);
	assert_true(addr_eq(a.first, at("fd7a:115c:a1e0::2")));
	a = ask(d, "two.tail.example.com", DNS_AAAA);
	assert_true(a.n == 0 && a.rcode == DNS_NOERROR);
	a = ask(d, "host.tail.example.com", 16);
	assert_true(a.n == 0 && a.rcode == DNS_NOERROR);
	a = ask(d, "three.tail.example.com", DNS_A);
	assert_int_equal(a.rcode, DNS_NXDOMAIN);
	a = ask(d, "2.0.64.100.in-addr.arpa", DNS_PTR);
	assert_int_equal(a.n, 1);
	a = ask(d, "9.0.64.100.in-addr.arpa", DNS_PTR);
	assert_int_equal(a.rcode, DNS_NXDOMAIN);
	a = ask(d, "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa", DNS_PTR);
	assert_int_equal(a.n, 1);
	a = ask(d, "printer.corp.example.com", DNS_A);
	assert_true(addr_eq(a.first, at("192.168.1.9")));
	dns_free(d);
}

static void test_reverse(void **state)
{
	struct addr a;

	(void)state;
	assert_true(dns_reverse_addr("4.3.2.1.in-addr.arpa", &a));
	assert_true(addr_eq(a, at("1.2.3.4")));
	assert_false(dns_reverse_addr("3.2.1.in-addr.arpa", &a));
	assert_false(dns_reverse_addr("5.4.3.2.1.in-addr.arpa", &a));
	assert_false(dns_reverse_addr("256.3.2.1.in-addr.arpa", &a));
	assert_false(dns_reverse_addr("in-addr.arpa", &a));
	char name[80];
	size_t n = 0;
	for (int i = 15; i >= 0; i--) {
		struct addr x = at("fd7a:115c:a1e0::2");

		n += (size_t)snprintf(name + n, sizeof name - n, "%x.%x.", x.b[i] & 15, x.b[i] >> 4);
	}
	snprintf(name + n, sizeof name - n, "ip6.arpa");
	assert_true(dns_reverse_addr(name, &a));
	assert_true(addr_eq(a, at("fd7a:115c:a1e0::2")));
}

static void test_routes(void **state)
{
	struct dns *d = make();

	(void)state;
	assert_true(addrport_eq(asks(d, "www.corp.example.com"), port53("10.0.0.53")));
	assert_true(addrport_eq(asks(d, "corp.example.com"), port53("10.0.0.53")));
	assert_true(addrport_eq(asks(d, "x.a.corp.example.com"), (struct addrport){ at("10.0.0.54"), 5353 }));
	assert_true(addrport_eq(asks(d, "notcorp.example.com"), port53("9.9.9.9")));
	assert_true(addrport_eq(asks(d, "www.doh.example.com"), port53("9.9.9.9")));
	assert_true(addrport_eq(asks(d, "4.4.8.8.in-addr.arpa"), port53("9.9.9.9")));
	assert_int_equal(ask(d, "x.here.example.com", DNS_A).rcode, DNS_NXDOMAIN);
	dns_free(d);
}

static void test_upstream(void **state)
{
	struct dns *d = make();
	struct bytes b = query("www.example.org", DNS_A, 0);
	uint8_t reply[2000], big[2000];
	struct dns_out o;

	(void)state;
	dns_query(d, &client, b, 1000);
	assert_true(dns_pull(d, &o));
	memcpy(reply, o.packet.p, o.packet.n);
	size_t n = o.packet.n;
	reply[2] |= 0x80;
	/* From elsewhere, with another id, with another question: not it. */
	dns_upstream(d, port53("6.6.6.6"), bytes_of(reply, n), 1100);
	dns_upstream(d, port53("9.9.9.10"), bytes_of(reply, n), 1100); /* not asked yet */
	reply[0] ^= 1;
	dns_upstream(d, port53("9.9.9.9"), bytes_of(reply, n), 1100);
	reply[0] ^= 1;
	reply[13] ^= 1;
	dns_upstream(d, port53("9.9.9.9"), bytes_of(reply, n), 1100);
	reply[13] ^= 1;
	assert_false(dns_pull(d, &o));
	/* Silence: the next one is asked, then the first again. */
	assert_int_equal(dns_due_ms(d), 1000 + DNS_TRY_MS);
	dns_tick(d, 1000 + DNS_TRY_MS);
	assert_true(dns_pull(d, &o));
	assert_true(addrport_eq(o.upstream, port53("9.9.9.10")));
	dns_upstream(d, port53("9.9.9.9"), bytes_of(reply, n), 2300);
	assert_true(dns_pull(d, &o));
	assert_true(o.to_client);
	assert_int_equal(read_answer(o.packet).rcode, DNS_NOERROR);
	assert_int_equal(dns_due_ms(d), INT64_MAX);
	/* Once only. */
	dns_upstream(d, port53("9.9.9.9"), bytes_of(reply, n), 2300);
	assert_false(dns_pull(d, &o));

	/* More than the client takes. */
	dns_query(d, &client, b, 1000);
	assert_true(dns_pull(d, &o));
	memset(big, 0, sizeof big);
	memcpy(big, o.packet.p, o.packet.n);
	big[2] |= 0x80;
	dns_upstream(d, port53("9.9.9.9"), bytes_of(big, 1500), 1100);
	assert_true(dns_pull(d, &o));
	struct answer a = read_answer(o.packet);
	assert_true(a.truncated && a.len <= 512);

	/* Nobody answers. */
	dns_query(d, &client, b, 1000);
	dns_tick(d, 1000 + DNS_TIMEOUT_MS);
	assert_true(dns_pull(d, &o) && !o.to_client);
	assert_true(dns_pull(d, &o) && o.to_client);
	assert_int_equal(read_answer(o.packet).rcode, DNS_SERVFAIL);

	/* A flood: DNS_PENDING_MAX wait, the others are told at once. */
	unsigned refused = 0;
	for (int i = 0; i < DNS_PENDING_MAX + 100; i++) {
		dns_query(d, &client, b, 9000);
		while (dns_pull(d, &o))
			refused += o.to_client;
	}
	assert_int_equal(refused, 100);
	test_exact_free(b);
	dns_free(d);
}

static void feed(struct bytes in, void *ctx)
{
	struct dns_out o;

	dns_query(ctx, &client, in, 1000);
	dns_upstream(ctx, port53("9.9.9.9"), in, 1000);
	while (dns_pull(ctx, &o))
		;
}
static void test_malformed(void **state)
{
	struct dns *d = make();
	struct bytes b = query("host.tail.example.com", DNS_A, 1232);
	struct dns_out o;

	(void)state;
	test_torture(b, feed, d);
	dns_tick(d, 100000);
	while (dns_pull(d, &o))
		;
	dns_query(d, &client, bytes_first(b, 11), 1000); /* no header */
	assert_false(dns_pull(d, &o));
	dns_query(d, &client, bytes_first(b, 20), 1000); /* no whole question */
	assert_true(dns_pull(d, &o));
	assert_int_equal(o.packet.p[3] & 15, DNS_FORMERR);
	test_exact_free(b);
	dns_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_upstream),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
