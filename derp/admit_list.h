/* admit_list: the node keys that may use a relay, from a file: one "nodekey:<hex>" a line, # starts a comment. Any
 * thread may ask while another reads the file again. */
#pragma once

#include "common/crypto/keys.h"

enum { ADMIT_LIST_FILE_MAX = 64 << 20 };

struct admit_list;
struct relay;

/* ERR_INVALID: why holds one sentence with file and line. */
MUST_USE err admit_list_new(const char *path, char *why, size_t why_cap, struct admit_list **out);
void admit_list_free(struct admit_list *l);
/* On an error the old list stays. Connections of keys that are no longer in it are closed. */
MUST_USE err admit_list_reload(struct admit_list *l, struct relay *r, char *why, size_t why_cap);
bool admit_list_has(struct admit_list *l, const struct node_pub *key);
