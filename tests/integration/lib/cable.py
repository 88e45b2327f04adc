#!/usr/bin/env python3
"""cable.py NS1 IF1 NS2 IF2 DELAY_MS LOSS_PERCENT: an Ethernet cable between two network namespaces, made of two TAP devices
that it creates, which delays and loses frames of each direction. Says "ready" and runs until it is ended."""
import ctypes, fcntl, heapq, os, random, select, struct, sys, time

TUNSETIFF, IFF_TAP, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 2, 0x1000, 0x40000000
QUEUE_MAX = 20000  # frames under way


def tap(ns, name):
    with open(f"/run/netns/{ns}") as f:
        if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def main():
    ns1, if1, ns2, if2, delay, loss = sys.argv[1:]
    a, b = tap(ns1, if1), tap(ns2, if2)
    other, delay, loss = {a: b, b: a}, float(delay) / 1000, float(loss) / 100
    wait, queue, n = select.poll(), [], 0
    wait.register(a, select.POLLIN)
    wait.register(b, select.POLLIN)
    print("ready", flush=True)
    while True:
        left = None if not queue else max(0, (queue[0][0] - time.monotonic()) * 1000)
        for fd, _ in wait.poll(left):
            for _ in range(64):
                try:
                    frame = os.read(fd, 65536)
                except BlockingIOError:
                    break
                except OSError:  # the device is down
                    time.sleep(0.01)
                    break
                if random.random() >= loss and len(queue) < QUEUE_MAX:
                    n += 1
                    heapq.heappush(queue, (time.monotonic() + delay, n, other[fd], frame))
        while queue and queue[0][0] <= time.monotonic():
            _, _, fd, frame = heapq.heappop(queue)
            try:
                os.write(fd, frame)
            except OSError:
                pass


main()
