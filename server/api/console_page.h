/* console_page: serves the web console, which lies in the program: one page for all of /console/… and its hashed files. Who is not
 * signed in goes to /login and comes back; who has no part in it goes to /my. The files themselves tell nobody anything. */
#pragma once

#include "server/api/request.h"

/* A file of web/dist, embedded by web/embed.sh. */
struct web_asset {
	const char *path; /* "index.html", "assets/index-1a2b.js" */
	const char *etag; /* with its quotes */
	struct web_bytes {
		const unsigned char *from, *end; /* NULL: there is none */
	} as[3];			 /* plain, brotli, gzip */
};
extern const struct web_asset web_assets[];
extern const size_t web_assets_n;

handler console_page;

/* Where somebody goes who has just signed in: where they came from, if that was the console or /my; else otherwise. */
const char *signin_landing(struct request *r, const char *otherwise);
const char *signin_landing_look(struct request *r, const char *otherwise); /* without forgetting it */
/* Remembers "/console/…" or "/my/…" for signin_landing, over the provider's pages; anything else is left aside. */
void signin_remember(struct request *r, const char *to);
