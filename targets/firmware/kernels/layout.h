/* How a layer's weights are stored; the compiler chooses for the core. */
#ifndef SLUICE_LAYOUT_H
#define SLUICE_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    SLUICE_LAYOUT_PLAIN,  /* [outputs][inputs], for the plain kernels */
    SLUICE_LAYOUT_ROWS,   /* kernels/dsp.h, rows of their own */
    SLUICE_LAYOUT_QUADS,  /* kernels/dsp.h, 4 rows interleaved */
    SLUICE_LAYOUT_TILES,  /* kernels/dsp.h, 8 outputs mixed, for inputs that gates close */
    SLUICE_LAYOUT_FOLDED, /* kernels/dsp.h, a depthwise with its zero point in the bias */
    SLUICE_LAYOUT_OCTETS,        /* kernels/helium.h, 8 rows interleaved */
    SLUICE_LAYOUT_OFFSET_OCTETS, /* kernels/helium.h, for inputs that gates close */
    SLUICE_LAYOUT_LONE_ROWS,     /* kernels/helium.h, rows of their own */
    SLUICE_LAYOUT_CHANNELS,      /* kernels/helium.h, a depthwise */
} sluice_layout_t;

/* A build for one model leaves out what only other layouts need: bit l is layout l. */
#ifndef SLUICE_LAYOUTS
#define SLUICE_LAYOUTS UINT32_MAX
#endif

/* Whether `layout` is `wanted`, which is never so for one that is left out. */
static inline bool sluice_is_layout(uint32_t layout, sluice_layout_t wanted)
{
    return (SLUICE_LAYOUTS >> wanted & 1u) != 0 && layout == (uint32_t)wanted;
}

/* What is stored: bytes of constants a row, and what rows and columns are filled
 * up to whole multiples of. quantize/macs.py has the same table. */
typedef struct {
    uint8_t constant_bytes;
    uint8_t outputs;
    uint8_t inputs;
    uint8_t dense_sixteenths; /* a layer with this share of its inputs open runs dense */
} sluice_storage_t;

static inline sluice_storage_t sluice_storage(uint32_t layout)
{
    static const sluice_storage_t storage[] = {
        [SLUICE_LAYOUT_PLAIN] = {12, 1, 1, 17},  [SLUICE_LAYOUT_ROWS] = {8, 1, 16, 17},
        [SLUICE_LAYOUT_QUADS] = {8, 4, 8, 17},  [SLUICE_LAYOUT_TILES] = {8, 8, 8, 15},
        [SLUICE_LAYOUT_FOLDED] = {8, 1, 1, 17},
        [SLUICE_LAYOUT_OCTETS] = {9, 8, 16, 0},  [SLUICE_LAYOUT_OFFSET_OCTETS] = {9, 8, 16, 14},
        [SLUICE_LAYOUT_LONE_ROWS] = {9, 1, 16, 17}, [SLUICE_LAYOUT_CHANNELS] = {9, 1, 1, 17},
    };
    return storage[layout];
}

/* Among a layer's constants the word from which a row's sum starts, and by how many
 * bits it stands to the left there. */
static inline uint32_t sluice_start_word(uint32_t layout, uint32_t row)
{
    switch (layout) {
    case SLUICE_LAYOUT_ROWS:
    case SLUICE_LAYOUT_TILES:
    case SLUICE_LAYOUT_FOLDED:
        return 2u * row;
    case SLUICE_LAYOUT_QUADS:
        return row / 4u * 8u + row % 4u;
    case SLUICE_LAYOUT_OCTETS:
    case SLUICE_LAYOUT_OFFSET_OCTETS:
        return row / 8u * 18u + row % 8u;
    case SLUICE_LAYOUT_LONE_ROWS:
    case SLUICE_LAYOUT_CHANNELS:
        return row;
    default:
        return 3u * row;
    }
}

static inline uint32_t sluice_start_bits(uint32_t layout)
{
    return layout >= SLUICE_LAYOUT_ROWS && layout <= SLUICE_LAYOUT_FOLDED ? 8u : 0u;
}

/* Whether the list of open inputs is not worth following. Closed inputs are at the
 * zero point, so that a dense layer gives the same. */
static inline bool sluice_runs_dense(uint32_t layout, uint32_t open, uint32_t inputs)
{
    return 16u * open >= sluice_storage(layout).dense_sixteenths * inputs;
}

/* `count` rows or columns filled up to a whole multiple. */
static inline uint32_t sluice_filled_up(uint32_t count, uint32_t multiple)
{
    return (count + multiple - 1u) / multiple * multiple;
}

#endif
