/* client: a simulated device. It knows its own keys and what it was told, and nothing of the core. */
#pragma once

#include "tests/sim/world.h"

enum client_state { CLIENT_OUT, CLIENT_LOGIN, CLIENT_IN };

enum { CLIENT_BACKLOG_MAX = 24, CLIENT_ENDPOINTS = 4 };

struct sim_sink { /* one map stream, the wire's side */
	struct map_sink sink;
	struct world *w;
	struct client *owner; /* NULL: it hung up */
	int64_t node_id;      /* whose stream was asked for; 0: the key was unknown */
	bool once, reader, stolen;
	bool ended;   /* the server ended it */
	bool told;    /* the core was told that it is gone */
	int refused;
	size_t n_msg; /* sent so far */
	json_t **queue; /* references: sent, not yet read */
	size_t n_queue, cap_queue;
	json_t *map; /* what the messages built up; NULL: nothing yet */
};

struct client {
	struct world *w;
	size_t index;
	enum client_state state;
	struct machine_pub machine;
	struct node_pub key, old_key;
	struct disco_pub disco;
	struct addr from;
	char hostname[80];
	int version, home;
	struct addrport endpoint[CLIENT_ENDPOINTS];
	size_t n_endpoints;
	const char *route, *tag; /* NULL: none */
	int services; /* that it advertises: bits for svc:a, svc:b */
	int api;      /* port of its peer API, for who asks it as an app connector; 0: it offers to be none */
	bool ephemeral, slow;
	char url[128];
	struct sim_call *registering, *following; /* in flight */
	struct sim_sink *stream, *reader;
	json_t *last_self; /* the self node in the newest message of the newest stream */
	int64_t node_id;   /* as its map says; 0: unknown */
	/* What a lite update that was answered said; compared with what the core has when nothing newer is on its way. */
	bool reported;
	int64_t report; /* number of the newest */
};

struct client *client_new(struct world *w);
void client_free(struct client *c);
void client_act(struct client *c);
void client_register(struct client *c, const char *auth_key);
void client_stream(struct client *c, bool reader);
void client_hang_up(struct client *c, bool reader);
void client_lite(struct client *c);
void client_read(struct client *c);	  /* takes in what was sent, unless it is slow */
void client_catch_up(struct client *c); /* … also when it is slow */
void client_server_died(struct client *c);
/* Is this the address of a service that the node may answer for? */
bool naive_hosts(struct world *w, const struct node *n, struct prefix p);
/* Appends the records of services that it reaches to a DNSConfig. */
void naive_service_records(struct world *w, struct policy_view *fresh, const struct node *n, json_t *dns);
void check_services(struct world *w, struct policy_view *fresh, struct client *c, const struct node *n); /* service.c */
void check_lock(struct world *w, struct client *c, const struct node *n); /* lock.c */
bool client_is_current(const struct client *c); /* streams, and has read everything */
