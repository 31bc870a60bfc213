/*
 * Times OpenSSL's GOST engine for the benchmarks of this package. Run with
 * OPENSSL_CONF naming a configuration that loads the engine:
 *
 *     engine_bench digest NAME OCTETS
 *     engine_bench sign|verify ALGORITHM PARAMSET
 *
 * It prints nanoseconds of processor time for one operation, on one thread.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* MEASURE repeats an expression in 25 slices of 20 ms; what it prints is of the quickest. */
#define MEASURE(operation)                                          \
	do {                                                        \
		double least = 1e18;                                \
		for (int slice = 0; slice < 25; slice++) {          \
			double start = now(), spent = 0;            \
			long count = 0;                             \
			for (; spent < 2e7; spent = now() - start)  \
				for (int i = 0; i < 10; i++, count++) \
					if (!(operation))           \
						die(#operation);    \
			if (spent / count < least)                  \
				least = spent / count;              \
		}                                                   \
		printf("%.1f\n", least);                            \
	} while (0)

static void digest(const char *name, size_t octets)
{
	const EVP_MD *md = EVP_get_digestbyname(name);
	unsigned char out[EVP_MAX_MD_SIZE], *data = calloc(1, octets);
	if (!md || !data)
		die("no such digest");
	MEASURE(EVP_Digest(data, octets, out, NULL, md, NULL));
}

static void signature(int verify, const char *algorithm, const char *set)
{
	ENGINE *engine = NULL;
	const EVP_PKEY_ASN1_METHOD *method = EVP_PKEY_asn1_find_str(&engine, algorithm, -1);
	int id;
	EVP_PKEY *key = NULL;
	unsigned char hash[64], sig[128];
	size_t size = strstr(algorithm, "512") ? 64 : 32, length = sizeof(sig);
	if (!method || !EVP_PKEY_asn1_get0_info(&id, NULL, NULL, NULL, NULL, method))
		die("no such algorithm");
	memset(hash, 0x5a, sizeof(hash));
	EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_id(id, engine);
	if (!gen || EVP_PKEY_keygen_init(gen) <= 0 || EVP_PKEY_CTX_ctrl_str(gen, "paramset", set) <= 0 ||
	    EVP_PKEY_keygen(gen, &key) <= 0)
		die("key");
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, engine);
	if (!ctx || EVP_PKEY_sign_init(ctx) <= 0 || EVP_PKEY_sign(ctx, sig, &length, hash, size) <= 0)
		die("sign");
	if (!verify) {
		size_t room;
		MEASURE((room = sizeof(sig), EVP_PKEY_sign(ctx, sig, &room, hash, size) > 0));
		return;
	}
	if (EVP_PKEY_verify_init(ctx) <= 0)
		die("verify");
	MEASURE(EVP_PKEY_verify(ctx, sig, length, hash, size) == 1);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("arguments");
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ENGINE_ALL_BUILTIN, NULL);
	if (!strcmp(argv[1], "digest"))
		digest(argv[2], strtoul(argv[3], NULL, 10));
	else
		signature(!strcmp(argv[1], "verify"), argv[2], argv[3]);
	return 0;
}
