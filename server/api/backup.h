/* backup: the one call that blocks, on a thread of its own. */
#pragma once

#include "server/api/request.h"

enum MHD_Result begin_backup(struct request *r);
