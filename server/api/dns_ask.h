/* dns_ask: one question each to some name servers at once, over UDP, as a machine of the tailnet would ask them. For who wants to know
 * whether they answer; blocks. */
#pragma once

#include "common/net/addr.h"

enum { DNS_ASK_MAX = 32, DNS_ANSWERS_MAX = 8, DNS_TYPE_A = 1, DNS_TYPE_NS = 2, DNS_TYPE_SOA = 6, DNS_TYPE_AAAA = 28 };

enum dns_verdict {
	DNS_SILENT,	 /* nothing came in time */
	DNS_UNREACHABLE, /* this server has no way there, or nobody listens */
	DNS_UNCHECKED,	 /* not an address that is asked over UDP */
	DNS_ANSWERS,
	DNS_NO_SUCH_NAME, /* it answers: the name is not there */
	DNS_FAILS,	  /* it answers that it cannot or will not */
};

struct dns_question {
	const char *server; /* "1.1.1.1", "[2606::1]:53"; others are not checked */
	const char *name;   /* without a dot at the end; "" the root */
	unsigned type;
	/* the answer */
	enum dns_verdict verdict;
	double ms;
	struct addr answer[DNS_ANSWERS_MAX]; /* of the asked type A or AAAA */
	size_t n_answers;
};

bool dns_server_addr(const char *server, struct addrport *out);
void dns_ask(struct dns_question *q, size_t n, int timeout_ms); /* n: at most DNS_ASK_MAX */

/* Reads an answer to what was asked with this id into q. false: it is none. */
bool dns_read_answer(struct dns_question *q, uint16_t id, struct bytes packet);
/* The question as a packet. 0: the name cannot be asked. */
size_t dns_write_question(const struct dns_question *q, uint16_t id, uint8_t *out, size_t cap);
