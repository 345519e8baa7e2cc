/* Sluice: a gated int8 speech enhancer for microcontrollers.
 *
 * One instance enhances one channel of 16-bit PCM, hop by hop, in static
 * memory: no malloc, no libm, no globals. Tensors, layers and probes are those
 * of docs/contracts.md; docs/c-library.md says how to build and use this.
 *
 * Errors are negative; 0 and above is success. A call that fails changes nothing,
 * but for sluice_init(), which then leaves the instance not initialised.
 *
 * Threads and interrupts: nothing is shared between instances, so different ones
 * may run at the same time, also of one model. Calls on one instance must not
 * overlap: what reads (sluice_tensor() and the rest that take a const instance) may
 * run with other readers, not with sluice_process_*(), sluice_reset() or
 * sluice_init(). No call blocks, locks or waits, so all may be made from an
 * interrupt handler whose stack has room (docs/c-library.md has the figure).
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
    SLUICE_ERROR_EMBEDDING = -4, /* the model takes no embedding */
    SLUICE_ERROR_LENGTH = -5,   /* an embedding has another number of values */
    SLUICE_ERROR_VALUE = -6,    /* a value of an embedding is -128 */
};

/* A compiled network: constant, made by `python -m targets`. Opaque here. */
typedef struct sluice_model sluice_model_t;

/* What a model is, for hosts that want to size buffers or check identity. */
typedef struct {
    const char *preset;   /* UTF-8, lives as long as the model */
    uint8_t hash[32];     /* sha256 of the quantised model's integers */
    uint32_t sample_rate; /* Hz */
    uint16_t hop;         /* samples a hop; output lags input by one hop */
    uint16_t bins;        /* features a frame */
    uint16_t blocks;
    uint16_t gates;       /* gates a block; 0 in a static network */
    uint16_t layers;      /* entries of sluice_layer_counters_t */
    uint16_t tensors;     /* outputs that sluice_tensor() can read */
    uint16_t probes;
    uint16_t dimensions;  /* values of the embedding; 0: the model takes none */
    uint32_t arena_bytes; /* what sluice_init() needs, 16-byte aligned */
    uint32_t dense_macs;  /* multiply-accumulates a frame with all gates open */
} sluice_info_t;

/* Of one layer in the last frame. Ticks are of the clock that the host set, 0
 * without one; they include the element-wise work that follows the layer. */
typedef struct {
    uint32_t executed_macs;
    uint32_t weight_bytes; /* weights, biases and requantisation constants read */
    uint32_t ticks;
} sluice_layer_counters_t;

/* Of the last frame, all layers together. */
typedef struct {
    uint32_t executed_macs;
    uint32_t weight_bytes;
    uint32_t ticks;           /* the whole hop, or the network for process_frame */
    uint32_t analysis_ticks;  /* window, FFT, features; 0 for process_frame */
    uint32_t synthesis_ticks; /* mask, inverse FFT, overlap-add; 0 for process_frame */
} sluice_counters_t;

/* One output of the network, as it stands after the last frame. */
typedef struct {
    const char *name;    /* lives as long as the model */
    const int8_t *data;  /* [channels], in the arena: valid until the next call that runs */
    uint16_t channels;
    int16_t zero_point;  /* the value that means 0 */
} sluice_tensor_t;

/* The instance. Its fields are private; it is here so that it can be static. All
 * zeros, it is not initialised. A copy shares the arena of the original: use one. */
typedef struct {
    const sluice_model_t *model;
    uint8_t *arena;
    uint32_t (*clock)(void);
    sluice_counters_t counters;
    uint32_t frames;
} sluice_t;

/* Fill `info`. ERROR_ARGUMENT: a null pointer. */
int32_t sluice_info(const sluice_model_t *model, sluice_info_t *info);

/* Bind an instance to a model and an arena (16-byte aligned, at least
 * arena_bytes of sluice_info, not shared with anything) and reset it. The model
 * and the arena must outlive the instance; there is nothing to free.
 * ERROR_ARGUMENT: a null pointer. ERROR_ARENA: too small or not aligned. */
int32_t sluice_init(sluice_t *instance, const sluice_model_t *model, void *arena,
                    size_t arena_bytes);

/* Back to a cold start: zero activation in every ring, silence in the audio path,
 * all gates closed, counters 0. The clock and the embedding stay. */
int32_t sluice_reset(sluice_t *instance);

/* Whom a personalised model keeps, from the next frame on: int8 [count], -127 .. 127,
 * `count` is `dimensions` of sluice_info. sluice_init() has set nobody's, all 0, which
 * keeps every voice. The rings and the audio path go on as they are. The values are
 * copied. This call takes about as long as a frame; frames take no longer for it.
 * ERROR_ARGUMENT: a null pointer. ERROR_EMBEDDING, _LENGTH, _VALUE: as above; the
 * embedding in force stays. */
int32_t sluice_set_embedding(sluice_t *instance, const int8_t *values, size_t count);

/* The embedding in force, int8 [dimensions], in the arena: it changes with the call above.
 * NULL if the model takes none, or before sluice_init(). */
const int8_t *sluice_embedding(const sluice_t *instance);

/* A free-running up-counter that may wrap at 2^32, for the tick counters; NULL to
 * stop counting. sluice_init() has set NULL. It is called once a layer
 * and five times a hop besides. */
int32_t sluice_set_clock(sluice_t *instance, uint32_t (*clock)(void));

/* Enhance one hop in place. pcm: int16 [hop], any alignment that int16_t has; full
 * scale is -32768 .. 32767, what a mask makes louder is clipped. The output is the
 * input of one hop before; the first is silence. */
int32_t sluice_process_hop(sluice_t *instance, int16_t *pcm);

/* Run the network alone on one frame. features: int8 [bins], at the scale and zero
 * point of the model's input `features`. The audio path is left as it is. */
int32_t sluice_process_frame(sluice_t *instance, const int8_t *features);

/* The int8 features of the last hop or frame, `bins` of them, in the arena; NULL
 * before the first. */
const int8_t *sluice_features(const sluice_t *instance);

/* Output `index` of the last frame: 0 is `mask`, then logits, taps, pool, in
 * the signature's order. Before the first frame all are at their zero points. */
int32_t sluice_tensor(const sluice_t *instance, uint32_t index, sluice_tensor_t *tensor);

/* The gates of one block, a bit a gate, least significant first, 1 is open; `bits`
 * holds (gates + 7) / 8 bytes. Gives the number of open gates. ERROR_ARGUMENT in a
 * static network, too. */
int32_t sluice_gates(const sluice_t *instance, uint32_t block, uint8_t *bits);

/* The scores of probes `first` .. `first + count - 1` on the last frame's gates, int32
 * [count]: bias + the weights of the open ones. docs/contracts.md says what they mean,
 * the model's metadata has the scales. Computed in each call: ask once for all. Nothing
 * is kept. ERROR_ARGUMENT: a null pointer, or beyond the last probe. */
int32_t sluice_probes(const sluice_t *instance, uint32_t first, uint32_t count, int32_t *scores);

/* The same of one probe. */
int32_t sluice_probe(const sluice_t *instance, uint32_t index, int32_t *score);

/* The name of probe `index`, which lives as long as the model; NULL if there is none. */
const char *sluice_probe_name(const sluice_model_t *model, uint32_t index);

/* Of the last frame; NULL before sluice_init(). The pointer stays good, the values
 * change with every call that runs. */
const sluice_counters_t *sluice_counters(const sluice_t *instance);

/* Counters of layer `index`, front to back, and its name, which lives as long as the
 * model. */
int32_t sluice_layer(const sluice_t *instance, uint32_t index, const char **name,
                     sluice_layer_counters_t *counters);

#ifdef __cplusplus
}
#endif
#endif
