/* message: DNS messages as far as a small resolver must know them: one question in, addresses or a name out. RFC 1035. */
#pragma once

#include "common/base/writer.h"
#include "common/net/addr.h"

enum { DNS_HEADER_LEN = 12, DNS_NAME_MAX = 254 };
enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41 };
enum dns_rcode { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };

struct dns_question {
	uint16_t id, flags, type, class_;
	char name[DNS_NAME_MAX + 1]; /* lower case, dots between labels, none at the end; "" is the root */
	struct bytes raw;	     /* the question section as it came, borrowed */
	uint16_t udp_max;	     /* what the sender takes: 512, or what its EDNS record says */
	bool edns;
};

/* A query or an answer, up to its question. ERR_MALFORMED: not one question with a plain name (no dots, zeros or
 * compression in labels). ERR_TRUNCATED: not even a header: drop it. *id is set unless that. */
MUST_USE err dns_parse_question(struct bytes packet, struct dns_question *out);
static inline bool dns_is_response(const struct dns_question *q)
{
	return q->flags & 0x8000;
}

/* An answer begins with its header and the question; counts are filled in by dns_answer_end. */
void dns_answer_begin(struct writer *w, const struct dns_question *q, enum dns_rcode rcode);
void dns_answer_addr(struct writer *w, struct addr a, uint32_t ttl_s);
void dns_answer_ptr(struct writer *w, const char *name, uint32_t ttl_s);
/* n: answers written. What does not fit in max becomes a truncated answer without any. */
void dns_answer_end(struct writer *w, const struct dns_question *q, unsigned n, size_t max);

/* The address in "4.3.2.1.in-addr.arpa" or a whole "….ip6.arpa" name. False: not such a name. */
bool dns_reverse_addr(const char *name, struct addr *out);
