/* Counts the weight bytes that the kernels really read, frame by frame.
 *
 * The library is compiled with -fsanitize=thread, which calls a function before each
 * access to memory; the functions are here, in place of the sanitizer's own, and note
 * reads of a layer's weights and constants. Argument: a file of frames (int8 [bins]).
 * Writes per frame and layer: bytes read, different bytes read, and the counter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"
#include "sluice_model.h"

typedef struct {
    const uint8_t *start;
    size_t count;
    uint8_t *touched;
} range_t;

typedef struct {
    range_t weights, constants;
    uint32_t read;
} layer_t;

static layer_t layers[SLUICE_LAYERS];
static size_t known;

static range_t range(const void *start, size_t count)
{
    uint8_t *touched = calloc(count, 1);
    if (touched == NULL) {
        exit(1);
    }
    return (range_t){start, count, touched};
}

static void add(const int8_t *weights, size_t outputs, size_t inputs, const int32_t *constants)
{
    layers[known].weights = range(weights, outputs * inputs);
    layers[known].constants = range(constants, outputs * SLUICE_PLAIN_CONSTANTS * 4u);
    known++;
}

static void add_pointwise(const sluice_pointwise_t *layer)
{
    add(layer->weights, layer->outputs, layer->inputs, layer->constants);
}

static void add_all(void)
{
    add_pointwise(&sluice_model.front);
    for (uint32_t i = 0; i < SLUICE_BLOCKS; i++) {
        const sluice_block_t *block = &sluice_model.blocks[i];
        if (sluice_model.site != SLUICE_SITE_NONE) {
            add_pointwise(&block->squeeze);
            add_pointwise(&block->score);
        }
        add_pointwise(&block->up);
        add(block->depthwise.weights, block->depthwise.count, SLUICE_DEPTHWISE_TAPS,
            block->depthwise.constants);
        add_pointwise(&block->down);
    }
    add_pointwise(&sluice_model.back);
}

static uint32_t note(const range_t *in, const uint8_t *address, size_t count)
{
    uint32_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (address + i >= in->start && address + i < in->start + in->count) {
            in->touched[address + i - in->start] = 1;
            bytes++;
        }
    }
    return bytes;
}

static void read_bytes(const void *address, size_t count)
{
    for (size_t i = 0; i < known; i++) {
        layers[i].read += note(&layers[i].weights, address, count);
        layers[i].read += note(&layers[i].constants, address, count);
    }
}

static uint32_t different(range_t *in)
{
    uint32_t count = 0;
    for (size_t i = 0; i < in->count; i++) {
        count += in->touched[i];
    }
    memset(in->touched, 0, in->count);
    return count;
}

#define READER(name, bytes) \
    void name(void *address); \
    void name(void *address) \
    { \
        read_bytes(address, bytes); \
    }
#define IGNORED(name) \
    void name(void *address); \
    void name(void *address) \
    { \
        (void)address; \
    }

READER(__tsan_read1, 1)
READER(__tsan_read2, 2)
READER(__tsan_read4, 4)
READER(__tsan_read8, 8)
READER(__tsan_read16, 16)
READER(__tsan_unaligned_read2, 2)
READER(__tsan_unaligned_read4, 4)
READER(__tsan_unaligned_read8, 8)
READER(__tsan_unaligned_read16, 16)
IGNORED(__tsan_write1)
IGNORED(__tsan_write2)
IGNORED(__tsan_write4)
IGNORED(__tsan_write8)
IGNORED(__tsan_write16)
IGNORED(__tsan_unaligned_write2)
IGNORED(__tsan_unaligned_write4)
IGNORED(__tsan_unaligned_write8)
IGNORED(__tsan_unaligned_write16)
IGNORED(__tsan_func_entry)

void __tsan_read_range(void *address, size_t count);
void __tsan_read_range(void *address, size_t count)
{
    read_bytes(address, count);
}

void __tsan_write_range(void *address, size_t count);
void __tsan_write_range(void *address, size_t count)
{
    (void)address;
    (void)count;
}

void __tsan_init(void);
void __tsan_init(void)
{
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

int main(int count, char **arguments)
{
    static _Alignas(16) uint8_t arena[SLUICE_ARENA_BYTES];
    static sluice_t instance;
    int8_t features[SLUICE_BINS];
    FILE *frames = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (frames == NULL || sluice_init(&instance, &sluice_model, arena, sizeof arena) < 0) {
        return 1;
    }
    add_all();
    while (fread(features, 1, SLUICE_BINS, frames) == SLUICE_BINS) {
        for (uint32_t i = 0; i < SLUICE_LAYERS; i++) {
            layers[i].read = 0;
        }
        if (sluice_process_frame(&instance, features) < 0) {
            return 1;
        }
        for (uint32_t i = 0; i < SLUICE_LAYERS; i++) {
            const char *name;
            sluice_layer_counters_t counters;
            if (sluice_layer(&instance, i, &name, &counters) < 0) {
                return 1;
            }
            const uint32_t row[3] = {
                layers[i].read,
                different(&layers[i].weights) + different(&layers[i].constants),
                counters.weight_bytes,
            };
            fwrite(row, sizeof row, 1, stdout);
        }
    }
    fclose(frames);
    for (size_t i = 0; i < known; i++) {
        free(layers[i].weights.touched);
        free(layers[i].constants.touched);
    }
    return 0;
}
