#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "server/map/encode.h"

enum {
	OWN_TEXT = MAP_BLOCK * 1024,
	CAPVER_PINS_CERTS = 116, /* v1.84 for certain: CertName "sha256-raw:…" (tailscale@7fac0175c net/tlsdial) */
};

bool map_pins_certs(int capver)
{
	return capver == 0 || capver >= CAPVER_PINS_CERTS;
}

static bool is_pinned(const struct tailcfg_derp_node *n)
{
	return n->cert_name && strncmp(n->cert_name, "sha256-raw:", 11) == 0;
}

/* Older clients take a pin for a name and never reach such a relay. They get it without a check: what goes through a relay is
 * sealed end to end, and no relay at all costs them 5 s and more at each first contact. */
void derp_write(struct jsonw *w, const struct tailcfg_derp_map *m, int capver)
{
	CLEANUP(arena_done) struct arena a = arena_make(TAILCFG_DERP_MAP_MAX * 4);
	struct tailcfg_derp_map old = *m;

	if (map_pins_certs(capver)) {
		tailcfg_derp_map_write(w, m);
		return;
	}
	old.regions = arena_array(&a, m->n_regions, sizeof *old.regions);
	for (size_t i = 0; i < m->n_regions && old.regions; i++) {
		struct tailcfg_derp_region *r = &old.regions[i];

		*r = m->regions[i];
		r->nodes = arena_array(&a, r->n_nodes, sizeof *r->nodes);
		if (!r->nodes) {
			old.regions = NULL;
			break;
		}
		for (size_t k = 0; k < r->n_nodes; k++) {
			r->nodes[k] = m->regions[i].nodes[k];
			if (is_pinned(&r->nodes[k])) {
				r->nodes[k].cert_name = "";
				r->nodes[k].insecure_for_tests = true;
			}
		}
	}
	tailcfg_derp_map_write(w, old.regions || !m->n_regions ? &old : m);
}

/* "DERPMap":…,"DNSConfig":…, the same for all clients of an age: text that viewers share. */
static struct part *settings_part(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer)
{
	const struct core_settings *set = t->set;
	struct buf text = buf_make(MAP_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	w.comma = true;
	if (set->derp_map)
		jsonw_key(&w, "DERPMap"), derp_write(&w, set->derp_map, viewer->row->capver);
	jsonw_key(&w, "DNSConfig"), dns_write(&w, t, viewer);
	jsonw_key(&w, "Domain"), jsonw_str(&w, set->domain && set->domain[0] ? set->domain : set->base_domain);
	jsonw_key(&w, "CollectServices"), jsonw_bool(&w, false);
	if (!set->logtail) { /* or clients upload their logs to the vendor */
		jsonw_key(&w, "Debug"), jsonw_obj(&w);
		jsonw_key(&w, "DisableLogTail"), jsonw_bool(&w, true);
		jsonw_obj_end(&w);
	}
	jsonw_key(&w, "ClientVersion"), jsonw_obj(&w);
	jsonw_key(&w, "RunningLatest"), jsonw_bool(&w, true);
	jsonw_obj_end(&w);
	return cache_intern(c, &text);
}

static struct part *profiles_part(struct map_cache *c, const struct map_tailnet *t, struct id_set *users)
{
	struct buf text = buf_make(MAP_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	id_set_sort(users);
	w.comma = true;
	jsonw_key(&w, "UserProfiles"), jsonw_arr(&w);
	for (size_t i = 0; i < users->n; i++)
		profile_write(&w, t, users->id[i]);
	jsonw_arr_end(&w);
	return cache_intern(c, &text);
}

static void add_shared(struct composer *m, struct part *p)
{
	if (p)
		compose_part(m, p);
	else
		m->bad = true;
	part_unref(p);
}

/* The peers that it sees; nothing when it sees none, for an empty list reads as "unchanged" anyway (T19). */
static err add_peers(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, struct slots *told,
		     struct id_set *users, struct composer *m)
{
	CLEANUP(visible_done) struct visible seen = { 0 };
	size_t before = m->text.end;
	struct jsonw w = jsonw_init(&m->text);

	w.comma = true;
	jsonw_key(&w, "Peers"), jsonw_arr(&w);
	size_t open = m->text.end;
	TRY(blocks_write(c, t, viewer, &w, told, users, &seen));
	if (m->text.end == open) {
		m->text.end = before;
		return OK;
	}
	for (size_t i = 0; i < seen.n_whole; i++)
		compose_part(m, seen.whole[i]);
	buf_append_u8(&m->text, ']');
	return OK;
}

static err build(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, int64_t wall_ms,
		 struct slots *told, struct policy_filter *filters, size_t *n_filters, struct composer *m,
		 struct id_set *users)
{
	struct jsonw w = jsonw_init(&m->text);
	struct bytes ssh = policy_view_ssh(t->policy, viewer->row->id);

	buf_reserve(&m->text, OWN_TEXT); /* so that it need not grow in steps */
	jsonw_obj(&w);
	jsonw_key(&w, "Node"), self_write(&w, t, viewer);
	messages_write(&w, viewer); /* always: this may not be the stream's first full map */
	id_set_add(users, viewer->user_id);
	if (viewer->announced)
		TRY(add_peers(c, t, viewer, told, users, m));
	add_shared(m, profiles_part(c, t, users));
	add_shared(m, settings_part(c, t, viewer));

	*n_filters = policy_view_filters(t->policy, viewer->row->id, filters);
	jsonw_key(&w, "PacketFilters");
	compose_filters(m, filters, *n_filters, true);
	w.comma = true;
	lock_write(&w, t);
	if (ssh.n)
		jsonw_key(&w, "SSHPolicy"), jsonw_raw(&w, ssh);
	jsonw_key(&w, "ControlTime"), jsonw_time(&w, wall_ms);
	jsonw_obj_end(&w);
	return users->bad ? ERR_NOMEM : OK;
}

err map_full(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, int64_t wall_ms,
	     struct slots *told, struct policy_filter filters[POLICY_FILTERS_MAX], size_t *n_filters, struct map_msg **out)
{
	CLEANUP(composer_done) struct composer m = composer_make();
	CLEANUP(id_set_done) struct id_set users = { 0 };
	size_t n;

	if (told->n)
		memset(told->w, 0, told->n * sizeof *told->w);
	TRY(build(c, t, viewer, wall_ms, told, filters, &n, &m, &users));
	TRY(compose_msg(&m, out));
	*n_filters = n;
	return OK;
}

/* ---- a node that is no more ---- */

enum { LONG_AGO_MS = 24 * 3600 * 1000 };

static void write_gone_node(struct jsonw *w, const struct core_settings *set, const struct node_pub *key,
			    const struct machine_pub *machine, const struct disco_pub *disco, int64_t wall_ms)
{
	jsonw_obj(w);
	jsonw_key(w, "ID"), jsonw_int(w, 1);
	jsonw_key(w, "StableID"), jsonw_str(w, "gone");
	CLEANUP(arena_done) struct arena a = arena_make(4096);
	jsonw_key(w, "Name"), jsonw_str(w, map_fqdn(&a, set, "removed"));
	jsonw_key(w, "User"), jsonw_int(w, TAGGED_USER_ID);
	jsonw_key(w, "Key"), jsonw_hex(w, "nodekey:", bytes_of(key->b, 32));
	jsonw_key(w, "KeyExpiry"), jsonw_time(w, wall_ms - LONG_AGO_MS);
	jsonw_key(w, "Machine"), jsonw_hex(w, "mkey:", bytes_of(machine->b, 32));
	if (!disco_pub_is_zero(disco))
		jsonw_key(w, "DiscoKey"), jsonw_hex(w, "discokey:", bytes_of(disco->b, 32));
	jsonw_key(w, "Addresses"), jsonw_arr(w);
	jsonw_str(w, "100.64.0.1/32");
	jsonw_arr_end(w);
	jsonw_key(w, "AllowedIPs"), jsonw_arr(w);
	jsonw_str(w, "100.64.0.1/32");
	jsonw_arr_end(w);
	jsonw_key(w, "Hostinfo"), jsonw_obj(w);
	jsonw_obj_end(w);
	jsonw_key(w, "MachineAuthorized"), jsonw_bool(w, true);
	jsonw_key(w, "Online"), jsonw_bool(w, false);
	jsonw_key(w, "Expired"), jsonw_bool(w, true);
	jsonw_obj_end(w);
}

err map_gone_msg(const struct map_tailnet *t, const struct node_pub *key, const struct machine_pub *machine,
		 const struct disco_pub *disco, int64_t wall_ms, struct map_msg **out)
{
	CLEANUP(composer_done) struct composer m = composer_make();
	struct jsonw w = jsonw_init(&m.text);

	jsonw_obj(&w);
	jsonw_key(&w, "Node"), write_gone_node(&w, t->set, key, machine, disco, wall_ms);
	jsonw_key(&w, "UserProfiles"), jsonw_arr(&w);
	profile_write(&w, t, TAGGED_USER_ID);
	jsonw_arr_end(&w);
	if (t->set->derp_map) /* an empty one would leave the client in "Starting" after its next login */
		jsonw_key(&w, "DERPMap"), tailcfg_derp_map_write(&w, t->set->derp_map);
	jsonw_key(&w, "Domain"), jsonw_str(&w, t->set->domain && t->set->domain[0] ? t->set->domain : t->set->base_domain);
	jsonw_key(&w, "PacketFilters"), jsonw_obj(&w);
	jsonw_key(&w, "base"), jsonw_arr(&w);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	jsonw_key(&w, "ControlTime"), jsonw_time(&w, wall_ms);
	jsonw_obj_end(&w);
	return compose_msg(&m, out);
}

static uint64_t hash_text(struct buf *b)
{
	uint64_t h = b->bad ? 0 : map_hash(buf_view(b).p, buf_len(b));

	buf_done(b);
	return h;
}

uint64_t map_dns_hash(const struct core_settings *set)
{
	struct buf b = buf_make(MAP_TEXT_MAX);
	struct jsonw w = jsonw_init(&b);

	dns_write(&w, &(struct map_tailnet){ .set = set }, NULL);
	return hash_text(&b);
}

uint64_t map_derp_hash(const struct core_settings *set)
{
	struct buf b = buf_make(MAP_TEXT_MAX);
	struct jsonw w = jsonw_init(&b);

	if (set->derp_map)
		tailcfg_derp_map_write(&w, set->derp_map);
	return hash_text(&b);
}
