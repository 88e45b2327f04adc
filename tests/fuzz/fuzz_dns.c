/* Datagrams to the resolver: as a client's question and as an upstream's answer. */
#include <stdlib.h>

#include "client/dns/dns.h"
#include "client/dns/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dns *make(void)
{
	static const char *const domains[] = { "tail.example.com" };
	static const struct tailcfg_dns_config c = { .proxied = true, .domains = domains, .n_domains = 1 };
	static const struct addrport system = { { 4, { 9, 9, 9, 9 } }, 53 };
	static const struct dns_name names[] = { { "host.tail.example.com", { 4, { 100, 64, 0, 2 } }, true } };
	struct dns *d;

	if (dns_new(&d) != OK || dns_set_config(d, &c, &system, 1) != OK || dns_set_names(d, names, 1) != OK)
		abort();
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns *d;
	static int64_t now_ms;
	const struct dns_client client = { .token = 7 };
	struct dns_question q;
	struct dns_out o;

	if (!d)
		d = make();
	now_ms += 300;
	dns_query(d, &client, bytes_of(data, size), now_ms);
	dns_upstream(d, (struct addrport){ { 4, { 9, 9, 9, 9 } }, 53 }, bytes_of(data, size), now_ms);
	dns_tick(d, now_ms);
	while (dns_pull(d, &o)) {
		/* What we say is a DNS message; to a client it is an answer. */
		err e = dns_parse_question(o.packet, &q);

		if (e == ERR_TRUNCATED || (o.to_client && !dns_is_response(&q)))
			abort();
	}
	return 0;
}
