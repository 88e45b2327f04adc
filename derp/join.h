/* join: `fairlead-derp join URL`, `fairlead-derp leave URL`: the relay that runs here goes on the map of relays that a Fairlead
 * server gives to its clients, or off it. The relay is asked by its socket file what it is; the server by its REST API, with
 * the key in $FAIRLEAD_CLI_API_KEY. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* An exit status. url: of the server. */
int join_run(const char *state_dir, const char *url, bool leave, FILE *out, FILE *errors);
