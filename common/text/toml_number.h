/* toml_number: for toml.c only. */
#pragma once

#include "common/base/bytes.h"

struct toml;

/* Sets t's kind and value. ERR_UNSUPPORTED: a date or time. ERR_TOO_BIG: over 64 bits. ERR_MALFORMED: no number. */
MUST_USE err toml_number_parse(struct bytes word, struct toml *t);
