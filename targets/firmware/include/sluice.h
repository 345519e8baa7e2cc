/* Sluice: a gated int8 speech enhancer for microcontrollers.
 *
 * One instance enhances one channel of 16-bit PCM, hop by hop, in static
 * memory: no malloc, no libm, no globals. Tensors, layers and probes are those
 * of docs/contracts.md. Errors are negative; 0 and above is success.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sluice_error {
    SLUICE_OK = 0,
    SLUICE_ERROR_ARGUMENT = -1, /* a null pointer or an index out of range */
    SLUICE_ERROR_ARENA = -2,    /* the arena is too small or not 16-byte aligned */
    SLUICE_ERROR_STATE = -3,    /* the instance has not been initialised */
};

/* A compiled network: constant, made by `python -m targets`. Opaque here. */
typedef struct sluice_model sluice_model_t;

/* What a model is, for hosts that want to size buffers or check identity. */
typedef struct {
    const char *preset;
    uint8_t hash[32]; /* sha256 of the quantised model's integers */
    uint32_t sample_rate; /* Hz */
    uint16_t hop;         /* samples a hop; output lags input by one hop */
    uint16_t bins;        /* features a frame */
    uint16_t blocks;
    uint16_t gates;   /* gates a block; 0 in a static network */
    uint16_t layers;  /* entries of sluice_layer_counters_t */
    uint16_t tensors; /* outputs that sluice_tensor() can read */
    uint16_t probes;
    uint32_t arena_bytes; /* what sluice_init() needs, 16-byte aligned */
    uint32_t dense_macs;  /* multiply-accumulates a frame with all gates open */
} sluice_info_t;

/* Of the last frame. Ticks are of the clock that the host set, 0 without one. */
typedef struct {
    uint32_t executed_macs;
    uint32_t weight_bytes; /* weights, biases and requantisation constants read */
    uint32_t ticks;
} sluice_layer_counters_t;

typedef struct {
    uint32_t executed_macs;
    uint32_t weight_bytes;
    uint32_t ticks;          /* the whole hop, or the network for process_frame */
    uint32_t analysis_ticks; /* window, FFT, features */
    uint32_t synthesis_ticks;/* mask, inverse FFT, overlap-add */
} sluice_counters_t;

/* One output of the network, as it stands after the last frame. */
typedef struct {
    const char *name;
    const int8_t *data;
    uint16_t channels;
    int16_t zero_point;
} sluice_tensor_t;

/* The instance. Its fields are private; it is here so that it can be static. All
 * zeros, it is not initialised. */
typedef struct {
    const sluice_model_t *model;
    uint8_t *arena;
    uint32_t (*clock)(void);
    sluice_counters_t counters;
    uint32_t frames;
} sluice_t;

/* Fill `info`. */
int32_t sluice_info(const sluice_model_t *model, sluice_info_t *info);

/* Bind an instance to a model and an arena (16-byte aligned, at least
 * arena_bytes of sluice_info) and reset it. The model and the arena must
 * outlive the instance. */
int32_t sluice_init(sluice_t *instance, const sluice_model_t *model, void *arena,
                    size_t arena_bytes);

/* Back to a cold start: zero activation in every ring, silence in the audio path. */
int32_t sluice_reset(sluice_t *instance);

/* A free-running up-counter for the tick counters; NULL to stop counting.
 * sluice_init() has set NULL. */
int32_t sluice_set_clock(sluice_t *instance, uint32_t (*clock)(void));

/* Enhance one hop in place. The output is the input of one hop before. */
int32_t sluice_process_hop(sluice_t *instance, int16_t *pcm);

/* Run the network alone on one frame of int8 features. */
int32_t sluice_process_frame(sluice_t *instance, const int8_t *features);

/* The int8 features of the last hop, `bins` of them; NULL before the first. */
const int8_t *sluice_features(const sluice_t *instance);

/* Output `index` of the last frame: 0 is `mask`, then logits, taps, pool, in
 * the signature's order. */
int32_t sluice_tensor(const sluice_t *instance, uint32_t index, sluice_tensor_t *tensor);

/* The gates of one block, a bit a gate, least significant first; `bits` holds
 * (gates + 7) / 8 bytes. Gives the number of open gates. */
int32_t sluice_gates(const sluice_t *instance, uint32_t block, uint8_t *bits);

/* The score of probe `index` on the last frame's gates. */
int32_t sluice_probe(const sluice_t *instance, uint32_t index, int32_t *score);

/* The name of probe `index`, or NULL. */
const char *sluice_probe_name(const sluice_model_t *model, uint32_t index);

/* Of the last frame; NULL before sluice_init(). */
const sluice_counters_t *sluice_counters(const sluice_t *instance);

/* Counters of layer `index`, front to back, and its name. */
int32_t sluice_layer(const sluice_t *instance, uint32_t index, const char **name,
                     sluice_layer_counters_t *counters);

#ifdef __cplusplus
}
#endif
#endif
