#include <stdio.h>
#include <strings.h>

#include "server/map/encode.h"

/* App connectors as other devices hear of them: names of an app are asked of a connector, which resolves them, announces routes to
 * the addresses that it found, and so gets the traffic (protocol/control.md 8.10). A viewer is told of those connectors alone that
 * it sees, and that would answer it. */

enum { ASKED_MAX = 4 }; /* connectors of one app that a client asks: it asks all at once and takes the first answer */

static uint16_t peer_api(const struct map_node *n, const char *proto)
{
	for (size_t i = 0; i < n->hi->n_services; i++)
		if (strcmp(n->hi->services[i].proto, proto) == 0)
			return n->hi->services[i].port;
	return 0;
}

/* "http://100.64.0.2:4242/dns-query" ; false: nothing is to be asked there. */
static bool resolver_of(const struct map_node *n, char *out, size_t cap)
{
	char text[ADDR_TEXT_MAX];
	uint16_t v4 = n->row->v4.family ? peer_api(n, "peerapi4") : 0, v6 = n->row->v6.family ? peer_api(n, "peerapi6") : 0;

	if (v4)
		snprintf(out, cap, "http://%s:%u/dns-query", addr_text(n->row->v4, text), v4);
	else if (v6)
		snprintf(out, cap, "http://[%s]:%u/dns-query", addr_text(n->row->v6, text), v6);
	return v4 || v6;
}

static bool is_split(const struct map_tailnet *t, const char *domain)
{
	for (size_t i = 0; i < t->set->n_split; i++) {
		const char *other = t->set->split[i].domain;

		while (*other == '.')
			other++;
		if (strcasecmp(other, domain) == 0)
			return true;
	}
	return false;
}

static bool names_domain(const struct policy_app *app, size_t n, const char *domain)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(app->domains[i], domain) == 0)
			return true;
	return false;
}

/* An app before it, or this one, has it already. */
static bool is_known(const struct map_tailnet *t, size_t app, size_t domain)
{
	const char *text = t->apps[app].domains[domain];

	for (size_t i = 0; i < app; i++)
		if (names_domain(&t->apps[i], t->apps[i].n_domains, text))
			return true;
	return names_domain(&t->apps[app], domain, text);
}

static bool answers(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *n, const char *domain)
{
	for (size_t i = 0; i < t->n_apps; i++)
		if (names_domain(&t->apps[i], t->apps[i].n_domains, domain) && policy_app_has(&t->apps[i], n->row->tags, n->row->n_tags))
			return n->announced && !n->expired && policy_view_may_ask(t->policy, viewer->row->id, n->row->id);
	return false;
}

/* A connector of the app asks for itself. */
static bool is_connector(const struct map_tailnet *t, const struct map_node *viewer)
{
	for (size_t i = 0; i < t->n_connectors; i++)
		if (t->connectors[i] == viewer)
			return true;
	return false;
}

void apps_write_routes(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer)
{
	char text[ADDR_TEXT_MAX + 40];

	if (!viewer || !viewer->announced || !t->policy || !t->n_connectors || is_connector(t, viewer))
		return;
	for (size_t i = 0; i < t->n_apps; i++)
		for (size_t k = 0; k < t->apps[i].n_domains; k++) {
			const char *domain = t->apps[i].domains[k];
			size_t asked = 0;

			if (is_known(t, i, k) || is_split(t, domain))
				continue;
			for (size_t j = 0; j < t->n_connectors && asked < ASKED_MAX; j++) {
				const struct map_node *n = t->connectors[j];

				if (!answers(t, viewer, n, domain) || !resolver_of(n, text, sizeof text))
					continue;
				if (!asked++)
					jsonw_key_bytes(w, bytes_str(domain)), jsonw_arr(w);
				tailcfg_resolver_write(w, &(struct tailcfg_resolver){ .addr = text });
			}
			if (asked)
				jsonw_arr_end(w);
		}
}
