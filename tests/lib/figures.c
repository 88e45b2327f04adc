#include "tests/lib/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- samples -------------------------------------------------------------------------------------------------------
 */

void samples_add(struct samples *s, double v)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		s->v = realloc(s->v, s->cap * sizeof *s->v);
		if (!s->v)
			abort();
	}
	s->v[s->n++] = v;
}

void samples_clear(struct samples *s)
{
	s->n = 0;
}

void samples_done(struct samples *s)
{
	free(s->v);
	*s = (struct samples){ 0 };
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double samples_at(struct samples *s, double p)
{
	if (s->n == 0)
		return 0;
	qsort(s->v, s->n, sizeof *s->v, by_value);
	size_t i = (size_t)(p * (double)s->n);

	return s->v[i < s->n ? i : s->n - 1];
}

/* ---- processes -----------------------------------------------------------------------------------------------------
 */

int64_t process_cpu_us(pid_t pid)
{
	clockid_t clock;
	struct timespec t;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return -1;
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t process_rss_kib(pid_t pid)
{
	char path[64], line[256];
	long long kib = -1;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %lld kB", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* ---- output --------------------------------------------------------------------------------------------------------
 */

void figures_start(struct figures *f, bool json)
{
	*f = (struct figures){ .json = json };
	if (json)
		printf("{");
}

void figure(struct figures *f, const char *name, double value, const char *unit)
{
	if (f->json)
		printf("%s\"%s\":%.6g", f->any ? "," : "", name, value);
	else
		printf("%-28s %12.3f %s\n", name, value, unit);
	f->any = true;
	fflush(stdout);
}

void figures_end(struct figures *f)
{
	if (f->json)
		printf("}\n");
	fflush(stdout);
}
