#include "common/wire/cbor.h"

enum { SMALL = 24 };

struct cbor_head cbor_take_head(struct reader *r)
{
	uint8_t first = rd_u8(r), low = first & 31;
	struct cbor_head i = { first >> 5, low };

	if (low < SMALL)
		return i;
	switch (low) {
	case 24:
		i.v = rd_u8(r);
		r->bad |= i.v < SMALL;
		break;
	case 25:
		i.v = rd_u16be(r);
		r->bad |= i.v <= UINT8_MAX;
		break;
	case 26:
		i.v = rd_u32be(r);
		r->bad |= i.v <= UINT16_MAX;
		break;
	case 27:
		i.v = rd_u64be(r);
		r->bad |= i.v <= UINT32_MAX;
		break;
	default:
		r->bad = true;
	}
	return i;
}

uint64_t cbor_take(struct reader *r, unsigned major)
{
	struct cbor_head i = cbor_take_head(r);

	r->bad |= i.major != major;
	return r->bad ? 0 : i.v;
}

struct bytes cbor_take_string(struct reader *r, unsigned major)
{
	uint64_t n = cbor_take(r, major);

	if (n > r->rest.n)
		r->bad = true;
	return rd_take(r, r->bad ? 0 : (size_t)n);
}

int64_t cbor_take_int(struct reader *r)
{
	struct cbor_head i = cbor_take_head(r);

	r->bad |= i.major > CBOR_NEGATIVE || i.v > INT64_MAX;
	if (r->bad)
		return 0;
	return i.major == CBOR_UINT ? (int64_t)i.v : -1 - (int64_t)i.v;
}

size_t cbor_take_map(struct reader *r, size_t max)
{
	uint64_t n = cbor_take(r, CBOR_MAP);

	r->bad |= n > max;
	return r->bad ? 0 : (size_t)n;
}

/* Each item has at least one byte, so the bytes bound the work; `left` holds how many items each level still has. */
void cbor_skip(struct reader *r)
{
	uint64_t left[CBOR_DEPTH_MAX] = { 1 };
	size_t level = 0;

	while (!r->bad) {
		while (!left[level]) {
			if (level == 0)
				return;
			level--;
		}
		left[level]--;
		struct cbor_head i = cbor_take_head(r);
		if (r->bad)
			return;
		uint64_t inside = 0;
		switch (i.major) {
		case CBOR_UINT:
		case CBOR_NEGATIVE:
			break;
		case CBOR_BYTES:
		case CBOR_TEXT:
			if (i.v > r->rest.n)
				r->bad = true;
			rd_take(r, r->bad ? 0 : (size_t)i.v);
			break;
		case CBOR_ARRAY:
			inside = i.v;
			break;
		case CBOR_MAP:
			if (i.v > UINT64_MAX / 2)
				r->bad = true;
			inside = i.v * 2;
			break;
		case CBOR_TAG:
			inside = 1;
			break;
		default: /* the head of a simple value or float is all of it */
			break;
		}
		if (!inside)
			continue;
		if (level + 1 == CBOR_DEPTH_MAX) {
			r->bad = true;
			return;
		}
		left[++level] = inside;
	}
}
