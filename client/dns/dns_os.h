/* dns_os: tells the machine to ask our resolver, and takes it back: by systemd-resolved where it runs, else by
 * /etc/resolv.conf, whose former text is kept beside it and put back, also by the next start after a SIGKILL. */
#pragma once

#include "common/net/addr.h"

struct dns_os;

struct dns_os_config {
	const char *ifname;
	struct addr resolver;
	const char *const *search; /* search domains */
	size_t n_search;
	const char *const *routes; /* suffixes that are ours; */
	size_t n_routes;
	bool all;		   /* every name is: otherwise only with systemd-resolved the others stay where they were */
	const char *resolv_conf;   /* NULL: /etc/resolv.conf; tests name another */
};
/* What the system resolved with before us: for dns_config.system. Reads /etc/resolv.conf (or what we saved of it). */
MUST_USE err dns_os_system(const char *resolv_conf, struct addrport *out, size_t cap, size_t *n);
/* Blocks for the run of resolvectl: use loop_work. ERR_SYS: neither way worked. */
MUST_USE err dns_os_apply(const struct dns_os_config *c);
void dns_os_restore(const struct dns_os_config *c);
/* After a crash: puts back a resolv.conf that is still ours. True: it was. */
bool dns_os_repair(const char *resolv_conf);
