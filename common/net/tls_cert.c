#include "common/net/tls_cert.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/base/openssl.h"
#include "common/net/tls.h"

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void bio_freep(BIO **b)
{
	BIO_free(*b);
}

static BIO *bio_over(struct bytes b)
{
	return b.n && b.n <= TLS_PEM_FILE_MAX ? BIO_new_mem_buf(b.p, (int)b.n) : NULL;
}

static int no_password(char *p, int cap, int writing, void *ctx)
{
	(void)p;
	(void)cap;
	(void)writing;
	(void)ctx;
	return -1;
}

bool tls_pair_read_cert(struct tls_pair *p, struct bytes pem)
{
	CLEANUP(bio_freep) BIO *b = bio_over(pem);
	X509 *next;

	if (!b || !(p->leaf = PEM_read_bio_X509(b, NULL, no_password, NULL)) || !(p->chain = sk_X509_new_null()))
		return false;
	while (sk_X509_num(p->chain) < TLS_CHAIN_MAX && (next = PEM_read_bio_X509(b, NULL, no_password, NULL)))
		if (sk_X509_push(p->chain, next) <= 0) {
			X509_free(next);
			return false;
		}
	ERR_clear_error(); /* the end of the file is one */
	return true;
}

bool tls_pair_read_key(struct tls_pair *p, struct bytes pem)
{
	CLEANUP(bio_freep) BIO *b = bio_over(pem);

	p->key = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
	ERR_clear_error();
	return p->key != NULL;
}

void tls_pair_done(struct tls_pair *p)
{
	X509_free(p->leaf);
	sk_X509_pop_free(p->chain, X509_free);
	EVP_PKEY_free(p->key);
	*p = (struct tls_pair){ 0 };
}

err tls_read_file(const char *path, struct bytes *out)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *p;
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		return ERR_SYS;
	if (!(p = malloc(TLS_PEM_FILE_MAX + 1)))
		return ERR_NOMEM;
	while (n <= TLS_PEM_FILE_MAX && (got = read(fd, p + n, TLS_PEM_FILE_MAX + 1 - n)) != 0) {
		if (got < 0) {
			tls_free_file(bytes_of(p, n));
			return ERR_SYS;
		}
		n += (size_t)got;
	}
	if (n > TLS_PEM_FILE_MAX) {
		tls_free_file(bytes_of(p, n));
		return ERR_TOO_BIG;
	}
	*out = bytes_of(p, n);
	return OK;
}

void tls_free_file(struct bytes b)
{
	void *p = (void *)(uintptr_t)b.p;

	if (p)
		sodium_memzero(p, b.n);
	free(p);
}

void tls_cert_sha256(X509 *x, char out[65])
{
	uint8_t hash[32] = { 0 };
	unsigned n = sizeof hash;

	X509_digest(x, EVP_sha256(), hash, &n);
	sodium_bin2hex(out, 65, hash, sizeof hash);
}

bool tls_cert_is_metacert(X509 *x)
{
	X509_NAME *name = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	X509_NAME_ENTRY *entry = at >= 0 ? X509_NAME_get_entry(name, at) : NULL;
	ASN1_STRING *cn = entry ? X509_NAME_ENTRY_get_data(entry) : NULL;

	return cn && bytes_has_prefix(bytes_of(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn)),
			BYTES_LIT("derpkey"));
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void gens_freep(GENERAL_NAMES **g)
{
	GENERAL_NAMES_free(*g);
}

static void key_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void x509_freep(X509 **x)
{
	X509_free(*x);
}

static bool add_san(GENERAL_NAMES *list, const char *name)
{
	uint8_t ip[16];
	int n = inet_pton(AF_INET, name, ip) == 1 ? 4 : inet_pton(AF_INET6, name, ip) == 1 ? 16 : 0;
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = n ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	if (!g || !s || ASN1_STRING_set(s, n ? (const void *)ip : name, n ? n : (int)strlen(name)) != 1) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(s);
		return false;
	}
	GENERAL_NAME_set0_value(g, n ? GEN_IPADD : GEN_DNS, s);
	if (sk_GENERAL_NAME_push(list, g) <= 0) {
		GENERAL_NAME_free(g);
		return false;
	}
	return true;
}

static bool add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool ok = e && X509_add_ext(x, e, -1) == 1;

	X509_EXTENSION_free(e);
	return ok;
}

static bool set_serial(X509 *x)
{
	uint8_t b[16];
	BIGNUM *n;

	random_fill(b, sizeof b);
	b[0] = (b[0] & 0x7f) | 0x40; /* positive, and of one length */
	n = BN_bin2bn(b, sizeof b, NULL);
	bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok;
}

/* The CN is for people only; X.509 bounds it to 64 characters. */
static bool set_names(X509 *x, const char *const *names, size_t n_names)
{
	CLEANUP(gens_freep) GENERAL_NAMES *san = GENERAL_NAMES_new();
	X509_NAME *name = X509_get_subject_name(x);
	const char *cn = n_names && strlen(names[0]) <= 64 ? names[0] : "fairlead";

	if (!san || X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) != 1 ||
			X509_set_issuer_name(x, name) != 1)
		return false;
	for (size_t i = 0; i < n_names; i++)
		if (!add_san(san, names[i]))
			return false;
	return n_names == 0 || X509_add1_ext_i2d(x, NID_subject_alt_name, san, 0, 0) == 1;
}

static char *bio_text(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	return n > 0 ? bytes_dup(bytes_of(p, (size_t)n)) : NULL;
}

err tls_self_signed(const char *const *names, size_t n_names, unsigned days, char **cert_pem, char **key_pem)
{
	const int64_t day_s = 86400, days_max = 365 * 100;
	CLEANUP(key_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(x509_freep) X509 *x = X509_new();
	CLEANUP(bio_freep) BIO *cert_out = BIO_new(BIO_s_mem());
	CLEANUP(bio_freep) BIO *key_out = BIO_new(BIO_s_secmem());
	CLEANUP(freep) char *cert = NULL;

	if (!key || !x || !cert_out || !key_out)
		return ERR_NOMEM;
	if (days == 0 || days > days_max)
		return ERR_INVALID;
	if (X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) || !set_names(x, names, n_names) ||
			!X509_gmtime_adj(X509_getm_notBefore(x), -day_s) || /* clients' clocks may be behind */
			!X509_gmtime_adj(X509_getm_notAfter(x), (long)(days * day_s)) || X509_set_pubkey(x, key) != 1 ||
			!add_extension(x, NID_basic_constraints, "critical,CA:FALSE") ||
			!add_extension(x, NID_ext_key_usage, "serverAuth") || !X509_sign(x, key, EVP_sha256()))
		return ERR_INVALID;
	if (PEM_write_bio_X509(cert_out, x) != 1 || PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) != 1 ||
			!(cert = bio_text(cert_out)) || !(*key_pem = bio_text(key_out)))
		return ERR_NOMEM;
	*cert_pem = MOVE(cert);
	return OK;
}
