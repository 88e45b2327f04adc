/* dns_os: tells the machine to ask our resolver, and takes it back: by systemd-resolved where it runs, else by
 * /etc/resolv.conf, whose former self is kept beside it as resolv.conf.before-fairlead and put back, also by the next
 * start after a SIGKILL. Functions run programs or touch files: off the loop by loop_work. */
#pragma once

#include "common/net/addr.h"

enum { DNS_OS_NAMES_MAX = 160 /* search domains and routes together; Headscale sends 66 reverse zones */ };

/* A name that may go into a file or an argument. */
bool dns_os_name_ok(const char *name);

struct dns_os_config {
	const char *ifname;
	struct addr resolver;
	const char *const *search; /* search domains */
	size_t n_search;
	const char *const *routes; /* suffixes that are ours, reverse ones too */
	size_t n_routes;
	bool all; /* every name is ours. Otherwise, with systemd-resolved, others stay where they were; resolv.conf knows no
		   * such thing: all come to us, and dns.h forwards them to dns_os_system */
	const char *resolv_conf; /* NULL: /etc/resolv.conf, and systemd-resolved is tried first; tests name a file */
};
/* What the system resolved with before us: for dns_set_config. ERR_SYS: no such file. */
MUST_USE err dns_os_system(const char *resolv_conf, struct addrport *out, size_t cap, size_t *n);
/* ERR_SYS: neither way worked (see errno). ERR_INVALID: a name that must not be written. */
MUST_USE err dns_os_apply(const struct dns_os_config *c);
void dns_os_restore(const struct dns_os_config *c);
/* After a crash: puts back what was saved where resolv.conf is still ours, or is missing. True: it was. */
bool dns_os_repair(const char *resolv_conf);
/* Ours was put there, and another program has written over it since. */
bool dns_os_overwritten(const char *resolv_conf);
