/* memory: how a long-running server keeps its heap small. For main programs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Large blocks get pages of their own and give them back when they are freed, however often that happens. To be called
 * before threads start. */
void memory_settle(void);

/* After the work of a start or of a large change: gives free pages of the heap back, and lets go of program text, which the
 * kernel maps in larger pieces than are run; what is still run comes back from the page cache in microseconds. For small
 * machines; takes a few milliseconds. */
void memory_rest(void);

/* Tells when work is over, which is when what it left free should go back to the system: it leaves free blocks in every thread's
 * heap, and they count until someone asks for their pages. A quiet moment counts once some work was done since the last. */
struct memory_watch {
	int64_t at_ms, cpu_us; /* of the last look; 0: none yet */
	int64_t busy_ms;       /* since when the burst lasts; 0: idle */
	int64_t work_us;       /* of CPU since the pages were given back */
};

/* Looks at what the process did since the last look; call it every few seconds. Gives the pages back after work, and
 * now and then in one that does not end; true when it did. Takes a millisecond or so. Not on a thread that owns a loop
 * with clients. */
bool memory_look(struct memory_watch *w, int64_t mono_ms);
