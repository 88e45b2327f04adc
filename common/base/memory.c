#include "common/base/memory.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
	LARGE = 128 * 1024, /* glibc begins with the same bound, but raises it with each larger block that is freed */
	BUSY_PERCENT = 5,   /* of one core, above it there is a burst */
	WORTH_US = 10000,   /* of CPU since the last time: a thousand connections close within twice that */
	LONGEST_BURST_MS = 60000, /* a longer one is trimmed within */
};

void memory_settle(void)
{
	mallopt(M_MMAP_THRESHOLD, LARGE);
}

/* Text only: it is never written to, so nothing is lost. (Read-only data may hold relocations, which would be.) */
static void drop_text(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], mode[5];
	uintptr_t from, to;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode) == 3 && strcmp(mode, "r-xp") == 0 &&
			strchr(line, '/'))
			(void)madvise((void *)from, to - from, MADV_DONTNEED); /* NOLINT: addresses of our own maps */
	if (f)
		fclose(f);
}

void memory_rest(void)
{
	malloc_trim(0);
	drop_text();
}

static int64_t process_us(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 ? (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 : 0;
}

bool memory_look(struct memory_watch *w, int64_t mono_ms)
{
	int64_t cpu_us = process_us(), spent_ms = mono_ms - w->at_ms, did_us = cpu_us - w->cpu_us;
	bool busy = w->at_ms && did_us * 100 > spent_ms * 1000 * BUSY_PERCENT; /* the first look sees the start, and what came with it */

	w->at_ms = mono_ms;
	w->cpu_us = cpu_us;
	w->work_us += did_us;
	w->busy_ms = busy ? w->busy_ms + spent_ms : 0;
	if (busy ? w->busy_ms < LONGEST_BURST_MS : w->work_us < WORTH_US)
		return false;
	w->busy_ms = w->work_us = 0;
	malloc_trim(0);
	return true;
}
