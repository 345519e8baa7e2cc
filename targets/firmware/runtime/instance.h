/* An instance's parts, for the runtime's own files. */
#ifndef SLUICE_INSTANCE_H
#define SLUICE_INSTANCE_H

#include "model.h"

static inline int8_t *sluice_int8_at(const sluice_t *instance, uint32_t offset)
{
    return (int8_t *)(instance->arena + offset);
}

static inline int16_t *sluice_int16_at(const sluice_t *instance, uint32_t offset)
{
    return (int16_t *)(void *)(instance->arena + offset);
}

static inline int32_t *sluice_int32_at(const sluice_t *instance, uint32_t offset)
{
    return (int32_t *)(void *)(instance->arena + offset);
}

static inline sluice_complex_t *sluice_spectrum_of(const sluice_t *instance)
{
    return (sluice_complex_t *)(void *)(instance->arena + instance->model->arena.spectrum);
}

static inline sluice_block_state_t *sluice_state_of(const sluice_t *instance, uint32_t block)
{
    return (sluice_block_state_t *)(void *)(instance->arena +
                                            instance->model->arena.block_states) + block;
}

static inline sluice_layer_counters_t *sluice_counters_of(const sluice_t *instance,
                                                          uint32_t layer)
{
    return (sluice_layer_counters_t *)(void *)(instance->arena +
                                               instance->model->arena.layer_counters) + layer;
}

static inline int8_t *sluice_taps_frame(const sluice_t *instance, const sluice_block_t *block,
                                        uint32_t slot)
{
    return sluice_int8_at(instance, block->taps + slot * block->up.outputs);
}

static inline int8_t *sluice_pool_frame(const sluice_t *instance, const sluice_block_t *block,
                                        uint32_t slot)
{
    return sluice_int8_at(instance, block->pool + slot * block->up.inputs);
}

static inline uint32_t sluice_now(const sluice_t *instance)
{
    return instance->clock != NULL ? instance->clock() : 0;
}

/* 0 in a build for one model that takes no embedding: it then costs nothing. */
#ifndef SLUICE_HAS_EMBEDDING
#define SLUICE_HAS_EMBEDDING 1
#endif

static inline const sluice_personal_t *sluice_personal_of(const sluice_t *instance)
{
    return SLUICE_HAS_EMBEDDING ? instance->model->personal : NULL;
}

/* Fold the embedding in the arena into the constants of the layers that it goes to. */
void sluice_fold_embedding(const sluice_t *instance);

/* The network on the features in the arena; fills all counters but those of the
 * audio path and `ticks`. */
void sluice_run_network(sluice_t *instance);

#endif
