/* One frame through the network. */
#include "instance.h"

#include "../kernels/fill.h"
#include "../kernels/gate.h"
#include "../kernels/moving_average.h"
#include "../kernels/sigmoid.h"

/* Which layer runs, and since when its time counts. */
typedef struct {
    uint32_t layer;
    uint32_t mark;
} progress_t;

/* `open` where a gate closes channels, else all of them. */
static uint32_t running(const sluice_open_channels_t *open, uint32_t all)
{
    return open != NULL ? open->count : all;
}

/* Book the layer that just ran, with the element-wise work after it, and go on
 * to the next. */
static void book(sluice_t *instance, progress_t *progress, uint32_t macs, uint32_t weight_bytes)
{
    const uint32_t now = sluice_now(instance);
    sluice_layer_counters_t *counters = sluice_counters_of(instance, progress->layer);
    counters->executed_macs = macs;
    counters->weight_bytes = weight_bytes;
    counters->ticks = now - progress->mark;
    instance->counters.executed_macs += macs;
    instance->counters.weight_bytes += weight_bytes;
    progress->mark = now;
    progress->layer++;
}

static void book_pointwise(sluice_t *instance, progress_t *progress,
                           const sluice_pointwise_t *layer, const sluice_open_channels_t *outputs,
                           const sluice_open_channels_t *inputs)
{
    const sluice_storage_t storage = sluice_storage(layer->layout);
    const uint32_t rows = running(outputs, layer->outputs);
    const uint32_t columns = running(inputs, layer->inputs);
    /* What fills up rows is read too; of inputs that gates close the open ones alone. */
    const uint32_t read = inputs != NULL ? columns : sluice_filled_up(columns, storage.inputs);
    book(instance, progress, rows * columns,
         sluice_filled_up(rows, storage.outputs) * (read + storage.constant_bytes));
}

static void run_pointwise(const sluice_t *instance, const sluice_pointwise_t *layer,
                          const int8_t *x, const sluice_open_channels_t *outputs,
                          const sluice_open_channels_t *inputs, int8_t *y)
{
    int16_t *wide = sluice_int16_at(instance, instance->model->arena.wide);
    if (outputs != NULL) {
        sluice_fill(y, layer->output_zero_point, layer->outputs);
    }
    sluice_pointwise(layer, x, wide, outputs, inputs, y);
}

/* The layer, with the constants that the embedding in force is in; `own` holds it. */
static const sluice_pointwise_t *with_embedding(const sluice_t *instance,
                                                const sluice_pointwise_t *layer,
                                                const sluice_personal_layer_t *personal,
                                                sluice_pointwise_t *own)
{
    *own = *layer;
    own->constants = sluice_int32_at(instance, personal->constants);
    return own;
}

/* What the block's layers take of the embedding; NULL if the network takes none. */
static const sluice_personal_block_t *personal_block(const sluice_t *instance,
                                                     const sluice_block_t *block)
{
    const sluice_personal_t *personal = sluice_personal_of(instance);
    return personal != NULL ? &personal->blocks[block - instance->model->blocks] : NULL;
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
static sluice_open_channels_t run_gate(sluice_t *instance, progress_t *progress,
                                       const sluice_block_t *block,
                                       sluice_block_state_t *state, const int8_t *x)
{
    const sluice_model_t *model = instance->model;
    int8_t *squeezed = sluice_int8_at(instance, model->arena.squeezed);
    int8_t *logits = sluice_int8_at(instance, block->logits);
    uint16_t *channels =
        (uint16_t *)(void *)(instance->arena + model->arena.open_channels);

    const int8_t *average = average_input(instance, block, state, x);
    const sluice_personal_block_t *personal = personal_block(instance, block);
    sluice_pointwise_t own;
    const sluice_pointwise_t *squeeze =
        personal == NULL ? &block->squeeze
                         : with_embedding(instance, &block->squeeze, &personal->squeeze, &own);
    run_pointwise(instance, squeeze, average, NULL, NULL, squeezed);
    book_pointwise(instance, progress, &block->squeeze, NULL, NULL);

    run_pointwise(instance, &block->score, squeezed, NULL, NULL, logits);
    const uint32_t open =
        sluice_gate(logits, block->score.outputs, block->score.output_zero_point, model->group,
                    instance->arena + block->bits, channels);
    book_pointwise(instance, progress, &block->score, NULL, NULL);
    state->open_gates = (uint16_t)open;
    return (sluice_open_channels_t){channels, (uint16_t)(open * model->group), model->group};
}

/* The hidden channels: up into the ring, depthwise over three of its frames. */
static const int8_t *run_hidden(sluice_t *instance, progress_t *progress,
                                const sluice_block_t *block, sluice_block_state_t *state,
                                const int8_t *x, const sluice_open_channels_t *open)
{
    const sluice_depthwise_t *depthwise = &block->depthwise;
    const uint32_t frames = 2u * block->dilation + 1u;
    const uint32_t newest = (state->taps_slot + 1u) % frames;
    const uint32_t oldest = (newest + 1u) % frames;
    const uint32_t middle = (oldest + block->dilation) % frames;
    int8_t *hidden = sluice_taps_frame(instance, block, newest);
    int8_t *y = sluice_int8_at(instance, instance->model->arena.depthwise);

    state->taps_slot = (uint16_t)newest;
    const sluice_personal_block_t *personal = personal_block(instance, block);
    sluice_pointwise_t own;
    const sluice_pointwise_t *up =
        personal == NULL ? &block->up : with_embedding(instance, &block->up, &personal->up, &own);
    run_pointwise(instance, up, x, open, NULL, hidden);
    book_pointwise(instance, progress, &block->up, open, NULL);

    if (open != NULL) {
        sluice_fill(y, depthwise->output_zero_point, depthwise->count);
    }
    sluice_depthwise(depthwise, sluice_taps_frame(instance, block, oldest),
                     sluice_taps_frame(instance, block, middle), hidden, open, y);
    const uint32_t channels = running(open, depthwise->count);
    book(instance, progress, channels * SLUICE_DEPTHWISE_TAPS,
         channels * (SLUICE_DEPTHWISE_TAPS + (uint32_t)sluice_storage(depthwise->layout).constant_bytes));
    return y;
}

static void run_block(sluice_t *instance, progress_t *progress, uint32_t index, int8_t *x)
{
    const sluice_model_t *model = instance->model;
    const sluice_block_t *block = &model->blocks[index];
    sluice_block_state_t *state = sluice_state_of(instance, index);
    int8_t *branch = sluice_int8_at(instance, model->arena.branch);
    sluice_open_channels_t gated;
    const sluice_open_channels_t *open_hidden = NULL, *open_outputs = NULL;

    if (model->site != SLUICE_SITE_NONE) {
        gated = run_gate(instance, progress, block, state, x);
        open_hidden = model->site == SLUICE_SITE_HIDDEN ? &gated : NULL;
        open_outputs = model->site == SLUICE_SITE_OUTPUT ? &gated : NULL;
    }
    const int8_t *y = run_hidden(instance, progress, block, state, x, open_hidden);

    if (open_hidden != NULL &&
        sluice_runs_dense(block->down.layout, open_hidden->count, block->down.inputs)) {
        open_hidden = NULL;
    }
    run_pointwise(instance, &block->down, y, open_outputs, open_hidden, branch);
    sluice_residual(&block->residual, x, branch, block->down.outputs, x);
    book_pointwise(instance, progress, &block->down, open_outputs, open_hidden);
}

void sluice_run_network(sluice_t *instance)
{
    const sluice_model_t *model = instance->model;
    const int8_t *features = sluice_int8_at(instance, model->arena.features);
    int8_t *x = sluice_int8_at(instance, model->arena.x);
    int8_t *mask = sluice_int8_at(instance, model->arena.mask);
    progress_t progress = {0, sluice_now(instance)};
    instance->counters.executed_macs = 0;
    instance->counters.weight_bytes = 0;

    run_pointwise(instance, &model->front, features, NULL, NULL, x);
    book_pointwise(instance, &progress, &model->front, NULL, NULL);
    for (uint32_t i = 0; i < model->info.blocks; i++) {
        run_block(instance, &progress, i, x);
    }
    run_pointwise(instance, &model->back, x, NULL, NULL, mask);
    sluice_sigmoid(model->sigmoid, mask, model->back.outputs, mask);
    book_pointwise(instance, &progress, &model->back, NULL, NULL);
    if (instance->frames < UINT32_MAX) { /* years; 0 says that nothing has run */
        instance->frames++;
    }
}
