/* Binding an instance to its model and arena, and starting it cold. */
#include "instance.h"

#include <string.h>

enum { ARENA_ALIGNMENT = 16, MASK_ZERO_POINT = -128 };

int32_t sluice_info(const sluice_model_t *model, sluice_info_t *info)
{
    if (model == NULL || info == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    *info = model->info;
    return SLUICE_OK;
}

int32_t sluice_init(sluice_t *instance, const sluice_model_t *model, void *arena,
                    size_t arena_bytes)
{
    if (instance == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    instance->model = NULL; /* a failed init leaves no usable instance */
    if (model == NULL || arena == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    if (arena_bytes < model->info.arena_bytes || (uintptr_t)arena % ARENA_ALIGNMENT != 0) {
        return SLUICE_ERROR_ARENA;
    }
    instance->model = model;
    instance->arena = arena;
    instance->clock = NULL;
    const sluice_personal_t *personal = sluice_personal_of(instance);
    if (personal != NULL) {
        memset(sluice_int8_at(instance, personal->embedding), 0, personal->bytes);
        sluice_fold_embedding(instance); /* nobody's */
    }
    return sluice_reset(instance);
}

/* The arena is all zeros, but for the embedding in force. */
static void clear_arena(const sluice_t *instance)
{
    const sluice_personal_t *personal = sluice_personal_of(instance);
    const uint32_t size = instance->model->info.arena_bytes;
    if (personal == NULL) {
        memset(instance->arena, 0, size);
        return;
    }
    const uint32_t end = personal->embedding + personal->bytes;
    memset(instance->arena, 0, personal->embedding);
    memset(instance->arena + end, 0, size - end);
}

static void reset_block(sluice_t *instance, uint32_t index)
{
    const sluice_model_t *model = instance->model;
    const sluice_block_t *block = &model->blocks[index];
    const int32_t hidden_zero = block->depthwise.input_zero_point;
    const size_t taps_frames = 2u * block->dilation + 1u;
    memset(sluice_taps_frame(instance, block, 0), hidden_zero, taps_frames * block->up.outputs);
    if (model->site == SLUICE_SITE_NONE) {
        return;
    }
    memset(sluice_int8_at(instance, block->logits), block->score.output_zero_point,
           block->score.outputs);
    if (block->pool_frames > 1) {
        const int32_t zero = block->up.input_zero_point;
        const uint32_t channels = block->up.inputs;
        const int32_t past = block->pool_frames - 1;
        memset(sluice_pool_frame(instance, block, 0), zero, (size_t)past * channels);
        int16_t *sums = sluice_int16_at(instance, block->sums);
        for (uint32_t c = 0; c < channels; c++) {
            sums[c] = (int16_t)(past * zero);
        }
    }
}

int32_t sluice_reset(sluice_t *instance)
{
    if (instance == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    if (instance->model == NULL) {
        return SLUICE_ERROR_STATE;
    }
    const sluice_model_t *model = instance->model;
    clear_arena(instance);
    memset(&instance->counters, 0, sizeof instance->counters);
    instance->frames = 0;
    memset(sluice_int8_at(instance, model->arena.mask), MASK_ZERO_POINT, model->info.bins);
    for (uint32_t i = 0; i < model->info.blocks; i++) {
        reset_block(instance, i);
    }
    return SLUICE_OK;
}

int32_t sluice_set_clock(sluice_t *instance, uint32_t (*clock)(void))
{
    if (instance == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    if (instance->model == NULL) {
        return SLUICE_ERROR_STATE;
    }
    instance->clock = clock;
    return SLUICE_OK;
}
