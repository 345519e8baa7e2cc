/* Whom a personalised network keeps. An embedding is the same in every frame, so what
 * layers make of it is added to their constants once, and a frame costs nothing more. */
#include "instance.h"

#include <string.h>

#include "../kernels/requantise.h"

enum { EMBEDDING_ZERO_POINT = -128 };

/* moved: int16 [dimensions], the embedding on the grid of the layer's input, less the
 * zero point there. */
static void fold(const sluice_t *instance, const sluice_pointwise_t *layer,
                 const sluice_personal_layer_t *personal, const int16_t *moved)
{
    const uint32_t dimensions = instance->model->info.dimensions;
    int32_t *constants = sluice_int32_at(instance, personal->constants);
    const int8_t *columns = personal->columns;
    memcpy(constants, layer->constants, personal->constants_words * sizeof *constants);
    for (uint32_t row = 0; row < layer->outputs; row++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < dimensions; i++) {
            sum += (int32_t)moved[i] * columns[i];
        }
        columns += dimensions;
        /* The start may have wrapped: its low bits are the layout's own. */
        int32_t *start = constants + sluice_start_word(layer->layout, row);
        *start = (int32_t)((uint32_t)*start +
                           ((uint32_t)sum << sluice_start_bits(layer->layout)));
    }
}

void sluice_fold_embedding(const sluice_t *instance)
{
    const sluice_model_t *model = instance->model;
    const sluice_personal_t *personal = sluice_personal_of(instance);
    if (personal == NULL) {
        return;
    }
    const int8_t *embedding = sluice_int8_at(instance, personal->embedding);
    int16_t *moved = sluice_int16_at(instance, model->arena.wide); /* free between frames */
    for (uint32_t b = 0; b < model->info.blocks; b++) {
        const sluice_block_t *block = &model->blocks[b];
        const sluice_personal_block_t *own = &personal->blocks[b];
        const int32_t zero = block->up.input_zero_point;
        for (uint32_t i = 0; i < model->info.dimensions; i++) {
            const int32_t scaled = sluice_requantise(embedding[i] - EMBEDDING_ZERO_POINT,
                                                     own->multiplier, own->shift);
            moved[i] = (int16_t)(sluice_saturate(scaled + zero, INT8_MIN) - zero);
        }
        if (model->site != SLUICE_SITE_NONE) {
            fold(instance, &block->squeeze, &own->squeeze, moved);
        }
        fold(instance, &block->up, &own->up, moved);
    }
}

int32_t sluice_set_embedding(sluice_t *instance, const int8_t *values, size_t count)
{
    if (instance == NULL || values == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    if (instance->model == NULL) {
        return SLUICE_ERROR_STATE;
    }
    const sluice_personal_t *personal = sluice_personal_of(instance);
    if (personal == NULL) {
        return SLUICE_ERROR_EMBEDDING;
    }
    if (count != instance->model->info.dimensions) {
        return SLUICE_ERROR_LENGTH;
    }
    for (size_t i = 0; i < count; i++) {
        if (values[i] == INT8_MIN) {
            return SLUICE_ERROR_VALUE;
        }
    }
    int8_t *kept = sluice_int8_at(instance, personal->embedding);
    if (values != kept) { /* as sluice_embedding gives it */
        memcpy(kept, values, count);
    }
    sluice_fold_embedding(instance);
    return SLUICE_OK;
}

const int8_t *sluice_embedding(const sluice_t *instance)
{
    if (instance == NULL || instance->model == NULL || sluice_personal_of(instance) == NULL) {
        return NULL;
    }
    return sluice_int8_at(instance, sluice_personal_of(instance)->embedding);
}
