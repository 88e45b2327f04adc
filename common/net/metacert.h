/* metacert: the extra certificate by which a DERP server tells its node key inside the TLS 1.3 handshake, so that a
 * client may start without waiting for the HTTP answer (protocol/derp.md 3.2). */
#pragma once

#include "common/base/buf.h"

enum { METACERT_LEN = 359 };

/* Appends the certificate in DER, valid from 30 days before now to 30 days after (clients do not look), signed by a
 * fresh key that is thrown away. ERR_TOO_BIG: der has no room for METACERT_LEN bytes. */
MUST_USE err metacert_make(const uint8_t derp_pub[32], int64_t now_wall_ms, struct buf *der);
