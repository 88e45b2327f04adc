/* load: everything in the database as rows, read once at start. */
#pragma once

#include "server/store/sql.h"
#include "server/store/store.h"

MUST_USE err load_image(struct sql *s, struct store_image *out);
