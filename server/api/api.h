/* api: everything that is plain HTTP: the REST API of Headscale v1 (a superset that its tools agree with), the native
 * calls, the page of a waiting device, health and version.
 *
 * libmicrohttpd on a thread of its own, without a listening socket: front hands over connections whose bytes it has
 * checked. A request becomes a command to the core; its connection sleeps until the reply comes, and no thread waits.
 * What may be asked by whom: request.h. The calls: route.c. */
#pragma once

#include "common/net/addr.h"
#include "server/core/event.h"

struct api;
struct audit_page;
struct audit_query;
struct login;
struct web_asset;

struct api_settings { /* strings are borrowed and live as long as the api */
	const char *server_url;
	const char *database_path; /* for the console's look at the disk; NULL: not known */
	const char *config_text; /* for GET /api/fairlead/v1/config */
	double requests_per_s;	 /* of one key, and of one address; twice that in a burst. 0: no limit */
	const char *const *cors_origins; /* whose pages may call /api/ with a key of their own; never with cookies */
	size_t n_cors_origins;
	bool issuers_private;	 /* and so may who looks at the tokens of federated identities */
	bool webhooks_private;	 /* webhooks may call addresses of this machine and of private networks */
	double failures_per_s;	 /* wrong keys from one address; ten times that in a burst. 0: no limit */
	struct login *login;	 /* borrowed */
	const char *openid_configuration, *jwks; /* of the tokens that nodes get; NULL: none */
	bool policy_in_file;	 /* policy.mode = "file": it cannot be set by call */
	const char *policy_path; /* then; "" or NULL: none */

	const struct web_asset *assets; /* the web console (console_page.h); none: this build has no console */
	size_t n_assets;

	void *ctx;
	void (*post)(void *ctx, struct event *taken); /* core_post; any thread */
	/* Appends what is known outside the core, as Prometheus text. Any thread; must not block. NULL: nothing. */
	void (*metrics)(void *ctx, struct buf *out);
	/* Wall clock: when the certificate of our own listeners ends; 0: there is none. NULL: as 0. */
	int64_t (*certificate_ends)(void *ctx);
	/* Reads the audit log (server/store/audit.h). Blocks; called on a worker. NULL: there is none. */
	err (*audit)(void *ctx, const struct audit_query *ask, struct audit_page *out, char *why, size_t why_cap);
	/* How many there are in each of n equal parts of ask's span. Blocks, as audit. */
	err (*audit_count)(void *ctx, const struct audit_query *ask, uint64_t *count, size_t n, char *why, size_t why_cap);
	/* Blocks; called on a thread of its own. */
	err (*backup)(void *ctx, const char *to, char *why, size_t why_cap);
	/* Could a server start from this copy? ERR_INVALID: no. Blocks, as backup. */
	err (*verify_backup)(void *ctx, const char *path, char *why, size_t why_cap);
};

enum {
	API_BODY_MAX = 1 << 20,
	API_POLICY_BODY_MAX = 5 << 20, /* a policy of 4 MiB, as JSON */
	API_VERIFY_BODY_MAX = 4 << 10,
	API_BODIES_MAX = 64 << 20, /* bytes of bodies under way, of all connections but the unix socket's */
	API_CONNECTIONS_MAX = 4096,
	API_IDLE_S = 60,	   /* a connection that sends nothing */
	API_ANSWER_MAX = 64 << 20, /* a list of all nodes of a large tailnet */
	API_BACKUPS_MAX = 1,	   /* running at once */
};

MUST_USE err api_new(const struct api_settings *cfg, struct api **out);

enum api_origin {
	API_PUBLIC,  /* one end of front's socketpair */
	API_UNIX,    /* the unix socket: its caller needs no key */
	API_METRICS, /* the metrics listener: /metrics, /health and /version only */
};

/* fd is taken. client: the real client, for logs. Any thread. */
MUST_USE err api_add_connection(struct api *a, int fd, struct addrport client, enum api_origin origin);

struct audit_row;
/* Something changed (core_runner_opts.on_changed). Any thread; hands over. */
void api_changed(struct api *a, const struct audit_row *what);

/* Asks nothing more of the core by itself (webhooks). Before the core stops. */
void api_quiet(struct api *a);
/* Waits for the replies that are on their way, closes all connections, frees. The core must run, or have answered all it
 * was asked (ERR_CLOSED). NULL is fine. */
void api_free(struct api *a);
