/* replay: under gcc, a fuzzer's main(): feeds every file of tests/fuzz/corpus/<name>/ to it, from exact-size copies,
 * each also cut at several lengths. Prints TAP, one test a corpus file. */
#include <dirent.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		abort();
	memcpy(exact, p, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

int main(int argc, char **argv)
{
	char dir[512];
	unsigned count = 0;

	(void)argc;
	snprintf(dir, sizeof dir, "tests/fuzz/corpus/%s", basename(argv[0]) + strlen("fuzz_"));
	feed((const uint8_t *)"", 0);
	printf("ok %u - empty input\n", ++count);
	DIR *d = opendir(dir);
	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[1024];
		static uint8_t data[1 << 20];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		FILE *f = fopen(path, "rb");
		if (!f)
			continue;
		size_t n = fread(data, 1, sizeof data, f);
		fclose(f);
		for (size_t cut = n; cut; cut = cut * 7 / 8)
			feed(data, cut);
		printf("ok %u - %s\n", ++count, e->d_name);
		fflush(stdout);
	}
	closedir(d);
	return 0;
}
