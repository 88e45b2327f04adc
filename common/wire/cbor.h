/* cbor: reads CBOR (RFC 8949) as CTAP2 and tailnet lock write it: definite lengths, numbers in their shortest form.
 *
 * On a reader (common/base/reader.h), so it goes bad once and stays bad. Nothing is allocated; strings are views. */
#pragma once

#include "common/base/reader.h"

enum { CBOR_UINT = 0, CBOR_NEGATIVE = 1, CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_ARRAY = 4, CBOR_MAP = 5, CBOR_TAG = 6, CBOR_SIMPLE = 7 };
enum { CBOR_NULL = 22 };
enum { CBOR_DEPTH_MAX = 8 }; /* of what cbor_skip goes over */

struct cbor_head {
	unsigned major;
	uint64_t v; /* number, length, count, or simple value */
};

struct cbor_head cbor_take_head(struct reader *r);
/* A head of this kind; 0 when bad. */
uint64_t cbor_take(struct reader *r, unsigned major);
/* CBOR_BYTES or CBOR_TEXT. */
struct bytes cbor_take_string(struct reader *r, unsigned major);
/* A number of either sign. */
int64_t cbor_take_int(struct reader *r);
/* How many entries a map has; more than max is bad. */
size_t cbor_take_map(struct reader *r, size_t max);
/* Over one item, whatever it is. */
void cbor_skip(struct reader *r);
