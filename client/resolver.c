#include "client/resolver.h"

#include <errno.h>
#include <stdlib.h>

#include "client/dns/dns_os.h"
#include "client/dns/dns_server.h"
#include "client/route/route.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"

enum { PORT = 53, SYSTEM_MAX = 8, TEXTS_MAX = DNS_OS_NAMES_MAX };

/* What the machine is told, as a value: a worker thread reads it while the netmap goes on changing. */
struct wish {
	struct dns_os_config c;
	char text[2 * TEXTS_MAX][NM_TEXT_MAX + 1];
	const char *list[2 * TEXTS_MAX];
};

struct resolver {
	struct daemon *d;
	struct dns *dns;
	struct dns_server *server; /* NULL: not running */
	struct addr at;      /* where it listens, or will; family 0: not chosen yet */
	struct addrport system[SYSTEM_MAX];
	size_t n_system;
	bool told, busy, again, orphan; /* orphan: freed while busy */
	struct wish wish;
	err result;
};

static bool is_wanted(const struct resolver *r)
{
	const struct daemon *d = r->d;
	const struct tailcfg_dns_config *c = d->netmap.dns;

	return d->state.prefs.want_running && d->state.prefs.accept_dns && d->netmap.self &&
		(c->proxied || c->n_resolvers || c->n_routes);
}

struct addr resolver_address(struct resolver *r)
{
	const struct addr usual = addr_v4(100, 100, 100, 100), other = addr_v4(100, 100, 100, 101);

	if (!is_wanted(r))
		return (struct addr){ .family = 0 };
	/* Chosen once a run. It may be tailscaled's; both lie in a range that is never given to nodes. */
	if (!r->at.family)
		r->at = route_is_taken(usual, r->d->opts.tun) ? other : usual;
	return r->at;
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

static size_t put_names(const struct nm_node *n, struct dns_name *out, size_t cap)
{
	size_t i = 0;

	for (; *n->name && i < n->n_addresses && i < cap; i++)
		out[i] = (struct dns_name){ n->name, n->addresses[i].addr, true };
	return i;
}

static void set_names(struct resolver *r)
{
	const struct netmap *nm = &r->d->netmap;
	CLEANUP(freep) struct dns_name *list = malloc(DNS_NAMES_MAX * sizeof *list);
	const struct nm_node *p;
	size_t n = 0;

	if (!list)
		return;
	if (nm->dns->proxied && nm->self) {
		n = put_names(nm->self, list, DNS_NAMES_MAX);
		for (size_t at = 0; (p = netmap_next(nm, &at));)
			n += put_names(p, list + n, DNS_NAMES_MAX - n);
	}
	if (dns_set_names(r->dns, list, n) != OK)
		log_warn("the tailnet's names cannot be served", "names=%zu", n);
}

/* ---- the machine --------------------------------------------------------------------------------------------------- */

/* What goes beyond the bound is left out: most of a long list are reverse zones. So are names that cannot be written. */
static void add(struct wish *w, size_t *n, size_t max, size_t from, const char *text)
{
	if (*n >= max || !dns_os_name_ok(text) || bytes_copy(w->text[from + *n], NM_TEXT_MAX, bytes_str(text)) != OK)
		return;
	w->text[from + *n][strlen(text)] = 0;
	w->list[from + *n] = w->text[from + *n];
	++*n;
}

static void make_wish(struct resolver *r)
{
	const struct tailcfg_dns_config *c = r->d->netmap.dns;
	struct wish *w = &r->wish;
	char suffix[NM_TEXT_MAX + 1];
	size_t n_search = 0, n_routes = 0;

	for (size_t i = 0; i < c->n_domains; i++)
		add(w, &n_search, TEXTS_MAX / 2, 0, c->domains[i]);
	if (c->proxied)
		add(w, &n_routes, TEXTS_MAX - n_search, TEXTS_MAX, netmap_suffix(&r->d->netmap, suffix, sizeof suffix));
	for (size_t i = 0; i < c->n_routes; i++)
		add(w, &n_routes, TEXTS_MAX - n_search, TEXTS_MAX, c->routes[i].suffix);
	w->c = (struct dns_os_config){
		.ifname = r->d->opts.tun,
		.resolver = r->at,
		.search = w->list,
		.n_search = n_search,
		.routes = w->list + TEXTS_MAX,
		.n_routes = n_routes,
		.all = c->n_resolvers > 0,
	};
}

static void tell(void *arg)
{
	struct resolver *r = arg;

	r->result = dns_os_apply(&r->wish.c);
}

static void tell_soon(struct resolver *r);

static void was_told(void *arg)
{
	struct resolver *r = arg;

	r->busy = false;
	if (r->orphan || !r->server) { /* stopped meanwhile */
		dns_os_restore(&r->wish.c);
		if (r->orphan)
			free(r);
		return;
	}
	r->told = r->result == OK;
	static struct log_limit limit = LOG_LIMIT(5, 60000);
	if (!r->told && log_allow(&limit))
		log_warn("the machine cannot be told of the resolver", "error=%s", log_qs(err_text(r->result)).s);
	if (r->again)
		tell_soon(r);
}

static void tell_soon(struct resolver *r)
{
	r->again = r->busy;
	if (r->busy)
		return;
	make_wish(r);
	r->busy = loop_work(r->d->loop, tell, was_told, r) == OK;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

err resolver_new(struct daemon *d, struct resolver **out)
{
	struct resolver *r = calloc(1, sizeof *r);

	if (!r)
		return ERR_NOMEM;
	r->d = d;
	err e = dns_new(&r->dns);
	if (e != OK) {
		free(r);
		return e;
	}
	if (dns_os_repair(NULL))
		log_info("resolv.conf was put back", "left_by=%s", "a daemon that was killed");
	*out = r;
	return OK;
}

bool resolver_is_overruled(const struct resolver *r)
{
	return r->told && dns_os_overwritten(NULL);
}

void resolver_stop(struct resolver *r)
{
	r->at = (struct addr){ .family = 0 };
	if (!r->server)
		return;
	dns_server_free(MOVE(r->server));
	if (r->told && !r->busy)
		dns_os_restore(&r->wish.c);
	r->told = false;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	resolver_stop(r);
	dns_free(MOVE(r->dns));
	if (r->busy)
		r->orphan = true; /* its worker's end frees it */
	else
		free(r);
}

/* Our own address where that one cannot be had. */
static err start(struct resolver *r)
{
	struct dns_server_config c = { .loop = r->d->loop, .dns = r->dns, .listen = { resolver_address(r), PORT } };
	size_t n = 0;

	if (dns_os_system(NULL, r->system, SYSTEM_MAX, &r->n_system) != OK)
		r->n_system = 0;
	for (size_t i = 0; i < r->n_system; i++)
		if (!addr_eq(r->system[i].addr, c.listen.addr)) /* left there by someone: it would ask itself */
			r->system[n++] = r->system[i];
	r->n_system = n;
	err e = dns_server_new(&c, &r->server);
	if (e != OK) {
		c.listen.addr = nm_address(r->d->netmap.self, 4);
		e = c.listen.addr.family ? dns_server_new(&c, &r->server) : e;
	}
	r->at = c.listen.addr;
	return e;
}

/* A router in the local network is not to be found behind an exit node. */
static void set_direct(struct resolver *r)
{
	struct addr direct[SYSTEM_MAX] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < r->n_system && *r->d->state.prefs.exit_node; i++)
		if (addr_is_private(r->system[i].addr) || addr_is_link_local(r->system[i].addr))
			direct[n++] = r->system[i].addr;
	dns_server_set_direct(r->server, direct, n, ROUTE_MARK);
}

void resolver_update(struct resolver *r, unsigned what)
{
	bool fresh = !r->server;

	if (!is_wanted(r)) {
		resolver_stop(r);
		return;
	}
	if (fresh && start(r) != OK) {
		log_warn("the resolver cannot listen", "errno=%d", errno);
		return;
	}
	set_direct(r);
	if (fresh || what & (NM_DNS | NM_SELF)) {
		if (dns_set_config(r->dns, r->d->netmap.dns, r->system, r->n_system) != OK)
			log_warn("the DNS configuration cannot be used", "routes=%zu", r->d->netmap.dns->n_routes);
		tell_soon(r);
	}
	if (fresh || what & (NM_PEERS | NM_SELF | NM_DNS))
		set_names(r);
}
