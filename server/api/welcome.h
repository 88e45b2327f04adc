/* welcome: the first steps, for whoever came by a one-time link (`fairlead console login`): is the server set up right (who may administer it),
 * how will you sign in from now on, and your first machine. No scripts; while it waits for the machine it looks again by itself. One can come
 * back to it while one is signed in; without that it opens by its link only. */
#pragma once

#include "server/api/request.h"

/* ?on=linux|macos|windows|ios|android: which instructions. ?still=1: it does not look again by itself. ?first=1: who has done all goes home. */
handler welcome_page;
