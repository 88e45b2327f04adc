#include "client/firewall.h"

#include <net/if.h>
#include <pthread.h>
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

	pthread_mutex_t lock; /* held while rules are changed */
	bool running;          /* under lock */
	_Atomic bool forward;  /* wanted; without the lock, which the worker holds as long as programs run */
	enum { STANDS, STANDS_NOT, MAY_STAND } forwards; /* under lock: the rules of a router; a killed one may have left them */
};

static void change(struct firewall *f)
{
	bool changed;

	(void)!route_coexist(f->ifname, &changed);
	bool forward = f->forward; /* it may change meanwhile: then another look follows */
	if (f->forwards == (forward ? STANDS : STANDS_NOT))
		return;
	if (!forward)
		route_forward_remove();
	else if (route_forward(f->ifname) != OK)
		return; /* the next look tries again */
	f->forwards = forward ? STANDS : STANDS_NOT;
}

static void work(void *arg)
{
	struct firewall *f = arg;

	pthread_mutex_lock(&f->lock);
	if (f->running)
		change(f);
	pthread_mutex_unlock(&f->lock);
}

static void destroy(struct firewall *f)
{
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void worked(void *arg)
{
	struct firewall *f = arg;

	f->busy = false;
	if (f->orphan) {
		destroy(f);
		return;
	}
	if (f->running) /* written by this thread only */
		loop_timer_in(&f->timer, f->again ? FIREWALL_SOON_MS : FIREWALL_LOOK_MS);
	f->again = false;
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
	pthread_mutex_init(&f->lock, NULL);
	loop_timer_init(&f->timer, loop, on_timer);
	*out = f;
	return OK;
}

void firewall_start(struct firewall *f)
{
	pthread_mutex_lock(&f->lock);
	f->running = true;
	f->forwards = MAY_STAND;
	pthread_mutex_unlock(&f->lock);
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
	pthread_mutex_lock(&f->lock); /* the worker is through, or will find that it is over */
	bool was = f->running;
	f->running = false;
	if (was) {
		route_coexist_remove(f->ifname);
		if (f->forwards != STANDS_NOT)
			route_forward_remove();
		f->forwards = STANDS_NOT;
	}
	pthread_mutex_unlock(&f->lock);
	loop_timer_stop(&f->timer);
	loop_io_close(MOVE(f->io));
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->again = false;
}

void firewall_free(struct firewall *f)
{
	if (!f)
		return;
	firewall_stop(f);
	loop_timer_done(&f->timer);
	if (f->busy)
		f->orphan = true; /* its worker's end frees it */
	else
		destroy(f);
}
