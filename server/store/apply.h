/* apply: one operation of the core as one statement. */
#pragma once

#include "server/store/sql.h"
#include "server/store/store.h"

MUST_USE err apply_op(struct sql *s, const struct store_op *op);
