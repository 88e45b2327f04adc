#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/hex.h"
#include "common/text/jsonw.h"
#include "server/api/webhooks.h"
#include "server/core/webhook_words.h"

/* ---- which event a record is ---- */

/* Discord takes 2000 characters a message, and refuses a longer one each time that it is sent again. */
enum { CHAT_TEXT_MAX = 1900 };

struct told {
	const char *type;
	char message[400];
};

static bool has(const char *json, const char *member)
{
	return json && strstr(json, member);
}

#define SAY(word, fmt) (t->type = (word), snprintf(t->message, sizeof t->message, fmt, a->target), true)

static bool node_event(const struct audit_row *a, struct told *t)
{
	if (strcmp(a->action, "create") == 0)
		return has(a->after, "\"approved\":false") ? SAY("nodeNeedsApproval", "Node %.200s needs approval") :
				SAY("nodeCreated", "Node %.200s was created");
	if (strcmp(a->action, "delete") == 0)
		return SAY("nodeDeleted", "Node %.200s was deleted");
	if (strcmp(a->action, "expired") == 0)
		return SAY("nodeKeyExpired", "The key of node %.200s has expired");
	if (strcmp(a->action, "expiring") == 0)
		return SAY("nodeKeyExpiringInOneDay", "The key of node %.200s expires within a day");
	if (has(a->after, "\"keySigned\":true"))
		return SAY("nodeSigned", "The key of node %.200s was signed");
	if (has(a->after, "\"approved\":true"))
		return SAY("nodeApproved", "Node %.200s was approved");
	return has(a->after, "\"approved\":false") && SAY("nodeNeedsApproval", "Node %.200s needs approval");
}

static bool user_event(const struct audit_row *a, struct told *t)
{
	if (strcmp(a->action, "create") == 0)
		return has(a->after, "\"approved\":false") ? SAY("userNeedsApproval", "User %.200s needs approval") :
				SAY("userCreated", "User %.200s was created");
	if (strcmp(a->action, "delete") == 0)
		return SAY("userDeleted", "User %.200s was deleted");
	if (has(a->after, "\"suspended\":\""))
		return SAY("userSuspended", "User %.200s was suspended");
	if (has(a->after, "\"suspended\":null"))
		return SAY("userRestored", "User %.200s was restored");
	if (has(a->after, "\"approved\":true"))
		return SAY("userApproved", "User %.200s was approved");
	return has(a->after, "\"role\":") && SAY("userRoleUpdated", "The role of user %.200s was changed");
}

static bool is_of_itself(const struct webhook_row *hook, const struct audit_row *a)
{
	char own[24];

	snprintf(own, sizeof own, "%lld", (long long)hook->id);
	return strcmp(a->kind, "webhook") == 0 && strcmp(a->target_id, own) == 0;
}

bool webhook_is_own_end(const struct webhook_row *hook, const struct audit_row *a)
{
	return is_of_itself(hook, a) && strcmp(a->action, "delete") == 0;
}

static bool event_of(const struct audit_row *a, const struct webhook_row *hook, struct told *t)
{
	if (strcmp(a->kind, "test") == 0)
		return SAY("test", "This is a test event%.0s");
	if (strcmp(a->kind, "node") == 0)
		return node_event(a, t);
	if (strcmp(a->kind, "user") == 0)
		return user_event(a, t);
	if (strcmp(a->kind, "policy") == 0)
		return SAY("policyUpdate", "The policy of tailnet %.200s was changed");
	if (webhook_is_own_end(hook, a))
		return SAY("webhookDeleted", "The webhook for %.200s was deleted");
	return is_of_itself(hook, a) && strcmp(a->action, "update") == 0 && SAY("webhookUpdated", "The webhook for %.200s was changed");
}

/* ---- what is sent ---- */

static void put_role(struct jsonw *w, const char *key, const char *json)
{
	json_auto_t *v = json_loads(json, 0, NULL);
	const char *role = json_string_value(json_object_get(v, "role"));

	jsonw_key_bytes(w, bytes_str(key)), jsonw_arr(w);
	if (role)
		jsonw_str(w, role);
	jsonw_arr_end(w);
}

static void put_event(struct jsonw *w, const struct audit_row *a, const struct told *t, const char *server_url)
{
	jsonw_obj(w);
	jsonw_key(w, "timestamp"), jsonw_time(w, a->at_ms);
	jsonw_key(w, "version"), jsonw_int(w, 1);
	jsonw_key(w, "type"), jsonw_str(w, t->type);
	jsonw_key(w, "tailnet"), jsonw_str(w, "default");
	jsonw_key(w, "message"), jsonw_str(w, t->message);
	if (strcmp(t->type, "test") != 0) {
		jsonw_key(w, "data"), jsonw_obj(w);
		if (strcmp(a->kind, "node") == 0) {
			jsonw_key(w, "nodeID"), jsonw_str(w, a->target_id);
			jsonw_key(w, "deviceName"), jsonw_str(w, a->target);
		} else if (strcmp(a->kind, "user") == 0) {
			jsonw_key(w, "user"), jsonw_str(w, a->target);
		}
		jsonw_key(w, "actor"), jsonw_str(w, a->actor);
		jsonw_key(w, "url"), jsonw_str(w, server_url);
		if (strcmp(t->type, "userRoleUpdated") == 0) {
			put_role(w, "oldRoles", a->before);
			put_role(w, "newRoles", a->after);
		}
		if (strcmp(t->type, "policyUpdate") == 0) {
			jsonw_key(w, "oldPolicy"), jsonw_str(w, a->before);
			jsonw_key(w, "newPolicy"), jsonw_str(w, a->after);
		}
		jsonw_obj_end(w);
	}
	jsonw_obj_end(w);
}

bool webhook_body(const struct webhook_row *hook, const struct audit_row *rows, size_t n, const char *server_url, struct buf *out)
{
	struct jsonw w = jsonw_init(out);
	CLEANUP(buf_done) struct buf text = buf_make(64 << 10);
	bool chat = hook->provider && hook->provider[0], some = false;
	size_t more = 0;

	if (!chat)
		jsonw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		struct told t = { 0 };
		if (!event_of(&rows[i], hook, &t) || !webhook_wants(hook->subscriptions, t.type))
			continue;
		if (chat && some && buf_view(&text).n + strlen(t.message) + strlen(rows[i].actor) > CHAT_TEXT_MAX)
			more++;
		else if (chat)
			buf_printf(&text, "%s%s (%s)", some ? "\n" : "", t.message, rows[i].actor);
		else
			put_event(&w, &rows[i], &t, server_url);
		some = true;
	}
	if (!chat) {
		jsonw_arr_end(&w);
	} else {
		if (more)
			buf_printf(&text, "\n… %zu more", more);
		jsonw_obj(&w);
		jsonw_key_bytes(&w, bytes_str(strcmp(hook->provider, "discord") == 0 ? "content" : "text"));
		jsonw_bytes(&w, buf_view(&text));
		jsonw_obj_end(&w);
	}
	return some && jsonw_ok(&w);
}

void webhook_sign(const char *secret, int64_t wall_s, struct bytes body, char out[128])
{
	crypto_auth_hmacsha256_state st;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	char hex[2 * sizeof mac + 1], t[32];

	int n = snprintf(t, sizeof t, "%lld.", (long long)wall_s);
	crypto_auth_hmacsha256_init(&st, (const uint8_t *)secret, strlen(secret));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)t, (size_t)n);
	crypto_auth_hmacsha256_update(&st, body.p, body.n);
	crypto_auth_hmacsha256_final(&st, mac);
	hex_encode(bytes_of(mac, sizeof mac), hex);
	snprintf(out, 128, "t=%lld,v1=%s", (long long)wall_s, hex);
}
