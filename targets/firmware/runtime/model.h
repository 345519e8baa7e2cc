/* What a compiled network consists of. Private to the runtime and to the C that
 * the compiler writes; hosts use sluice.h. */
#ifndef SLUICE_MODEL_H
#define SLUICE_MODEL_H

#include "../audio/tables.h"
#include "../include/sluice.h"
#include "../kernels/depthwise.h"
#include "../kernels/pointwise.h"
#include "../kernels/probes.h"
#include "../kernels/residual.h"

typedef enum {
    SLUICE_SITE_NONE,   /* a static network: no squeeze, no score */
    SLUICE_SITE_OUTPUT, /* gates close rows of `down` */
    SLUICE_SITE_HIDDEN, /* rows of `up`, channels of `depthwise`, inputs of `down` */
} sluice_site_t;

/* Byte offsets into the arena, all multiples of 16, of what every block shares. */
typedef struct {
    uint32_t layer_counters; /* sluice_layer_counters_t [layers] */
    uint32_t block_states;   /* sluice_block_state_t [blocks] */
    uint32_t features;       /* int8 [bins] */
    uint32_t mask;           /* int8 [bins] */
    uint32_t x;              /* int8 [channels], from block to block */
    uint32_t wide;           /* int16, the inputs of the layer that runs */
    uint32_t average;        /* int8 [channels] */
    uint32_t squeezed;       /* int8 [gate hidden] */
    uint32_t open_channels;  /* uint16 [gated channels] */
    uint32_t depthwise;      /* int8 [hidden] */
    uint32_t branch;         /* int8 [channels], the output of `down` */
    uint32_t previous;       /* int16 [hop] */
    uint32_t tail;           /* int32 [hop] */
    uint32_t spectrum;       /* sluice_complex_t [n_fft / 2 + 1] */
} sluice_arena_map_t;

typedef struct {
    sluice_pointwise_t squeeze;
    sluice_pointwise_t score;
    sluice_pointwise_t up;
    sluice_depthwise_t depthwise;
    sluice_pointwise_t down;
    sluice_residual_t residual;
    uint16_t dilation;
    uint16_t pool_frames; /* N of the gate's average; 1 without a pool state */
    uint32_t taps;        /* arena: int8 [2 * dilation + 1][hidden] */
    uint32_t pool;        /* arena: int8 [N - 1][channels] */
    uint32_t sums;        /* arena: int16 [channels] */
    uint32_t logits;      /* arena: int8 [gates] */
    uint32_t bits;        /* arena: uint8 [(gates + 7) / 8], in whole words */
} sluice_block_t;

/* What a layer of a personalised network reads besides its input. */
typedef struct {
    const int8_t *columns;    /* [outputs][dimensions]: weights of the embedding */
    uint32_t constants;       /* arena: the layer's constants, the embedding in force in them */
    uint32_t constants_words; /* int32 of them */
} sluice_personal_layer_t;

typedef struct {
    int32_t multiplier, shift; /* from the embedding's grid to that of the block's input */
    sluice_personal_layer_t squeeze;
    sluice_personal_layer_t up;
} sluice_personal_block_t;

typedef struct {
    const sluice_personal_block_t *blocks;
    uint32_t embedding; /* arena: int8 [dimensions], in force; behind it all constants */
    uint32_t bytes;     /* of both, which a reset leaves as they are */
} sluice_personal_t;

/* Where a block's rings stand. The taps ring has one frame more than the
 * depthwise looks back, so that `up` writes its frame in place. */
typedef struct {
    uint16_t taps_slot; /* of the present hidden frame */
    uint16_t pool_slot; /* of the block input to be replaced next */
    uint16_t pool_last; /* of the present block input */
    uint16_t open_gates;
} sluice_block_state_t;

/* The compiler lays the arena out with these sizes. */
_Static_assert(sizeof(sluice_block_state_t) == 8, "the arena's block states");
_Static_assert(sizeof(sluice_layer_counters_t) == 12, "the arena's layer counters");
_Static_assert(sizeof(sluice_complex_t) == 8, "the arena's spectrum");

struct sluice_model {
    sluice_info_t info;
    sluice_site_t site;
    uint16_t group; /* channels a gate */
    sluice_arena_map_t arena;
    sluice_audio_tables_t audio;
    sluice_pointwise_t front;
    sluice_pointwise_t back;
    const int8_t *sigmoid; /* [256] */
    const sluice_block_t *blocks;
    const sluice_personal_t *personal; /* NULL: the network takes no embedding */
    sluice_probe_table_t probes; /* its gates' bits begin with those of block 0 */
    const char *const *probe_names;
    const char *const *layer_names;
    const char *const *tensor_names; /* mask, logits, taps, pool */
};

#endif
