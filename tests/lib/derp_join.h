/* derp_join: DERP clients and a relay joined in memory, on one thread or several. */
#pragma once

#include "common/wire/derp_client.h"
#include "derp/relay.h"

/* One client at both ends: our client engine, and the relay's client that it talks to. */
struct joined {
	struct node_key key;
	struct derp_client near;
	struct relay_client *far; /* NULL after join_close */
	struct relay_worker *w;
	bool stopped; /* does not read: nothing is pulled from the relay */
	bool closed;  /* the relay closed the session */
	const char *why;
	size_t step; /* bytes moved at once towards the relay; 0: all there is */
};

/* Makes a client with this key (fresh when NULL) with its relay side. */
void join_open(struct joined *j, struct relay_worker *w, const struct node_key *key, int64_t now_ms);
/* The same with a mesh key in its ClientInfo. */
void join_open_mesh(struct joined *j, struct relay_worker *w, const struct node_key *key, const struct secret32 *mesh_key,
	int64_t now_ms);
void join_connect_mesh(struct joined *j, struct relay_worker *w, const struct node_key *key,
	const struct secret32 *mesh_key, int64_t now_ms);
/* Moves what the client wrote into the relay, and flushes the worker. */
void join_move(struct joined *j, int64_t now_ms);
/* The next event for the client, or false. Moves nothing. */
bool join_event(struct joined *j, struct derp_client_event *ev);
/* Opens and runs until CONNECTED. Single worker. Fails the test otherwise. */
void join_connect(struct joined *j, struct relay_worker *w, const struct node_key *key, int64_t now_ms);
void join_close(struct joined *j);
