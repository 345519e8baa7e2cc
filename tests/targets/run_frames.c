/* Frames and hops through the library, all that it gives written to stdout.
 *
 * Arguments: a file of frames (int8 [bins] each), a file of hops (int16 [hop] each),
 * and optionally a gate. Per frame: every tensor, the gates, the probes and the
 * layers' counters; then, after a reset, the PCM of every hop. Buffers have exactly
 * the size that the interface asks for, so that a sanitizer sees a byte too far.
 *
 * With a gate, the weights that only its channels need are made unreadable first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"
#include "sluice_model.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(start, size) ((void)(start), (void)(size))
#endif

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

static void poison(const sluice_pointwise_t *layer, uint32_t row, uint32_t rows)
{
    __asan_poison_memory_region(layer->weights + row * layer->inputs, rows * layer->inputs);
}

static void poison_gate(uint32_t gate)
{
    const uint32_t group = sluice_model.group, first = gate * group;
    for (uint32_t b = 0; b < SLUICE_BLOCKS; b++) {
        const sluice_block_t *block = &sluice_model.blocks[b];
        if (sluice_model.site == SLUICE_SITE_OUTPUT) {
            poison(&block->down, first, group);
            continue;
        }
        poison(&block->up, first, group);
        __asan_poison_memory_region(block->depthwise.weights + 3 * first, 3 * group);
        for (uint32_t row = 0; row < block->down.outputs; row++) {
            __asan_poison_memory_region(block->down.weights + row * block->down.inputs + first,
                                        group);
        }
    }
}

static void write_state(const sluice_t *instance)
{
    const uint32_t gates = SLUICE_GATES, probes = SLUICE_PROBES; /* 0 in a static network */
    uint8_t bits[SLUICE_GATES / 8 + 1];
    for (uint32_t i = 0; i < SLUICE_TENSORS; i++) {
        sluice_tensor_t tensor;
        require(sluice_tensor(instance, i, &tensor) == SLUICE_OK, "sluice_tensor");
        fwrite(tensor.data, 1, tensor.channels, stdout);
    }
    for (uint32_t i = 0; gates > 0 && i < SLUICE_BLOCKS; i++) {
        require(sluice_gates(instance, i, bits) >= 0, "sluice_gates");
        fwrite(bits, 1, (gates + 7) / 8, stdout);
    }
    int32_t *scores = malloc((probes + 1) * sizeof *scores); /* one, or all from any on */
    require(scores != NULL, "malloc");
    for (uint32_t i = 0; i < probes; i++) {
        int32_t score;
        require(sluice_probe(instance, i, &score) == SLUICE_OK, "sluice_probe");
        require(sluice_probes(instance, i, probes - i, scores) == SLUICE_OK, "sluice_probes");
        require(score == scores[0], "the score of one probe");
        fwrite(&score, sizeof score, 1, stdout);
    }
    free(scores);
    for (uint32_t i = 0; i < SLUICE_LAYERS; i++) {
        const char *name;
        sluice_layer_counters_t counters;
        require(sluice_layer(instance, i, &name, &counters) == SLUICE_OK, "sluice_layer");
        fwrite(&counters, sizeof counters, 1, stdout);
    }
}

int main(int count, char **arguments)
{
    require(count == 3 || count == 4, "usage: run_frames FRAMES HOPS [GATE]");
    FILE *frames = fopen(arguments[1], "rb"), *hops = fopen(arguments[2], "rb");
    require(frames != NULL && hops != NULL, "fopen");
    if (count == 4) {
        poison_gate((uint32_t)atoi(arguments[3]));
    }
    sluice_t *instance = calloc(1, sizeof *instance);
    void *arena = aligned_alloc(16, SLUICE_ARENA_BYTES);
    int8_t *features = malloc(SLUICE_BINS);
    int16_t *pcm = malloc(SLUICE_HOP * sizeof *pcm);
    require(instance != NULL && arena != NULL && features != NULL && pcm != NULL, "malloc");
    memset(arena, 0xa5, SLUICE_ARENA_BYTES); /* what was in memory must not matter */

    require(sluice_init(instance, &sluice_model, arena, SLUICE_ARENA_BYTES) == 0, "sluice_init");
    while (fread(features, 1, SLUICE_BINS, frames) == SLUICE_BINS) {
        require(sluice_process_frame(instance, features) == SLUICE_OK, "sluice_process_frame");
        write_state(instance);
    }
    require(sluice_reset(instance) == SLUICE_OK, "sluice_reset");
    while (fread(pcm, sizeof *pcm, SLUICE_HOP, hops) == SLUICE_HOP) {
        require(sluice_process_hop(instance, pcm) == SLUICE_OK, "sluice_process_hop");
        fwrite(pcm, sizeof *pcm, SLUICE_HOP, stdout);
    }
    free(pcm);
    free(features);
    free(arena);
    free(instance);
    fclose(frames);
    fclose(hops);
    return 0;
}
