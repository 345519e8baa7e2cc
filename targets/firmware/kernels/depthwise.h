/* A dilated depthwise convolution of three taps on one frame. */
#ifndef SLUICE_DEPTHWISE_H
#define SLUICE_DEPTHWISE_H

#include <stdint.h>

#include "layout.h"
#include "open_channels.h"
#include "requantise.h"

enum { SLUICE_DEPTHWISE_TAPS = 3 };

typedef struct {
    const int8_t *weights;    /* [channels][3], oldest tap first */
    const int32_t *constants; /* as `layout` says; PLAIN: bias, multiplier, shift of each */
    uint16_t count;           /* channels */
    int16_t input_zero_point;
    int16_t output_zero_point;
    int8_t lowest;  /* of the outputs: -128, or the zero point with a ReLU */
    uint8_t layout; /* PLAIN or FOLDED */
} sluice_depthwise_t;

/* The three frames t - 2d, t - d and t of `count` channels give one frame y.
 * y of a closed channel is left as it is; its taps and weights are not read.
 * The sum of three products stays below 2^17. */
void sluice_depthwise(const sluice_depthwise_t *layer, const int8_t *oldest,
                      const int8_t *middle, const int8_t *newest,
                      const sluice_open_channels_t *open, int8_t *y);

/* The same in plain C, for layout PLAIN on every core. */
void sluice_depthwise_plain(const sluice_depthwise_t *layer, const int8_t *oldest,
                            const int8_t *middle, const int8_t *newest,
                            const sluice_open_channels_t *open, int8_t *y);

#endif
