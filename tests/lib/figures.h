/* figures: what a bench measures: samples with their percentiles, and what a process costs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

/* A growing set of measurements. */
struct samples {
	double *v; /* owned */
	size_t n, cap;
};
void samples_add(struct samples *s, double v); /* aborts when out of memory: benches have no other answer */
void samples_clear(struct samples *s);
void samples_done(struct samples *s);
/* The value that p (0 to 1) of the samples do not exceed; 0 of none. Sorts. */
double samples_at(struct samples *s, double p);

/* -1: there is no such process, or it is not ours. */
int64_t process_cpu_us(pid_t pid); /* of all its threads, ended ones too */
int64_t process_rss_kib(pid_t pid);

/* Figures to stdout, one a line ("register.rate 512.0 1/s") or as members of one JSON object. */
struct figures {
	bool json, any;
};
void figures_start(struct figures *f, bool json);
void figure(struct figures *f, const char *name, double value, const char *unit);
void figures_end(struct figures *f);
