/* access: who asks, and whether the call is theirs to make: the unix socket, an API key or OAuth token with its scopes and
 * its owner's role. What each call needs stands in route.c; here it is looked up. */
#pragma once

#include "server/api/request.h"

/* The head is there: what needs no body is decided, so that no stranger's body is kept. false: it answered (*result). */
bool check_head(struct request *r, enum MHD_Result *result);
/* Is who asks looked up by the core? Then ask_early does it before a byte of the body is kept: the verdict waits in the request,
 * and a body that is nobody's is read and thrown away. Once the body is whole, who asks is looked up again. */
bool is_looked_up(const struct request *r);
enum MHD_Result ask_early(struct request *r);
bool may_send_body(const struct request *r); /* with a verdict */
/* The head and the body are there: checks, and begins the route's handler or answers. */
enum MHD_Result begin_request(struct request *r);

/* For a call that takes a secret by itself: has this address tries left? And: it was a wrong one. */
bool may_try_key(struct request *r, unsigned *wait_s);
void note_wrong_key(struct request *r);

/* Inside a handler that serves several kinds of things: false, and it answered with 403 (*result). */
bool may_else_refuse(struct request *r, scope_set need, enum MHD_Result *result);
