/* stats: the relay's counters, under derper's names (protocol/derp.md 13). Each thread counts in its own set without
 * contention; readers of any thread add the sets up. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* C(name) counts up, G(name) goes up and down. The second column is the name that metrics show, with its labels. D(name) counts
 * packets dropped for a reason (the second column), and those of disco among them: STATS_DROP. One family stays together. */
#define RELAY_STATS(C, G, D)                                                                                           \
	C(accepts, "accepts")                                                                                          \
	C(websocket_accepts, "websocket_accepts")                                                                      \
	G(connections, "current_connections")                                                                          \
	G(home_connections, "current_home_connections")                                                                \
	G(not_ideal, "current_notideal_connections")                                                                   \
	C(dup_conns, "total_dup_client_conns")                                                                         \
	C(home_moves_in, "home_moves_in")                                                                              \
	C(home_moves_out, "home_moves_out")                                                                            \
	C(bytes_received, "bytes_received")                                                                            \
	C(bytes_sent, "bytes_sent")                                                                                    \
	C(packets_received, "packets_received")                                                                        \
	C(packets_sent, "packets_sent")                                                                                \
	C(received_disco, "packets_received_kind{kind=\"disco\"}")                                                               \
	C(received_other, "packets_received_kind{kind=\"other\"}")                                                               \
	D(dropped_unknown_dest, "unknown_dest")                                                        \
	D(dropped_unknown_dest_on_fwd, "unknown_dest_on_fwd")                                          \
	D(dropped_gone, "gone_disconnected")                                                           \
	D(dropped_queue_head, "queue_head")                                                            \
	D(dropped_queue_tail, "queue_tail")                                                            \
	C(got_ping, "got_ping")                                                                                        \
	C(peer_gone_disconnected, "peer_gone_disconnected_frames")                                                     \
	C(peer_gone_not_here, "peer_gone_not_here_frames")                                                             \
	G(watchers, "watchers")                                                                                        \
	C(forwarded_out, "packets_forwarded_out")                                                                      \
	C(forwarded_in, "packets_forwarded_in")                                                                        \
	C(rate_pauses, "rate_limit_pauses")                                                                            \
	C(idle_pauses, "idle_frame_pauses")                                                                            \
	C(yields, "sender_yields")                                                                                     \
	C(write_timeouts, "sclient_write_timeouts")                                                                    \
	C(refused_limit, "refused_limit")                                                                              \
	C(refused_admission, "refused_admission")                                                                      \
	C(handshakes_failed, "handshakes_failed")                                                                      \
	G(queued_bytes, "queued_bytes")

struct relay_stats {
#define FIELD(name, text) uint64_t name;
#define DROPS(name, text) uint64_t name, name##_disco;
	RELAY_STATS(FIELD, FIELD, DROPS)
#undef FIELD
#undef DROPS
};

/* One thread's set: written by that thread only, so a store needs no locked instruction. */
struct stats_cells {
#define FIELD(name, text) _Atomic uint64_t name;
#define DROPS(name, text) _Atomic uint64_t name, name##_disco;
	RELAY_STATS(FIELD, FIELD, DROPS)
#undef FIELD
#undef DROPS
};

#define STATS_ADD(cells, name, by)                                                                                     \
	atomic_store_explicit(&(cells)->name,                                                                          \
		atomic_load_explicit(&(cells)->name, memory_order_relaxed) + (uint64_t)(by), memory_order_relaxed)

#define STATS_DROP(cells, name, n, is_disco) (STATS_ADD(cells, name, n), STATS_ADD(cells, name##_disco, (is_disco) ? (n) : 0))

/* Adds one thread's set to out. */
void stats_sum(const struct stats_cells *cells, struct relay_stats *out);
/* Calls each with derper's name (labels included, as Prometheus writes them), the value, and whether it is a gauge. */
void stats_each(const struct relay_stats *s, void (*each)(void *ctx, const char *name, uint64_t value, int is_gauge),
	void *ctx);
