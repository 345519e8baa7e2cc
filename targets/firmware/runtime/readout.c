/* Reading what the last frame left: tensors, gates, probes, counters. */
#include "instance.h"

#include <string.h>

/* 0 in a build for one model that has none: it then leaves the kernel out. */
#ifndef SLUICE_HAS_PROBES
#define SLUICE_HAS_PROBES 1
#endif

static int32_t check(const sluice_t *instance, const void *result)
{
    if (instance == NULL || result == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    return instance->model != NULL ? SLUICE_OK : SLUICE_ERROR_STATE;
}

const int8_t *sluice_features(const sluice_t *instance)
{
    if (instance == NULL || instance->model == NULL || instance->frames == 0) {
        return NULL;
    }
    return sluice_int8_at(instance, instance->model->arena.features);
}

int32_t sluice_tensor(const sluice_t *instance, uint32_t index, sluice_tensor_t *tensor)
{
    const int32_t status = check(instance, tensor);
    if (status < 0) {
        return status;
    }
    const sluice_model_t *model = instance->model;
    if (index >= model->info.tensors) {
        return SLUICE_ERROR_ARGUMENT;
    }
    tensor->name = model->tensor_names[index];
    if (index == 0) {
        tensor->data = sluice_int8_at(instance, model->arena.mask);
        tensor->channels = model->info.bins;
        tensor->zero_point = -128;
        return SLUICE_OK;
    }
    /* After the mask one tensor a block: the logits (if gated), taps, then pool. */
    const uint32_t logits_kinds = model->site != SLUICE_SITE_NONE ? 1 : 0;
    const uint32_t kind = (index - 1) / model->info.blocks;
    const uint32_t number = (index - 1) % model->info.blocks;
    const sluice_block_t *block = &model->blocks[number];
    const sluice_block_state_t *state = sluice_state_of(instance, number);
    if (kind < logits_kinds) {
        tensor->data = sluice_int8_at(instance, block->logits);
        tensor->channels = block->score.outputs;
        tensor->zero_point = block->score.output_zero_point;
    } else if (kind == logits_kinds) {
        tensor->data = sluice_taps_frame(instance, block, state->taps_slot);
        tensor->channels = block->up.outputs;
        tensor->zero_point = block->depthwise.input_zero_point;
    } else {
        tensor->data = sluice_pool_frame(instance, block, state->pool_last);
        tensor->channels = block->up.inputs;
        tensor->zero_point = block->up.input_zero_point;
    }
    return SLUICE_OK;
}

int32_t sluice_gates(const sluice_t *instance, uint32_t block, uint8_t *bits)
{
    const int32_t status = check(instance, bits);
    if (status < 0) {
        return status;
    }
    const sluice_info_t *info = &instance->model->info;
    if (block >= info->blocks || info->gates == 0) {
        return SLUICE_ERROR_ARGUMENT;
    }
    memcpy(bits, instance->arena + instance->model->blocks[block].bits, (info->gates + 7u) / 8u);
    return sluice_state_of(instance, block)->open_gates;
}

int32_t sluice_probes(const sluice_t *instance, uint32_t first, uint32_t count, int32_t *scores)
{
    const int32_t status = check(instance, scores);
    if (status < 0) {
        return status;
    }
    const sluice_model_t *model = instance->model;
    if (first > model->info.probes || count > model->info.probes - first) {
        return SLUICE_ERROR_ARGUMENT;
    }
    if (SLUICE_HAS_PROBES && count > 0) {
        sluice_probe_scores(&model->probes, instance->arena + model->blocks[0].bits, first, count,
                            scores);
    }
    return SLUICE_OK;
}

int32_t sluice_probe(const sluice_t *instance, uint32_t index, int32_t *score)
{
    return sluice_probes(instance, index, 1, score);
}

const char *sluice_probe_name(const sluice_model_t *model, uint32_t index)
{
    return model != NULL && index < model->info.probes ? model->probe_names[index] : NULL;
}

const sluice_counters_t *sluice_counters(const sluice_t *instance)
{
    return check(instance, instance) == SLUICE_OK ? &instance->counters : NULL;
}

int32_t sluice_layer(const sluice_t *instance, uint32_t index, const char **name,
                     sluice_layer_counters_t *counters)
{
    int32_t status = check(instance, name);
    if (status == SLUICE_OK) {
        status = check(instance, counters);
    }
    if (status < 0) {
        return status;
    }
    if (index >= instance->model->info.layers) {
        return SLUICE_ERROR_ARGUMENT;
    }
    *name = instance->model->layer_names[index];
    *counters = *sluice_counters_of(instance, index);
    return SLUICE_OK;
}
