/* A 1x1 convolution on one frame, skipping closed outputs and closed inputs. */
#ifndef SLUICE_POINTWISE_H
#define SLUICE_POINTWISE_H

#include <stdint.h>

#include "layout.h"
#include "open_channels.h"
#include "requantise.h"

typedef struct {
    const int8_t *weights;    /* as `layout` says */
    const int32_t *constants; /* likewise; PLAIN: bias, multiplier, shift of each output */
    uint16_t inputs;
    uint16_t outputs;
    int16_t input_zero_point;
    int16_t output_zero_point;
    int8_t lowest;  /* of the outputs: -128, or the zero point with a ReLU */
    uint8_t layout; /* sluice_layout_t */
} sluice_pointwise_t;

/* y[o] = saturate(requantise(bias[o] + sum over i of (x[i] - zero point) * w[o][i])
 *                 + zero point)
 *
 * x is word-aligned and may be read up to 15 bytes beyond its end. scratch: the
 * inputs as the kernel wants them, 2 bytes each, filled up as the layout says,
 * aligned to 16 bytes. Weights of closed inputs are not read. y of a closed output
 * is left as it is and its row is not fetched. With |w| <= 128 and up to 1024
 * inputs the sum stays below 2^25; the compiler checks it with the bias. */
void sluice_pointwise(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y);

/* The same in plain C, for layout PLAIN on every core. */
void sluice_pointwise_plain(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                            const sluice_open_channels_t *outputs,
                            const sluice_open_channels_t *inputs, int8_t *y);

#endif
