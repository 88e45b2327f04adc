/* routes: what the tables of calls are written in. */
#pragma once

#include "server/api/request.h"

#define READ(area) SCOPE_READ(SCOPE_##area)
#define WRITE(area) SCOPE_WRITE(SCOPE_##area)

#define ANY_SETTING (WRITE(FEATURE_SETTINGS) | WRITE(DNS) | WRITE(NETWORKING_SETTINGS) | WRITE(ACCOUNT_SETTINGS))
#define ANY_SETTING_READ (READ(FEATURE_SETTINGS) | READ(DNS) | READ(NETWORKING_SETTINGS) | READ(ACCOUNT_SETTINGS))

#define ANY_KEY (WRITE(AUTH_KEYS) | WRITE(OAUTH_KEYS) | WRITE(FEDERATED_KEYS) | WRITE(API_TOKENS))
#define ANY_KEY_READ (READ(AUTH_KEYS) | READ(OAUTH_KEYS) | READ(FEDERATED_KEYS) | READ(API_TOKENS))

extern const struct route v2_routes[];
extern const size_t v2_routes_n;
/* console_routes.c: what the web console asks of the native API */
extern const struct route console_routes[];
extern const size_t console_routes_n;
