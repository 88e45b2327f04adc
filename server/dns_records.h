/* dns_records: names with addresses that clients' resolvers answer beside those of nodes (ExtraRecords of DNSConfig), as they
 * come from config.toml, a file, the API or the CLI. */
#pragma once

#include "common/base/arena.h"
#include "server/map/settings.h"

enum { DNS_RECORDS_TEXT_MAX = 2 << 20, DNS_NAME_MAX = 253 };

/* Labels of letters, digits, "-" and "_", joined by single dots. */
bool dns_is_domain(const char *text);
bool dns_is_resolver(const char *text); /* an address with or without a port, or an https:// URL */
bool dns_is_filter(const char *text);	/* a lower-case domain, or one with a dot before it */
/* Is the URL's host this domain or below it? */
bool dns_holds_host(const char *domain, const char *url);
/* Lower case, without a dot at the end; the type that the value has, where none is given. Strings in a. ERR_INVALID: why. */
MUST_USE err dns_record_check(struct dns_record *r, struct arena *a, char *why, size_t why_cap);
/* A JSON list of {"name", "type", "value"}, as Headscale's file has it. Strings in a. ERR_INVALID: why. */
MUST_USE err dns_records_parse(struct bytes text, struct arena *a, char *why, size_t why_cap, const struct dns_record **out, size_t *n);
/* The same from a file. ERR_SYS: it cannot be read; why says so, too. */
MUST_USE err dns_records_read(const char *path, struct arena *a, char *why, size_t why_cap, const struct dns_record **out, size_t *n);
