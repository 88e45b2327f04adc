#include "derp/join.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "derp/status.h"

enum { ANSWER_MAX = 1 << 20, TIMEOUT_MS = 15000 };

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct buf *b = ctx;

	buf_append(b, bytes_of(p, size * n));
	return b->bad ? 0 : size * n;
}

/* One request; the status, or 0 with the reason in why. body NULL: DELETE or GET. */
static long ask(const char *url, const char *socket, const char *method, const char *key, const char *body, struct buf *out,
	const char **why)
{
	CURL *c = curl_easy_init();
	struct curl_slist *headers = NULL;
	CLEANUP(freep) char *auth = NULL;
	long status = 0;

	if (!c || (key && asprintf(&auth, "Authorization: Bearer %s", key) < 0)) {
		curl_easy_cleanup(c);
		*why = "out of memory";
		return 0;
	}
	if (auth)
		headers = curl_slist_append(headers, auth);
	if (body)
		headers = curl_slist_append(headers, "Content-Type: application/json");
	curl_easy_setopt(c, CURLOPT_URL, url);
	if (socket)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	if (body)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (getenv("SSL_CERT_FILE")) /* as other programs take it: roots of one's own */
		curl_easy_setopt(c, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
	CURLcode e = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	if (e != CURLE_OK)
		*why = curl_easy_strerror(e);
	return e == CURLE_OK ? status : 0;
}

/* The relay's own region, and its number as text. Owned; NULL: no relay answers. */
static json_t *own_region(const char *state_dir, const char **id, const char **why)
{
	CLEANUP(freep) char *path = status_socket_path(state_dir);
	CLEANUP(buf_done) struct buf body = buf_make(ANSWER_MAX);

	if (!path || ask("http://relay/debug/derp-map", path, "GET", NULL, NULL, &body, why) != 200)
		return NULL;
	struct bytes v = buf_view(&body);
	json_t *map = json_loadb((const char *)v.p, v.n, 0, NULL), *regions = json_object_get(map, "Regions");
	void *first = json_object_iter(regions);

	if (first) {
		*id = json_object_iter_key(first);
		return map;
	}
	json_decref(map);
	*why = "it told nothing of itself";
	return NULL;
}

static int told(long status, struct buf *body, const char *why, FILE *errors)
{
	struct bytes v = buf_view(body);

	if (status == 200)
		return 0;
	if (!status)
		fprintf(errors, "fairlead-derp: the server does not answer: %s\n", why);
	else
		fprintf(errors, "fairlead-derp: the server says %ld: %.*s\n", status, (int)MIN_OF(v.n, (size_t)1000), (const char *)v.p);
	return 1;
}

int join_run(const char *state_dir, const char *url, bool leave, FILE *out, FILE *errors)
{
	const char *key = getenv("FAIRLEAD_CLI_API_KEY"), *id = NULL, *why = "";
	CLEANUP(buf_done) struct buf answer = buf_make(ANSWER_MAX);
	CLEANUP(freep) char *to = NULL, *text = NULL;

	if (!key || !*key) {
		fputs("fairlead-derp: $FAIRLEAD_CLI_API_KEY is empty: make a key on the server with `fairlead apikeys create`\n", errors);
		return 1;
	}
	json_t *map = own_region(state_dir, &id, &why);
	if (!map) {
		fprintf(errors, "fairlead-derp: no relay answers at %s/status.sock (%s): is it running, with this --state?\n", state_dir, why);
		return 1;
	}
	size_t n = strlen(url);
	while (n && url[n - 1] == '/')
		n--;
	text = json_dumps(json_object_get(json_object_get(map, "Regions"), id), JSON_COMPACT);
	if (!text || asprintf(&to, "%.*s/api/fairlead/v1/derp-map/regions/%s", (int)n, url, id) < 0) {
		json_decref(map);
		fputs("fairlead-derp: out of memory\n", errors);
		return 1;
	}
	long status = ask(to, NULL, leave ? "DELETE" : "PUT", key, leave ? NULL : text, &answer, &why);
	int rc = told(status, &answer, why, errors);
	if (rc == 0)
		fprintf(out, leave ? "Region %s is off the map of %.*s\n" : "Region %s is on the map of %.*s\n", id, (int)n, url);
	json_decref(map);
	return rc;
}
