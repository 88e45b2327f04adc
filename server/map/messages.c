#include "common/base/map.h"
#include "server/map/encode.h"

uint64_t map_message_hash(const struct map_node *n)
{
	const struct map_message *m = n->message;
	uint64_t part[2] = { m ? map_hash(m->id, strlen(m->id)) : 0, m ? map_hash(m->text, strlen(m->text)) : 0 };

	return m ? map_hash(part, sizeof part) : 0;
}

static void write_message(struct jsonw *w, const struct map_message *m)
{
	jsonw_key_bytes(w, bytes_str(m->id)), jsonw_obj(w);
	jsonw_key(w, "Title"), jsonw_str(w, m->title);
	jsonw_key(w, "Text"), jsonw_str(w, m->text);
	jsonw_key(w, "Severity"), jsonw_str(w, m->severity);
	if (m->impacts)
		jsonw_key(w, "ImpactsConnectivity"), jsonw_bool(w, true);
	jsonw_obj_end(w);
}

void messages_write(struct jsonw *w, const struct map_node *n)
{
	const struct map_message *m = n->message;

	jsonw_key(w, "DisplayMessages"), jsonw_obj(w);
	jsonw_key(w, "*"), jsonw_null(w);
	if (m)
		write_message(w, m);
	jsonw_obj_end(w);
	/* Clients before capability version 117 know only this; the others leave it aside when they have messages. */
	jsonw_key(w, "Health"), jsonw_arr(w);
	if (m)
		jsonw_str(w, m->text);
	jsonw_arr_end(w);
}
