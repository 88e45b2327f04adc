/* noise_record: the byte stream inside a ts2021 connection, cut into sealed records.
 *
 * Plaintext of all records joined is one stream; record boundaries mean nothing. Reading opens records in place in the
 * buffer of received bytes, writing seals them in place in the buffer of bytes to send: no copy besides that one.
 * Facts: protocol/control.md 3.5. */
#pragma once

#include "common/base/buf.h"
#include "common/crypto/noise_ik.h"

/* Opens the record at the front of in. On OK *plain is its text (may be empty: legal, skip it), borrowed until the next
 * change of in, and *used the bytes to buf_consume before the next call.
 * ERR_TRUNCATED: more bytes are needed, nothing changed. Everything else ends the connection: ERR_MALFORMED (not a
 * record, or too short), ERR_TOO_BIG (longer than a frame may be, by its header alone), ERR_AUTH, ERR_CLOSED. */
MUST_USE err noise_record_open(struct noise_transport *t, struct buf *in, struct bytes *plain, size_t *used);

/* Appends plain as as many records as it takes. Nothing is written for an empty plain.
 * ERR_TOO_BIG: does not fit in out (its maximum, or memory); nothing was written and out is as before. ERR_CLOSED. */
MUST_USE err noise_record_seal(struct noise_transport *t, struct bytes plain, struct buf *out);

/* Bytes that plain_len bytes take up in sealed form. */
size_t noise_record_len(size_t plain_len);
