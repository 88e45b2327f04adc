/* tls_wire: an established TLS 1.3 connection on a descriptor, with records of our own (tls_record.h). For tls.c, which has the
 * contract of its read and write in its header: they are the same here.
 *
 * A read takes in up to 64 KiB in one system call and opens all whole records of it; a write seals up to four records and
 * sends them in one. Buffers belong to the thread: an idle connection keeps keys and the piece of a record that has come,
 * no more. */
#pragma once

#include "common/net/tls.h"
#include "common/net/tls_record.h"

struct tls_wire;

/* fd is borrowed. max_out: bytes of content a record that we send may have (max_fragment_length), at most TLS_RECORD_PLAIN_MAX.
 * Errors as tls_record_new. */
MUST_USE err tls_wire_new(int fd, unsigned suite, const struct tls_secrets *s, size_t max_out, struct tls_wire **out);
void tls_wire_free(struct tls_wire *w); /* says nothing to the peer; NULL is fine */

enum tls_io tls_wire_read(struct tls_wire *w, void *p, size_t cap, size_t *n);
enum tls_io tls_wire_write(struct tls_wire *w, struct bytes b, size_t *n);
size_t tls_wire_holds(const struct tls_wire *w); /* as tls_holds */
/* close_notify, where it can be sent at once. Nothing may be written after it. */
void tls_wire_end(struct tls_wire *w);
void tls_wire_warm(const struct tls_wire *w, unsigned step); /* as tls_warm */
const char *tls_wire_why(const struct tls_wire *w); /* static text; "" when nothing failed */
