#include "pointwise.h"

#include <stddef.h>
#include <string.h>

#include "dsp.h"

static uint32_t stored_inputs(const sluice_pointwise_t *layer)
{
    return sluice_filled_up(layer->inputs, sluice_storage(layer->layout).inputs);
}

/* The layer with its inputs split; what fills them up meets weights of 0. */
static sluice_dsp_layer_t with_split_inputs(const sluice_pointwise_t *layer, const int8_t *x,
                                            int16_t *scratch)
{
    sluice_dsp_split(x, (layer->inputs + 3u) / 4u, scratch);
    return (sluice_dsp_layer_t){layer->weights, layer->constants, scratch,
                                scratch + stored_inputs(layer),
                                2 * layer->output_zero_point + 1};
}

static void run_rows(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                     const sluice_open_channels_t *outputs, int8_t *y)
{
    enum { ROWS = SLUICE_DSP_ROWS };
    const uint32_t count = outputs->count;
    if (count == 0) {
        return;
    }
    const sluice_dsp_layer_t rows = with_split_inputs(layer, x, scratch);
    if (count < ROWS) {
        const uint16_t last = outputs->channels[count - 1u];
        const uint16_t some[ROWS] = {outputs->channels[0], last, last};
        sluice_dsp_rows(&rows, some, some + ROWS, y);
        return;
    }
    const uint32_t whole = count / ROWS * ROWS;
    const uint16_t *end = outputs->channels + count;
    sluice_dsp_rows(&rows, outputs->channels, outputs->channels + whole, y);
    if (whole < count) { /* some of the last ones again */
        sluice_dsp_rows(&rows, end - ROWS, end, y);
    }
}

/* The quads of outputs first .. end. */
static void run_quads(const sluice_dsp_layer_t *layer, uint32_t stored, uint32_t first,
                      uint32_t end, int8_t *y)
{
    sluice_dsp_layer_t from = *layer;
    const uint32_t whole = (end - first) / SLUICE_DSP_QUAD * SLUICE_DSP_QUAD;
    from.weights += (size_t)first * stored;
    from.constants += (size_t)first * 2u;
    if (whole > 0) {
        sluice_dsp_quads(&from, y + first, y + first + whole);
    }
    if (first + whole < end) {
        int8_t last[SLUICE_DSP_QUAD];
        from.weights += (size_t)whole * stored;
        from.constants += (size_t)whole * 2u;
        sluice_dsp_quads(&from, last, last + SLUICE_DSP_QUAD);
        memcpy(y + first + whole, last, end - first - whole);
    }
}

static void run_all_quads(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                          const sluice_open_channels_t *outputs, int8_t *y)
{
    const uint32_t stored = stored_inputs(layer);
    const sluice_dsp_layer_t quads = with_split_inputs(layer, x, scratch);
    if (outputs == NULL) {
        run_quads(&quads, stored, 0, layer->outputs, y);
        return;
    }
    for (uint32_t k = 0; k < outputs->count;) {
        const uint32_t end = sluice_run_end(outputs, k);
        run_quads(&quads, stored, outputs->channels[k], outputs->channels[end - 1u] + 1u, y);
        k = end;
    }
}

/* The open inputs minus their zero point. */
static void widen(const sluice_pointwise_t *layer, const int8_t *x,
                  const sluice_open_channels_t *inputs, int16_t *wide)
{
    for (uint32_t k = 0; k < inputs->count;) {
        const uint32_t end = sluice_run_end(inputs, k), first = inputs->channels[k];
        sluice_dsp_widen(x + first, (end - k) / 4u, layer->input_zero_point, wide + first);
        k = end;
    }
}

/* All inputs minus their zero point, and zeros that fill them up. */
static void widen_all(const sluice_pointwise_t *layer, const int8_t *x, int16_t *wide)
{
    const uint32_t words = (layer->inputs + 3u) / 4u;
    sluice_dsp_widen(x, words, layer->input_zero_point, wide);
    for (uint32_t i = words * 4u; i < stored_inputs(layer); i++) {
        wide[i] = 0;
    }
}

static void run_tile(const sluice_pointwise_t *layer, uint32_t first, const int16_t *wide,
                     const sluice_open_channels_t *inputs, int8_t *y)
{
    const uint32_t stored = stored_inputs(layer), left = layer->outputs - first;
    const int8_t *weights = layer->weights + (size_t)first * stored;
    const int32_t *constants = layer->constants + (size_t)first * 2u;
    const int32_t bias2 = 2 * layer->output_zero_point + 1;
    int8_t last[SLUICE_DSP_TILE];
    int8_t *target = left < SLUICE_DSP_TILE ? last : y + first;
    if (inputs == NULL) {
        sluice_dsp_tile(weights, wide, wide + stored, constants, bias2, target);
    } else if (inputs->group == 4) {
        sluice_dsp_tile_of_open_4(weights, wide, inputs->channels,
                                  inputs->channels + inputs->count, constants, bias2, target);
    } else {
        sluice_dsp_tile_of_open_8(weights, wide, inputs->channels,
                                  inputs->channels + inputs->count, constants, bias2, target);
    }
    if (left < SLUICE_DSP_TILE) {
        memcpy(y + first, last, left);
    }
}

/* Outputs that gates close come in whole tiles. */
static void run_tiles(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y)
{
    const uint32_t count = outputs != NULL ? outputs->count : layer->outputs;
    if (inputs != NULL) {
        widen(layer, x, inputs, scratch);
    } else {
        widen_all(layer, x, scratch);
    }
    for (uint32_t k = 0; k < count; k += SLUICE_DSP_TILE) {
        run_tile(layer, outputs != NULL ? outputs->channels[k] : k, scratch, inputs, y);
    }
}

void sluice_pointwise(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y)
{
    const uint32_t layout = layer->layout;
    if (sluice_is_layout(layout, SLUICE_LAYOUT_ROWS)) {
        run_rows(layer, x, scratch, outputs, y);
    } else if (sluice_is_layout(layout, SLUICE_LAYOUT_QUADS)) {
        run_all_quads(layer, x, scratch, outputs, y);
    } else if (sluice_is_layout(layout, SLUICE_LAYOUT_TILES)) {
        run_tiles(layer, x, scratch, outputs, inputs, y);
    } else if (sluice_is_layout(layout, SLUICE_LAYOUT_PLAIN)) {
        sluice_pointwise_plain(layer, x, scratch, outputs, inputs, y);
    }
}
