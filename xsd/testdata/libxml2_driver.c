/* Validates one document again and again with libxml2's streaming (SAX) schema
 * validation and prints nanoseconds per document. Built by the benchmark
 * behind the build tag libxml2; no part of the product. */
#include <libxml/xmlschemas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void silent(void *ctx, const char *msg, ...) { (void)ctx; (void)msg; }

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s schema document iterations\n", argv[0]);
        return 2;
    }
    xmlSchemaParserCtxtPtr parser = xmlSchemaNewParserCtxt(argv[1]);
    xmlSchemaPtr schema = xmlSchemaParse(parser);
    if (!schema)
        return 2;
    FILE *f = fopen(argv[2], "rb");
    if (!f)
        return 2;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *doc = malloc(size);
    if (fread(doc, 1, size, f) != (size_t)size)
        return 2;
    xmlSchemaValidCtxtPtr valid = xmlSchemaNewValidCtxt(schema);
    xmlSchemaSetValidErrors(valid, silent, silent, NULL);
    xmlSAXHandler sax;
    memset(&sax, 0, sizeof sax);
    sax.initialized = XML_SAX2_MAGIC;
    long n = atol(argv[3]);
    struct timespec a, b;
    for (long i = -n / 10; i < n; i++) {
        if (i == 0)
            clock_gettime(CLOCK_MONOTONIC, &a);
        xmlParserInputBufferPtr in = xmlParserInputBufferCreateMem(doc, size, XML_CHAR_ENCODING_NONE);
        if (xmlSchemaValidateStream(valid, in, XML_CHAR_ENCODING_NONE, &sax, NULL) != 0) {
            fprintf(stderr, "the document is not valid\n");
            return 1;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.0f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n);
    return 0;
}
