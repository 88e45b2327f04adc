/* yaml: a JSON value as YAML 1.2, block style, members in their order; for --output yaml. Texts that could be taken for something
 * else are quoted as in JSON. */
#pragma once

#include <jansson.h>

#include "common/base/buf.h"

void yaml_put(struct buf *out, const json_t *value); /* ends with a line feed */
