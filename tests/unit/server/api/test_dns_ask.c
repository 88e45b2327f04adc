/* Asking name servers: what is sent, what is taken for an answer, and what becomes of none. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "server/api/dns_ask.h"
#include "tests/lib/test.h"

static size_t answer_packet(const struct dns_question *q, uint16_t id, uint8_t out[512])
{
	static const uint8_t cname[] = { 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'w', 0xc0, 12 }, a[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 40, 3, 18 };
	size_t n = dns_write_question(q, id, out, 512);

	out[2] = 0x81; /* an answer */
	out[3] = 0x80;
	out[7] = 2;
	memcpy(out + n, cname, sizeof cname);
	memcpy(out + n + sizeof cname, a, sizeof a);
	return n + sizeof cname + sizeof a;
}

static void a_question_is_a_packet(void **state)
{
	static const uint8_t want[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 'd', 'b', 4, 'c', 'o', 'r', 'p', 0, 0, 1, 0, 1 };
	struct dns_question q = { .name = "db.corp", .type = DNS_TYPE_A };
	uint8_t out[512];
	(void)state;

	assert_int_equal(dns_write_question(&q, 0x1234, out, sizeof out), sizeof want);
	assert_memory_equal(out, want, sizeof want);
	q.name = "";
	assert_int_equal(dns_write_question(&q, 1, out, sizeof out), 12 + 1 + 4);
	assert_int_equal(dns_write_question(&q, 1, out, 16), 0);
	static const char *const bad[] = { "a..b", ".a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		q.name = bad[i];
		assert_int_equal(dns_write_question(&q, 1, out, sizeof out), 0);
	}
}

static void only_its_answer_is_taken(void **state)
{
	struct dns_question q = { .name = "db.corp", .type = DNS_TYPE_A }, other = { .name = "dc.corp", .type = DNS_TYPE_A };
	uint8_t p[512];
	char text[ADDR_TEXT_MAX];
	(void)state;

	size_t n = answer_packet(&q, 7, p);
	assert_true(dns_read_answer(&q, 7, bytes_of(p, n)));
	assert_int_equal(q.verdict, DNS_ANSWERS);
	assert_int_equal(q.n_answers, 1);
	assert_string_equal(addr_text(q.answer[0], text), "10.40.3.18");
	p[13] = 'D'; /* servers may change the case of letters */
	assert_true(dns_read_answer(&q, 7, bytes_of(p, n)));
	assert_false(dns_read_answer(&q, 8, bytes_of(p, n)));
	assert_false(dns_read_answer(&other, 7, bytes_of(p, n)));
	p[2] = 1; /* a question */
	assert_false(dns_read_answer(&q, 7, bytes_of(p, n)));
	p[2] = 0x81;
	p[3] = 3;
	assert_true(dns_read_answer(&q, 7, bytes_of(p, n)));
	assert_int_equal(q.verdict, DNS_NO_SUCH_NAME);
	assert_int_equal(q.n_answers, 0);
	p[3] = 5;
	assert_true(dns_read_answer(&q, 7, bytes_of(p, n)));
	assert_int_equal(q.verdict, DNS_FAILS);
}

/* Whatever comes: nothing is read beyond its end (ASan looks), and no more than fits is kept. */
static void hostile_answers_do_no_harm(void **state)
{
	struct dns_question q = { .name = "db.corp", .type = DNS_TYPE_A };
	uint8_t good[512];
	size_t n = answer_packet(&q, 7, good);
	(void)state;

	for (size_t cut = 0; cut <= n; cut++) {
		uint8_t *p = malloc(cut ? cut : 1);
		memcpy(p, good, cut);
		q.n_answers = 0;
		(void)dns_read_answer(&q, 7, bytes_of(p, cut));
		assert_true(q.n_answers <= DNS_ANSWERS_MAX);
		free(p);
	}
	srand(5);
	for (int round = 0; round < 20000; round++) {
		uint8_t *p = malloc(n);
		memcpy(p, good, n);
		for (int k = 0; k < 3; k++)
			p[2 + (size_t)rand() % (n - 2)] = (uint8_t)rand();
		(void)dns_read_answer(&q, 7, bytes_of(p, n));
		assert_true(q.n_answers <= DNS_ANSWERS_MAX);
		free(p);
	}
	/* A thousand records are said to follow; a name points at itself. */
	uint8_t loop[512];
	size_t m = answer_packet(&q, 7, loop);
	loop[6] = 0xff;
	loop[7] = 0xff;
	size_t at = dns_write_question(&q, 7, (uint8_t[512]){ 0 }, 512);
	loop[at] = 0xc0;
	loop[at + 1] = (uint8_t)at;
	assert_true(dns_read_answer(&q, 7, bytes_of(loop, m)));
	assert_true(q.n_answers <= DNS_ANSWERS_MAX);
}

static void *serve(void *arg)
{
	int fd = *(int *)arg;
	uint8_t in[512], out[512];
	struct sockaddr_storage from;
	socklen_t len = sizeof from;

	if (recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &len) < 12)
		return NULL;
	struct dns_question q = { .name = "db.corp", .type = DNS_TYPE_A };
	uint16_t id = (uint16_t)(in[0] << 8 | in[1]);
	size_t n = answer_packet(&q, (uint16_t)(id + 1), out); /* a forged one first */
	sendto(fd, out, n, 0, (struct sockaddr *)&from, len);
	n = answer_packet(&q, id, out);
	sendto(fd, out, n, 0, (struct sockaddr *)&from, len);
	return NULL;
}

static int bound(char name[64])
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(name, 64, "127.0.0.1:%d", ntohs(sa.sin_port));
	return fd;
}

static void servers_are_asked_at_once(void **state)
{
	char there[64], mute[64], gone[64];
	int fd = bound(there), quiet = bound(mute), closed = bound(gone);
	pthread_t t;
	(void)state;

	close(closed);
	assert_int_equal(pthread_create(&t, NULL, serve, &fd), 0);
	struct dns_question q[] = {
		{ .server = there, .name = "db.corp", .type = DNS_TYPE_A }, { .server = mute, .name = "db.corp", .type = DNS_TYPE_A }, { .server = gone, .name = "db.corp", .type = DNS_TYPE_A },
		{ .server = "https://dns.example/query", .name = "", .type = DNS_TYPE_NS }, { .server = "127.0.0.1:0", .name = "", .type = DNS_TYPE_NS },
	};
	dns_ask(q, ARRAY_LEN(q), 400);
	pthread_join(t, NULL);
	close(fd);
	close(quiet);
	assert_int_equal(q[0].verdict, DNS_ANSWERS);
	assert_int_equal(q[0].n_answers, 1);
	assert_true(q[0].ms > 0 && q[0].ms < 400);
	assert_int_equal(q[1].verdict, DNS_SILENT);
	assert_int_equal(q[2].verdict, DNS_UNREACHABLE);
	assert_int_equal(q[3].verdict, DNS_UNCHECKED);
	assert_int_equal(q[4].verdict, DNS_UNCHECKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_a_packet),
		cmocka_unit_test(only_its_answer_is_taken),
		cmocka_unit_test(hostile_answers_do_no_harm),
		cmocka_unit_test(servers_are_asked_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
