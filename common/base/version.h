/* version: what this build calls itself; the Makefile writes the values from VERSION and git. */
#pragma once

extern const char fairlead_version[]; /* "0.1.0" */
extern const char fairlead_commit[];  /* short hash, or "unknown" */
