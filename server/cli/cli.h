/* cli: all that `fairlead` does when it is not serving: the admin commands over the server's unix socket, and help.
 *
 * args.h parses the command line by the table in cli.c; client.h speaks HTTP to the server; output.h prints tables and
 * JSON; verbs_*.c are the commands, one file a resource. Verbs and flags follow Headscale's. */
#pragma once

/* The exit status: 0 done, 1 failed, 2 the command line is wrong. */
int cli_main(int argc, char **argv);
