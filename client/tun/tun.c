#include "client/tun/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "common/base/cleanup.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
	READ_ROOM = VNET_LEN + TUN_PACKET_MAX + 1,
	/* A full read cut at the smallest usual MSS, messages included; what does not fit comes with the next call. */
	OUT_ROOM = 88 * 1024,
};

struct tun {
	int fd;
	char name[IFNAMSIZ];
	unsigned offloads;
	bool vnet;
	bool splitting; /* split has more */
	struct tun_split split;
	struct tun_merge merge;
	struct tun_stats stats;
	uint8_t in[READ_ROOM];
	uint8_t out[OUT_ROOM];
};

static void tun_closep(struct tun **t)
{
	tun_close(*t);
}

void tun_close(struct tun *t)
{
	if (!t)
		return;
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

/* USO needs a newer kernel than TSO, and neither may cost us the device. */
static unsigned set_offloads(int fd, unsigned want)
{
	unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, uso = TUN_F_USO4 | TUN_F_USO6;

	if ((want & TUN_TSO) && (want & TUN_USO) && ioctl(fd, TUNSETOFFLOAD, (unsigned long)(tso | uso)) == 0)
		return TUN_TSO | TUN_USO;
	if ((want & TUN_TSO) && ioctl(fd, TUNSETOFFLOAD, (unsigned long)tso) == 0)
		return TUN_TSO;
	(void)ioctl(fd, TUNSETOFFLOAD, 0UL);
	return 0;
}

static err set_mtu(const char *name, unsigned mtu)
{
	CLEANUP(closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_mtu = (int)mtu };

	if (s < 0)
		return ERR_SYS;
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	return ioctl(s, SIOCSIFMTU, &r) == 0 ? OK : ERR_SYS;
}

err tun_open(const char *name, unsigned want, unsigned mtu, struct tun **out)
{
	CLEANUP(tun_closep) struct tun *t = calloc(1, sizeof *t);
	struct ifreq r = { 0 };

	if (!t)
		return ERR_NOMEM;
	t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0)
		return ERR_SYS;
	if (strlen(name) >= sizeof r.ifr_name)
		return ERR_INVALID;
	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	r.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | (want & TUN_ALL ? IFF_VNET_HDR : 0));
	if (ioctl(t->fd, TUNSETIFF, &r) != 0)
		return ERR_SYS;
	t->vnet = want & TUN_ALL;
	if (t->vnet)
		t->offloads = set_offloads(t->fd, want) | (want & TUN_NO_MERGE);
	snprintf(t->name, sizeof t->name, "%s", r.ifr_name);
	TRY(set_mtu(t->name, mtu));
	tun_flush(t); /* sets up an empty batch */
	*out = MOVE(t);
	return OK;
}

int tun_fd(const struct tun *t)
{
	return t->fd;
}

const char *tun_name(const struct tun *t)
{
	return t->name;
}

unsigned tun_offloads(const struct tun *t)
{
	return t->offloads;
}

const struct tun_stats *tun_stats(const struct tun *t)
{
	return &t->stats;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

/* The next packet of the kernel as t->split. False: none, and *gone says if there will never be one. */
static bool read_one(struct tun *t, bool *gone)
{
	for (;;) {
		ssize_t n = read(t->fd, t->in, sizeof t->in);
		struct vnet v = { 0 };
		size_t head = t->vnet ? VNET_LEN : 0;

		if (n < 0) {
			*gone = errno != EAGAIN && errno != EINTR && errno != EIO; /* EIO: the link is down */
			return false;
		}
		t->stats.read_calls++;
		t->stats.read_bytes += (size_t)n;
		if ((t->vnet && vnet_parse(bytes_of(t->in, (size_t)n), &v) != OK) || (size_t)n < head ||
			tun_split_init(&t->split, &v, t->in + head, (size_t)n - head) != OK) {
			t->stats.malformed++;
			continue;
		}
		return true;
	}
}

err tun_read(struct tun *t, struct wg_packet *pkts, size_t max, size_t *n)
{
	bool gone = false;

	for (;;) {
		if (t->splitting) {
			*n = tun_split_step(&t->split, t->out, sizeof t->out, pkts, max);
			if (*n)
				return OK;
			t->splitting = false;
		}
		if (!read_one(t, &gone)) {
			*n = 0;
			return gone ? ERR_CLOSED : OK;
		}
		t->splitting = true;
	}
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

void tun_flush(struct tun *t)
{
	struct iovec iov[TUN_GROUP_MAX + 1];

	for (unsigned i = 0; i < t->merge.n_groups; i++) {
		size_t n = tun_merge_iov(&t->merge, i, iov);
		ssize_t done = t->vnet ? writev(t->fd, iov, (int)n) : writev(t->fd, iov + 1, (int)n - 1);

		t->stats.write_calls++;
		if (done >= 0) {
			t->stats.written_bytes += (size_t)done;
			continue;
		}
		t->stats.write_errors++;
		if (errno == EINVAL && n > 2) {
			/* Kernels with a fault in their check of merged packets (6.6.44): these are lost, TCP repeats
			 * them, and from now on nothing is merged. */
			t->offloads |= TUN_NO_MERGE;
		}
	}
	tun_merge_init(&t->merge, (t->offloads & TUN_TSO) && !(t->offloads & TUN_NO_MERGE),
		(t->offloads & TUN_USO) && !(t->offloads & TUN_NO_MERGE));
}

void tun_write(struct tun *t, struct wg_packet *pkts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!pkts[i].n)
			continue;
		if (!tun_merge_add(&t->merge, pkts[i].p, pkts[i].n)) {
			tun_flush(t);
			(void)tun_merge_add(&t->merge, pkts[i].p, pkts[i].n);
		}
	}
}
