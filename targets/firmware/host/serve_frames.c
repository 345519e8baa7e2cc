/* The library as a program: frames on stdin, what the network makes of them on stdout.
 *
 * For a rung of the parity ladder that must run in a process of its own, such as one
 * under the sanitizers. First it says what it is, in lines:
 *
 *     bins N / blocks N / gates N / embedding N / tensor NAME CHANNELS ... / probe NAME ... / end
 *
 * Then each request is a byte: 'R' for a cold start, answered by 'R'; 'F' and int8 [bins]
 * for a frame, answered by 'F', every tensor, int8 [channels], the gates of each block, a
 * bit a gate, and the probes' scores, int32 in the machine's order; 'E' and int8 [embedding]
 * for whom to keep, answered by 'E'. It ends with its input.
 * Buffers have exactly the size that the interface asks for, so that a byte too far shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice_model.h"

#ifndef SLUICE_DIMENSIONS
#define SLUICE_DIMENSIONS 0
#endif

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

static void describe(const sluice_t *instance)
{
    printf("bins %d\nblocks %d\ngates %d\n", SLUICE_BINS, SLUICE_BLOCKS, SLUICE_GATES);
    printf("embedding %d\n", SLUICE_DIMENSIONS);
    for (uint32_t i = 0; i < SLUICE_TENSORS; i++) {
        sluice_tensor_t tensor;
        require(sluice_tensor(instance, i, &tensor) == SLUICE_OK, "sluice_tensor");
        printf("tensor %s %u\n", tensor.name, (unsigned)tensor.channels);
    }
    for (uint32_t i = 0; sluice_probe_name(&sluice_model, i) != NULL; i++) {
        printf("probe %s\n", sluice_probe_name(&sluice_model, i));
    }
    printf("end\n");
}

static void answer(const sluice_t *instance, uint8_t *bits, int32_t *scores)
{
    const uint32_t gates = SLUICE_GATES, probes = SLUICE_PROBES; /* 0 in a static network */
    putchar('F');
    for (uint32_t i = 0; i < SLUICE_TENSORS; i++) {
        sluice_tensor_t tensor;
        require(sluice_tensor(instance, i, &tensor) == SLUICE_OK, "sluice_tensor");
        fwrite(tensor.data, 1, tensor.channels, stdout);
    }
    for (uint32_t i = 0; gates > 0 && i < SLUICE_BLOCKS; i++) {
        require(sluice_gates(instance, i, bits) >= 0, "sluice_gates");
        fwrite(bits, 1, (gates + 7) / 8, stdout);
    }
    require(sluice_probes(instance, 0, probes, scores) == SLUICE_OK, "sluice_probes");
    fwrite(scores, sizeof *scores, probes, stdout);
}

int main(void)
{
    sluice_t *instance = calloc(1, sizeof *instance);
    void *arena = aligned_alloc(16, SLUICE_ARENA_BYTES);
    int8_t *features = malloc(SLUICE_BINS);
    uint8_t *bits = malloc(SLUICE_GATES / 8 + 1);
    int32_t *scores = malloc((SLUICE_PROBES + 1) * sizeof *scores);
    int8_t *embedding = malloc(SLUICE_DIMENSIONS + 1);
    require(instance && arena && features && bits && scores && embedding, "malloc");
    memset(arena, 0xa5, SLUICE_ARENA_BYTES); /* what was in memory must not matter */
    require(sluice_init(instance, &sluice_model, arena, SLUICE_ARENA_BYTES) == 0, "sluice_init");
    describe(instance);
    fflush(stdout);
    for (int request; (request = getchar()) != EOF;) {
        if (request == 'R') {
            require(sluice_reset(instance) == SLUICE_OK, "sluice_reset");
            putchar('R');
        } else if (request == 'E' && SLUICE_DIMENSIONS > 0) {
            require(fread(embedding, 1, SLUICE_DIMENSIONS, stdin) == SLUICE_DIMENSIONS,
                    "a whole embedding");
            require(sluice_set_embedding(instance, embedding, SLUICE_DIMENSIONS) == SLUICE_OK,
                    "sluice_set_embedding");
            putchar('E');
        } else {
            require(request == 'F', "a request");
            require(fread(features, 1, SLUICE_BINS, stdin) == SLUICE_BINS, "a whole frame");
            require(sluice_process_frame(instance, features) == SLUICE_OK, "sluice_process_frame");
            answer(instance, bits, scores);
        }
        fflush(stdout);
    }
    free(embedding);
    free(scores);
    free(bits);
    free(features);
    free(arena);
    free(instance);
    return 0;
}
