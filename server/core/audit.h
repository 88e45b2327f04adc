/* audit: what a change looked like, for the log of who did what. Used by server/core only.
 *
 * core_commit asks audit_of for each row that the event touched: the image before it and the row as it is now. What differs
 * becomes one record, written in the same transaction. audit_fields.c has the list of what is recorded of each kind of row;
 * secrets and their hashes are none of it, nor are lazy columns. */
#pragma once

#include "common/base/arena.h"
#include "server/store/rows.h"

enum {
	AUDIT_FIELDS_MAX = 40,
	AUDIT_VALUE_MAX = 4096,	  /* bytes of one member; longer ones are cut and say so */
	AUDIT_SIDE_MAX = 60000,   /* bytes of before or after */
	AUDIT_EVENT_MAX = 1024,   /* records of one event; the last one then says how many more rows changed */
	AUDIT_ID_BLOCK = 1024,
	AUDIT_TRIM_MS = 60000,
};

struct audit_fields {
	struct arena a; /* owns the values */
	struct {
		const char *name;
		struct bytes value; /* JSON */
	} f[AUDIT_FIELDS_MAX];
	size_t n;
	bool failed; /* out of memory */
};

void audit_fields_user(struct audit_fields *f, const struct user_row *r);
void audit_fields_node(struct audit_fields *f, const struct node_row *r);
void audit_fields_authkey(struct audit_fields *f, const struct authkey_row *r);
void audit_fields_apikey(struct audit_fields *f, const struct apikey_row *r);
void audit_fields_webhook(struct audit_fields *f, const struct webhook_row *r);
void audit_fields_policy(struct audit_fields *f, const struct policy_row *r);
void audit_fields_service(struct audit_fields *f, const struct service_row *r);
void audit_fields_setting(struct audit_fields *f, const struct setting_row *r);
void audit_fields_identity(struct audit_fields *f, const struct identity_row *r);
void audit_fields_account(struct audit_fields *f, const struct account_row *r);
void audit_fields_wish(struct audit_fields *f, const struct wish_row *r);
void audit_fields_passkey(struct audit_fields *f, const struct passkey_row *r);
void audit_fields_signin(struct audit_fields *f, const struct signin_row *r);
void audit_fields_pending(struct audit_fields *f, const struct pending_row *r);

/* For those that write further kinds. */
void audit_put_text(struct audit_fields *f, const char *name, const char *v);
void audit_put_int(struct audit_fields *f, const char *name, int64_t v);
void audit_put_id(struct audit_fields *f, const char *name, int64_t v);	  /* decimal text; 0: null */
void audit_put_time(struct audit_fields *f, const char *name, int64_t ms); /* 0: null */
void audit_put_bool(struct audit_fields *f, const char *name, bool v);
void audit_put_texts(struct audit_fields *f, const char *name, char *const *v, size_t n);
