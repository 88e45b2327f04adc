/* Packets from the tunnel against a filter with a rule; what is refused is answered. Later the same as if sent by us. */
#include <stdlib.h>

#include "client/filter/filter.h"
#include "client/filter/inner.h"
#include "client/netmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct filter *make(void)
{
	static const struct nm_range all4 = { { 4, { 0 } }, { 4, { 255, 255, 255, 255 } } };
	static const struct nm_dst ssh = { { { 4, { 100, 64, 0, 1 } }, { 4, { 100, 64, 0, 1 } } }, 22, 22 };
	static const struct nm_rule rule = { .src = &all4, .n_src = 1, .dst = &ssh, .n_dst = 1 };
	static const struct nm_rule *const rules[] = { &rule };
	static const struct prefix self[] = { { { 4, { 100, 64, 0, 1 } }, 32 }, { { 6, { 0xfd, 0x7a } }, 16 } };
	struct filter *f;

	if (filter_new(&f) != OK || filter_set_rules(f, rules, 1) != OK || filter_set_self(f, self, 2) != OK)
		abort();
	return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct filter *f;
	uint8_t reply[FILTER_REJECT_MAX];
	struct inner in;

	if (!f)
		f = make();
	enum filter_verdict v = filter_in(f, bytes_of(data, size));
	size_t n = filter_write_reject(f, bytes_of(data, size), reply);
	if (v == FILTER_REJECT && (n == 0 || inner_parse(bytes_of(reply, n), &in) != OK))
		abort();
	if (v == FILTER_ACCEPT && inner_parse(bytes_of(data, size), &in) != OK)
		abort();
	filter_out(f, bytes_of(data, size));
	return 0;
}
