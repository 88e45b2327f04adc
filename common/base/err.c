#include "common/base/err.h"

const char *err_text(err e)
{
	switch (e) {
	case OK:
		return "ok";
	case ERR_NOMEM:
		return "out of memory";
	case ERR_SYS:
		return "system error";
	case ERR_TRUNCATED:
		return "truncated";
	case ERR_MALFORMED:
		return "malformed";
	case ERR_TOO_BIG:
		return "too big";
	case ERR_AUTH:
		return "authentication failed";
	case ERR_DENIED:
		return "denied";
	case ERR_NOT_FOUND:
		return "not found";
	case ERR_EXISTS:
		return "already exists";
	case ERR_INVALID:
		return "invalid";
	case ERR_STATE:
		return "wrong state";
	case ERR_BUSY:
		return "busy";
	case ERR_TIMEOUT:
		return "timed out";
	case ERR_CLOSED:
		return "closed";
	case ERR_UNSUPPORTED:
		return "unsupported";
	}
	return "unknown error";
}
