#include "server/dns_records.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"

bool dns_is_domain(const char *text)
{
	size_t label = 0, n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '.') {
			if (!label)
				return false;
			label = 0;
		} else if ((!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_') || ++label > 63) {
			return false;
		}
	}
	return label && n <= DNS_NAME_MAX;
}

bool dns_is_resolver(const char *text)
{
	struct addr a;
	struct addrport ap;

	if (addr_parse(bytes_str(text), &a) == OK || addrport_parse(bytes_str(text), &ap) == OK)
		return true;
	if (strncmp(text, "https://", 8) != 0 || !text[8])
		return false;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

bool dns_is_filter(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			return false;
	return dns_is_domain(text + (text[0] == '.'));
}

bool dns_holds_host(const char *domain, const char *url)
{
	const char *at = strstr(url, "://");
	struct bytes base = bytes_str(domain), rest, host;
	struct addr ignored;

	if (!at)
		return false;
	host = bytes_cut(bytes_str(at + 3), '/', &rest);
	if (host.n && host.p[0] == '[') /* an address */
		return false;
	host = bytes_cut(host, ':', &rest);
	if (addr_parse(host, &ignored) == OK || host.n < base.n || !base.n)
		return false;
	bool whole = host.n == base.n || host.p[host.n - base.n - 1] == '.';
	return whole && bytes_eq_nocase(bytes_skip(host, host.n - base.n), base);
}

static err wrong(char *why, size_t why_cap, const char *text)
{
	snprintf(why, why_cap, "%s", text);
	return ERR_INVALID;
}

err dns_record_check(struct dns_record *r, struct arena *a, char *why, size_t why_cap)
{
	struct bytes name = bytes_str(r->name);
	struct addr at;

	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	char *lower = arena_str(a, name);
	if (!lower)
		return ERR_NOMEM;
	for (char *p = lower; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (strchr(lower, '*'))
		return wrong(why, why_cap, "name: clients know no wildcards; give each name its own record");
	if (!dns_is_domain(lower))
		return wrong(why, why_cap, "name must be a domain name");
	bool known = addr_parse(bytes_str(r->value), &at) == OK;
	if (strcmp(r->type, "") == 0 && known)
		r->type = at.family == 4 ? "A" : "AAAA";
	if (strcmp(r->type, "CNAME") == 0)
		return wrong(why, why_cap, "type CNAME: clients take only addresses; give the name the A and AAAA records of its target");
	bool is_a = strcmp(r->type, "A") == 0;
	if (!is_a && strcmp(r->type, "AAAA") != 0)
		return wrong(why, why_cap, "type must be \"A\" or \"AAAA\": clients take no other");
	if (!known || at.family != (is_a ? 4 : 6))
		return wrong(why, why_cap, is_a ? "value must be an IPv4 address" : "value must be an IPv6 address");
	r->name = lower;
	r->type = is_a ? "A" : "AAAA";
	r->value = arena_str(a, bytes_str(r->value));
	return r->value ? OK : ERR_NOMEM;
}

err dns_records_parse(struct bytes text, struct arena *a, char *why, size_t why_cap, const struct dns_record **out, size_t *n)
{
	json_auto_t *root = NULL;
	struct json_why jw = { 0 };
	char fault[200];

	err e = json_parse_why(text, DNS_RECORDS_TEXT_MAX, 8, &root, &jw);
	if (e != OK)
		return wrong(why, why_cap, jw.text);
	struct json_at at = json_root(root, &jw);
	size_t count = json_count(&at, EXTRA_RECORDS_MAX);
	struct dns_record *list = arena_array(a, count + 1, sizeof *list);
	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < count && jw.e == OK; i++) {
		struct json_at item = json_item(&at, i);

		list[i] = (struct dns_record){ json_str(&item, "name", DNS_NAME_MAX + 1), json_str(&item, "type", 16), json_str(&item, "value", 64) };
		if (jw.e != OK)
			break;
		e = dns_record_check(&list[i], a, fault, sizeof fault);
		if (e == ERR_INVALID)
			snprintf(why, why_cap, "record %zu: %s", i + 1, fault);
		TRY(e);
	}
	if (jw.e != OK)
		return wrong(why, why_cap, jw.text);
	*out = list;
	*n = count;
	return OK;
}

err dns_records_read(const char *path, struct arena *a, char *why, size_t why_cap, const struct dns_record **out, size_t *n)
{
	char fault[300];
	FILE *f = fopen(path, "re");

	if (!f) {
		snprintf(why, why_cap, "%s: %s", path, strerror(errno));
		return ERR_SYS;
	}
	char *text = arena_alloc(a, DNS_RECORDS_TEXT_MAX + 1);
	size_t len = text ? fread(text, 1, DNS_RECORDS_TEXT_MAX + 1, f) : 0;
	fclose(f);
	if (!text)
		return ERR_NOMEM;
	if (!len) /* between truncating and writing, too */
		return wrong(why, why_cap, "the file is empty; [] stands for no records");
	err e = dns_records_parse(bytes_of(text, len), a, fault, sizeof fault, out, n);
	if (e == ERR_INVALID)
		snprintf(why, why_cap, "%s: %s", path, fault);
	return e;
}
