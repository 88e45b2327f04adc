/* tailcfg: the JSON that nodes and the control server exchange inside Noise. Formats only.
 *
 *   tailcfg_hostinfo.h   what a node says about itself
 *   tailcfg_request.h    what nodes ask: register, map and the small requests; decoded into plain structs
 *   tailcfg_response.h   what the server answers: register response, profiles, DERP map, DNS, filter rules; written
 *
 * Decoding follows Go's encoding/json (protocol/control.md 0): keys match without regard to case, absent and null are
 * zero values, unknown keys are ignored, a wrong type refuses the whole request with a sentence that names the field.
 * Decoded strings are never NULL, NUL-terminated, well-formed UTF-8 without NULs, and live in the caller's arena. */
#pragma once

#include "common/wire/tailcfg_hostinfo.h"
#include "common/wire/tailcfg_request.h"
#include "common/wire/tailcfg_response.h"
