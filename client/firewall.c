#include "client/firewall.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/route/route.h"
#include "common/base/cleanup.h"

struct firewall {
	struct loop *loop;
	char ifname[IFNAMSIZ];
	struct loop_timer timer;
	struct loop_io *io;
	int fd;
	bool busy, again, orphan; /* again: look once more; orphan: freed while busy */

	_Atomic bool running, forward; /* wanted; one worker at a time reads them */

	/* The worker's, or nobody's while there is none. */
	bool coexists; /* ours may stand among another program's */
	enum { STANDS, STANDS_NOT, MAY_STAND } forwards; /* the rules of a router; a killed one may have left them */
};

static void put(struct firewall *f)
{
	bool changed;

	f->coexists = true;
	(void)!route_coexist(f->ifname, &changed);
	bool forward = f->forward;
	if (f->forwards == (forward ? STANDS : STANDS_NOT))
		return;
	if (!forward)
		route_forward_remove();
	else if (route_forward(f->ifname) != OK)
		return; /* the next look tries again */
	f->forwards = forward ? STANDS : STANDS_NOT;
}

static void take_away(struct firewall *f)
{
	if (f->coexists)
		route_coexist_remove(f->ifname);
	if (f->forwards != STANDS_NOT)
		route_forward_remove();
	f->coexists = false;
	f->forwards = STANDS_NOT;
}

/* What is wanted may change meanwhile: then another look follows. */
static void work(void *arg)
{
	struct firewall *f = arg;

	if (f->running)
		put(f);
	else
		take_away(f);
}

static void look(struct firewall *f);

static void worked(void *arg)
{
	struct firewall *f = arg;
	bool again = f->again;

	f->busy = f->again = false;
	if (f->running)
		loop_timer_in(&f->timer, again ? FIREWALL_SOON_MS : FIREWALL_LOOK_MS);
	else if (again)
		look(f); /* it was stopped while rules were put */
	if (f->orphan && !f->busy)
		free(f);
}

static void look(struct firewall *f)
{
	if (f->busy)
		f->again = true;
	else
		f->busy = loop_work(f->loop, work, worked, f) == OK;
}

static void on_timer(struct loop_timer *t)
{
	look(container_of(t, struct firewall, timer));
}

/* Somebody's rules changed, ours perhaps: tailscaled starts, and its chain begins anew. */
static void on_change(struct loop_io *io, unsigned ready, void *ctx)
{
	struct firewall *f = ctx;

	(void)io;
	(void)ready;
	route_watch_rules_drain(f->fd);
	if (f->busy)
		f->again = true;
	else
		loop_timer_in(&f->timer, FIREWALL_SOON_MS);
}

err firewall_new(struct loop *loop, const char *ifname, struct firewall **out)
{
	struct firewall *f = calloc(1, sizeof *f);

	if (!f)
		return ERR_NOMEM;
	f->loop = loop;
	f->fd = -1;
	snprintf(f->ifname, sizeof f->ifname, "%s", ifname);
	f->forwards = MAY_STAND;
	loop_timer_init(&f->timer, loop, on_timer);
	*out = f;
	return OK;
}

void firewall_start(struct firewall *f)
{
	f->running = true;
	if (route_watch_rules_open(&f->fd) == OK && loop_io_new(f->loop, f->fd, on_change, f, &f->io) == OK)
		loop_io_want(f->io, LOOP_READ);
	look(f);
}

void firewall_forward(struct firewall *f, bool wanted)
{
	if (f->forward == wanted)
		return;
	f->forward = wanted;
	look(f);
}

void firewall_stop(struct firewall *f)
{
	if (!f->running)
		return;
	f->running = false;
	loop_timer_stop(&f->timer);
	loop_io_close(MOVE(f->io));
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	look(f);
}

void firewall_free(struct firewall *f)
{
	if (!f)
		return;
	firewall_stop(f);
	loop_timer_done(&f->timer);
	if (f->busy)
		f->orphan = true; /* its worker's end frees it, at the latest in loop_free, which waits for that */
	else
		free(f);
}
