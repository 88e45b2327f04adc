/* Whose turn it is to be asked about. */
#include "server/login/refresh.h"

#include "tests/lib/test.h"

#define HOUR (3600 * 1000LL)
#define NOW (1000 * HOUR)

static char one[] = "one", two[] = "two", issuer[] = "https://id.example.com", other_issuer[] = "https://elsewhere.example.com", token[] = "r",
	none[] = "";

enum { PEOPLE = 20 };

static struct config_oidc provider(const char *name)
{
	return (struct config_oidc){ .name = name, .issuer = issuer, .refresh_ms = HOUR };
}

static void fill(struct identity_row people[PEOPLE])
{
	for (int i = 0; i < PEOPLE; i++)
		people[i] = (struct identity_row){ .id = 100 + i, .provider = one, .issuer = issuer, .refresh_token = token };
}

static void nobody_waits_for_those_who_stay_due(void **state)
{
	struct config_oidc p = provider(one);
	struct identity_row people[PEOPLE];
	const struct identity_row *due[REFRESH_AT_ONCE];
	unsigned asked[PEOPLE] = { 0 };
	int64_t after = 0;

	(void)state;
	fill(people);
	/* Nobody is ever answered for. */
	for (int turn = 0; turn < 5; turn++) {
		size_t n = refresh_due(people, PEOPLE, &p, NOW, after, due);
		assert_int_equal(n, REFRESH_AT_ONCE);
		for (size_t i = 0; i < n; i++)
			asked[due[i]->id - 100]++;
		after = due[n - 1]->id;
	}
	for (int i = 0; i < PEOPLE; i++)
		assert_int_equal(asked[i], 2);
}

static void only_those_who_are_due(void **state)
{
	struct config_oidc p = provider(one), never = provider(one);
	struct identity_row people[PEOPLE];
	const struct identity_row *due[REFRESH_AT_ONCE];

	(void)state;
	fill(people);
	for (int i = 5; i < PEOPLE; i++)
		people[i].checked_ms = NOW - HOUR + 1;
	people[0].gone_ms = 1;
	people[1].refresh_token = none;
	people[2].provider = two;
	people[3].issuer = other_issuer;
	people[9].checked_ms = NOW - HOUR;
	assert_int_equal(refresh_due(people, PEOPLE, &p, NOW, 104, due), 2);
	assert_int_equal(due[0]->id, 109);
	assert_int_equal(due[1]->id, 104);
	never.refresh_ms = 0;
	assert_int_equal(refresh_due(people, PEOPLE, &never, NOW, 0, due), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_for_those_who_stay_due),
		cmocka_unit_test(only_those_who_are_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
