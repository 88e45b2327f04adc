/* HuJSON: the blanked text has the length and the line ends of the original, and blanking it again changes nothing. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *once = malloc(size + 1), *twice = malloc(size + 1);
	CLEANUP(json_decrefp) json_t *v = NULL;
	struct json_why why = { 0 };
	struct json_error e;

	if (!once || !twice || hujson_blank(bytes_of(data, size), once, &e) != OK)
		return 0;
	for (size_t i = 0; i < size; i++)
		if ((data[i] == '\n') != (once[i] == '\n'))
			abort();
	if (json_parse(bytes_of(once, size), 1 << 20, 32, &v, &e) != OK)
		return 0;
	if (hujson_blank(bytes_of(once, size), twice, &e) != OK || memcmp(once, twice, size))
		abort();
	/* every member of the root is found again in the text */
	struct json_at root = json_root(v, &why);
	const char *key;
	json_t *item;
	if (json_is_object(v))
		json_object_foreach(v, key, item) {
			struct json_at at = json_member(&root, key);
			size_t offset;

			if (json_locate(bytes_of(once, size), &at, &offset) != OK || offset >= size)
				abort();
		}
	return 0;
}
