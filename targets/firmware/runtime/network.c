/* One frame through the network. */
#include "instance.h"

#include <string.h>

#include "../kernels/gate.h"
#include "../kernels/moving_average.h"
#include "../kernels/sigmoid.h"
#include "../kernels/widen.h"

/* Book a layer: `outputs` of its outputs ran, each with `inputs` weights, and
 * each fetched its bias, multiplier and shift. The time since the last booking
 * is the layer's, with the element-wise work around it. */
static void book(sluice_t *instance, uint32_t layer, uint32_t outputs, uint32_t inputs,
                 uint32_t *mark)
{
    const uint32_t now = sluice_now(instance);
    sluice_layer_counters_t *counters = sluice_counters_of(instance, layer);
    counters->executed_macs = outputs * inputs;
    counters->weight_bytes =
        outputs * inputs + outputs * (uint32_t)sizeof(sluice_channel_t);
    counters->ticks = now - *mark;
    *mark = now;
    instance->counters.executed_macs += counters->executed_macs;
    instance->counters.weight_bytes += counters->weight_bytes;
}

static void run_pointwise(sluice_t *instance, uint32_t index, const sluice_pointwise_t *layer,
                          const int8_t *x, const sluice_open_channels_t *outputs,
                          const sluice_open_channels_t *inputs, int8_t *y, uint32_t *mark)
{
    int16_t *wide = sluice_int16_at(instance, instance->model->arena.wide);
    if (outputs != NULL) {
        memset(y, layer->output_zero_point, layer->outputs);
    }
    sluice_widen(x, layer->inputs, layer->input_zero_point, wide);
    sluice_pointwise(layer, wide, outputs, inputs, y);
    book(instance, index, outputs != NULL ? outputs->count : layer->outputs,
         inputs != NULL ? inputs->count : layer->inputs, mark);
}

/* The gate's input: the block's input averaged over the last frames. */
static const int8_t *average_input(sluice_t *instance, const sluice_block_t *block,
                                   sluice_block_state_t *state, const int8_t *x)
{
    if (block->pool_frames == 1) {
        return x;
    }
    int8_t *average = sluice_int8_at(instance, instance->model->arena.average);
    sluice_moving_average(x, block->up.inputs, block->pool_frames,
                          sluice_int16_at(instance, block->sums),
                          sluice_pool_frame(instance, block, state->pool_slot), average);
    state->pool_last = state->pool_slot;
    state->pool_slot++;
    if (state->pool_slot == block->pool_frames - 1u) {
        state->pool_slot = 0;
    }
    return average;
}

/* The block's gates, decided; gives the channels that they leave open. */
static sluice_open_channels_t run_gate(sluice_t *instance, uint32_t layer,
                                       const sluice_block_t *block,
                                       sluice_block_state_t *state, const int8_t *x,
                                       uint32_t *mark)
{
    const sluice_model_t *model = instance->model;
    int8_t *squeezed = sluice_int8_at(instance, model->arena.squeezed);
    int8_t *logits = sluice_int8_at(instance, block->logits);
    uint16_t *channels =
        (uint16_t *)(void *)(instance->arena + model->arena.open_channels);
    const int8_t *average = average_input(instance, block, state, x);
    run_pointwise(instance, layer + SLUICE_LAYER_SQUEEZE, &block->squeeze, average, NULL, NULL,
                  squeezed, mark);
    run_pointwise(instance, layer + SLUICE_LAYER_SCORE, &block->score, squeezed, NULL, NULL,
                  logits, mark);
    const uint32_t open =
        sluice_gate(logits, block->score.outputs, block->score.output_zero_point, model->group,
                    instance->arena + block->bits, channels);
    state->open_gates = (uint16_t)open;
    return (sluice_open_channels_t){channels, (uint16_t)(open * model->group), model->group};
}

/* The hidden channels: up into the ring, depthwise over three of its frames. */
static const int8_t *run_hidden(sluice_t *instance, uint32_t layer, const sluice_block_t *block,
                                sluice_block_state_t *state, const int8_t *x,
                                const sluice_open_channels_t *open, uint32_t *mark)
{
    const uint32_t frames = 2u * block->dilation + 1u;
    const uint32_t newest = (state->taps_slot + 1u) % frames;
    const uint32_t oldest = (newest + 1u) % frames;
    const uint32_t middle = (oldest + block->dilation) % frames;
    int8_t *y = sluice_int8_at(instance, instance->model->arena.depthwise);
    state->taps_slot = (uint16_t)newest;
    run_pointwise(instance, layer, &block->up, x, open, NULL,
                  sluice_taps_frame(instance, block, newest), mark);
    if (open != NULL) {
        memset(y, block->depthwise.output_zero_point, block->depthwise.count);
    }
    sluice_depthwise(&block->depthwise, sluice_taps_frame(instance, block, oldest),
                     sluice_taps_frame(instance, block, middle),
                     sluice_taps_frame(instance, block, newest), open, y);
    book(instance, layer + SLUICE_LAYER_DEPTHWISE - SLUICE_LAYER_UP,
         open != NULL ? open->count : block->depthwise.count, SLUICE_DEPTHWISE_TAPS, mark);
    return y;
}

static void run_block(sluice_t *instance, uint32_t index, int8_t *x, uint32_t *mark)
{
    const sluice_model_t *model = instance->model;
    const sluice_block_t *block = &model->blocks[index];
    sluice_block_state_t *state = sluice_state_of(instance, index);
    int8_t *branch = sluice_int8_at(instance, model->arena.branch);
    uint32_t layer = 1 + index * model->layers_per_block;
    sluice_open_channels_t gated;
    const sluice_open_channels_t *open_hidden = NULL, *open_outputs = NULL;
    if (model->site != SLUICE_SITE_NONE) {
        gated = run_gate(instance, layer, block, state, x, mark);
        layer += SLUICE_LAYER_UP;
        open_hidden = model->site == SLUICE_SITE_HIDDEN ? &gated : NULL;
        open_outputs = model->site == SLUICE_SITE_OUTPUT ? &gated : NULL;
    }
    const int8_t *y = run_hidden(instance, layer, block, state, x, open_hidden, mark);
    run_pointwise(instance, layer + SLUICE_LAYER_DOWN - SLUICE_LAYER_UP, &block->down, y,
                  open_outputs, open_hidden, branch, mark);
    sluice_residual(&block->residual, x, branch, block->down.outputs, x);
}

void sluice_run_network(sluice_t *instance)
{
    const sluice_model_t *model = instance->model;
    int8_t *features = sluice_int8_at(instance, model->arena.features);
    int8_t *x = sluice_int8_at(instance, model->arena.x);
    int8_t *mask = sluice_int8_at(instance, model->arena.mask);
    uint32_t mark = sluice_now(instance);
    instance->counters.executed_macs = 0;
    instance->counters.weight_bytes = 0;
    run_pointwise(instance, 0, &model->front, features, NULL, NULL, x, &mark);
    for (uint32_t i = 0; i < model->info.blocks; i++) {
        run_block(instance, i, x, &mark);
    }
    run_pointwise(instance, model->info.layers - 1u, &model->back, x, NULL, NULL, mask, &mark);
    sluice_sigmoid(model->sigmoid, mask, model->back.outputs, mask);
    instance->frames++;
}
