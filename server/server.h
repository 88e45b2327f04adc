/* server: owns everything that serves: store, core, relay, api, front. One function starts it all in order, one takes it
 * down in the mirror order. */
#pragma once

/* `fairlead serve`: runs until SIGTERM or SIGINT; SIGHUP reloads what can change. Returns the exit status: 0 after an
 * orderly stop, 1 when it could not start (one sentence was printed to stderr). */
int server_main(const char *config_path);
