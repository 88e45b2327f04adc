/* api_house: API, core and store together in one process, asked over socketpairs as front would.
 *
 *	struct house h;
 *	house_open(&h, NULL);
 *	json_t *j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);	owned
 *	house_close(&h);							the folder goes, too */
#pragma once

#include <jansson.h>

#include "server/api/api.h"
#include "server/core/runner.h"

#define HOUSE_UNIX NULL /* instead of a key: over the unix socket */

struct house {
	char folder[64], file[96];
	struct core_settings set;
	struct api_settings api_set; /* may be changed before house_open by its second argument */
	struct store *store;
	struct core_runner *core;
	struct api *api;
	const char *headers; /* more lines for each request, with CRLF; NULL: none */
	int status;	     /* of the last call */
	char *head;	     /* of the last answer, owned */
	char *body;	     /* owned */
};

/* tweak: changes api_set; may be NULL. */
void house_open(struct house *h, void (*tweak)(struct house *h));
void house_close(struct house *h);
/* The same database, another process: what was not durable is gone. */
void house_restart(struct house *h);
/* Raw: status, head and body of the answer are kept in h. key: with its scheme left out. */
int house_ask(struct house *h, const char *key, const char *method, const char *path, const char *body);
/* The JSON of an answer that must have this status. */
json_t *house_call(struct house *h, const char *key, const char *method, const char *path, const char *body, int status);
/* A member of the last answer's head, owned; NULL: none. */
char *house_header(const struct house *h, const char *name);
/* A device joins with an auth key; its id, from its name. routes: JSON list, or NULL. */
void house_join(struct house *h, const char *auth_key, const char *hostname, const char *routes);
/* A device asks to join, and waits for a person. */
void house_knock(struct house *h, const char *hostname);
/* A person signs in by a provider for the first time. */
void house_login(struct house *h, const char *name);
/* An API key with these scopes ("" all), of this user ("" none); owned. */
char *house_key(struct house *h, const char *scopes, const char *user);
const char *json_text_at(const json_t *j, const char *path); /* "a.b.0.c"; "(none)" when it is no text */
