/* state: what fairlead-derp keeps between starts, in files of a folder: its DERP key and a self-made certificate.
 * Files are written aside, synced and renamed, mode 0600. */
#pragma once

#include "common/crypto/keys.h"
#include "common/net/tls.h"

/* Makes the folder (0700) and key file where there is none. ERR_INVALID, ERR_SYS: why holds one sentence. */
MUST_USE err state_key(const char *dir, struct node_key *out, char *why, size_t why_cap);
/* A certificate for hostname, made at the first start, and again when the name changes or the files are broken. */
MUST_USE err state_certificate(const char *dir, const char *hostname, struct tls_ctx **out, char *why, size_t why_cap);
