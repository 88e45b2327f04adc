#include <string.h>

#include "server/api/v2.h"

/* Calls of Tailscale's API (and one of Headscale's) that could have no effect here: no setting is stored that nothing obeys. docs/compatibility.md
 * lists the same. */
static const struct {
	const char *begins, *why; /* what follows the tailnet or device in the path */
} reasons[] = {
	{ "aws-external-id", "log streaming to S3 is not part of this server" },
	{ "posture/integrations", "this server asks no device management services" },
	{ "logging/network", "this server collects no network flow logs" },
	{ "logging/configuration/stream", "the audit log is not streamed; read logging/configuration, or export it" },
	{ "oauth-apps", "this server authorises no third-party OAuth apps" },
	{ "organizations", "this server holds one tailnet" },
	{ "debug/node", "devices are made by clients that log in, not by call" },
	{ "device-invites", "devices are not shared into other tailnets here" },
	{ "/tailnet/{}", "a server is not deleted by call; stop it and take its database away" },
};

enum MHD_Result api_unsupported(struct request *r)
{
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (strstr(r->route->pattern, reasons[i].begins))
			return answer_error(r, 501, reasons[i].why);
	return answer_error(r, 501, "this call could have no effect here");
}
