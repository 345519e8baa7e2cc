#include "pointwise.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "dsp.h"

/* Inputs as they are stored: rows are filled up with zeros. */
static uint32_t stored_inputs(const sluice_pointwise_t *layer)
{
    return (layer->inputs + SLUICE_STORED_MULTIPLE - 1u) / SLUICE_STORED_MULTIPLE *
           SLUICE_STORED_MULTIPLE;
}

static void run_tile(const sluice_pointwise_t *layer, uint32_t first, const int16_t *x,
                     const sluice_open_channels_t *inputs, int8_t *y)
{
    const uint32_t stored = stored_inputs(layer);
    const int8_t *weights = layer->weights + (size_t)first * stored;
    const sluice_channel_t *channels = layer->channels + first;
    const int32_t bias2 = 2 * layer->output_zero_point + 1;
    int8_t partial[SLUICE_DSP_TILE];
    const uint32_t left = layer->outputs - first;
    int8_t *target = left < SLUICE_DSP_TILE ? partial : y + first;

    if (inputs != NULL) {
        sluice_dsp_tile_of_open(weights, x, inputs->channels, inputs->channels + inputs->count,
                                channels, bias2, target);
    } else {
        sluice_dsp_tile(weights, x, x + stored, channels, bias2, target);
    }
    if (left < SLUICE_DSP_TILE) {
        memcpy(y + first, partial, left);
    }
}

static void run_tiles(const sluice_pointwise_t *layer, const int16_t *x,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y)
{
    if (outputs == NULL) {
        for (uint32_t first = 0; first < layer->outputs; first += SLUICE_DSP_TILE) {
            run_tile(layer, first, x, inputs, y);
        }
        return;
    }
    for (uint32_t k = 0; k < outputs->count; k += SLUICE_DSP_TILE) {
        run_tile(layer, outputs->channels[k], x, inputs, y);
    }
}

/* Where input i of a row lies: 0, 2, 1, 3 within every four. */
static uint32_t place(uint32_t input)
{
    const uint32_t within = input & 3u;
    return (input & ~3u) | (within == 1 ? 2u : within == 2 ? 1u : within);
}

static void rows_of_open(const int8_t *const rows[SLUICE_DSP_ROWS], const int16_t *x,
                         const sluice_open_channels_t *inputs, int32_t sums[SLUICE_DSP_ROWS])
{
    const int8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    int32_t sum_a = 0, sum_b = 0, sum_c = 0, sum_d = 0;
    for (uint32_t k = 0; k < inputs->count; k++) {
        const uint32_t i = inputs->channels[k], at = place(i);
        const int32_t value = x[i];
        sum_a += value * a[at];
        sum_b += value * b[at];
        sum_c += value * c[at];
        sum_d += value * d[at];
    }
    sums[0] = sum_a;
    sums[1] = sum_b;
    sums[2] = sum_c;
    sums[3] = sum_d;
}

static int8_t finish(const sluice_pointwise_t *layer, uint32_t output, int32_t sum)
{
    const sluice_channel_t *channel = &layer->channels[output];
    const int32_t value =
        sluice_requantise(sum + channel->bias, channel->multiplier, channel->shift);
    return sluice_saturate(value + layer->output_zero_point, layer->lowest);
}

static void run_rows(const sluice_pointwise_t *layer, const int16_t *x,
                     const sluice_open_channels_t *outputs,
                     const sluice_open_channels_t *inputs, int8_t *y)
{
    const uint32_t stored = stored_inputs(layer);
    const uint32_t count = outputs != NULL ? outputs->count : layer->outputs;
    for (uint32_t k = 0; k < count; k += SLUICE_DSP_ROWS) {
        const uint32_t left = count - k;
        uint32_t output[SLUICE_DSP_ROWS];
        const int8_t *rows[SLUICE_DSP_ROWS];
        int32_t sums[SLUICE_DSP_ROWS];
        for (uint32_t r = 0; r < SLUICE_DSP_ROWS; r++) {
            const uint32_t at = r < left ? k + r : k; /* the first again, for want of another */
            output[r] = outputs != NULL ? outputs->channels[at] : at;
            rows[r] = layer->weights + (size_t)output[r] * stored;
        }
        if (inputs != NULL) {
            rows_of_open(rows, x, inputs, sums);
        } else {
            sluice_dsp_rows(rows, x, x + stored, sums);
        }
        for (uint32_t r = 0; r < SLUICE_DSP_ROWS && r < left; r++) {
            y[output[r]] = finish(layer, output[r], sums[r]);
        }
    }
}

void sluice_pointwise(const sluice_pointwise_t *layer, const int16_t *x,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y)
{
    const bool nothing = inputs != NULL && inputs->count == 0;
    if (layer->layout == SLUICE_LAYOUT_TILES && !nothing) {
        run_tiles(layer, x, outputs, inputs, y);
    } else {
        run_rows(layer, x, outputs, inputs, y);
    }
}
