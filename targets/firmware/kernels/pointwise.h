/* A 1x1 convolution on one frame, skipping closed outputs and closed inputs. */
#ifndef SLUICE_POINTWISE_H
#define SLUICE_POINTWISE_H

#include <stdint.h>

#include "layout.h"
#include "open_channels.h"
#include "requantise.h"

typedef struct {
    const int8_t *weights;            /* [outputs][inputs], as `layout` says */
    const sluice_channel_t *channels; /* [outputs] */
    uint16_t inputs;
    uint16_t outputs;
    int16_t input_zero_point;
    int16_t output_zero_point;
    int8_t lowest; /* of the outputs: -128, or the zero point with a ReLU */
    uint8_t layout; /* sluice_layout_t */
} sluice_pointwise_t;

/* y[o] = saturate(requantise(bias[o] + sum over i of x[i] * w[o][i]) + zero point)
 *
 * x: inputs minus their zero point, |x| <= 255; the entries of closed inputs
 * are 0 and are not read, nor are their weights. y of a closed output is left
 * as it is and its row is not fetched. With |w| <= 128 and up to 1024 inputs
 * the sum stays below 2^25; the compiler checks it with the bias. */
void sluice_pointwise(const sluice_pointwise_t *layer, const int16_t *x,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y);

#endif
