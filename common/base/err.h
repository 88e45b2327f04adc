/* err: the one result type of the tree (docs: STYLE, section 4).
 *
 * A function that can fail returns err; its last parameter *out is set on OK only. "Not yet" is no error. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))

typedef enum err {
	OK = 0,
	ERR_NOMEM,
	ERR_SYS,	   /* see errno */
	ERR_TRUNCATED,	   /* come back with more bytes */
	ERR_MALFORMED,	   /* these bytes can never be right */
	ERR_TOO_BIG,	   /* over a named bound */
	ERR_AUTH,	   /* a MAC, signature, token or key is wrong */
	ERR_DENIED,	   /* known, but not allowed */
	ERR_NOT_FOUND,
	ERR_EXISTS,	   /* a name or key that must be unique is taken */
	ERR_INVALID,	   /* an argument or setting that cannot be accepted */
	ERR_STATE,	   /* right, but not now */
	ERR_BUSY,	   /* over a limit of load; try later */
	ERR_TIMEOUT,
	ERR_CLOSED,
	ERR_UNSUPPORTED,
} err;

/* A short lower-case phrase for logs; never NULL. */
const char *err_text(err e);
