#include "depthwise.h"

#include <stddef.h>

static inline int8_t one_channel(const sluice_depthwise_t *layer, uint32_t c, int32_t oldest,
                                 int32_t middle, int32_t newest)
{
    const int8_t *weights = layer->weights + (size_t)c * SLUICE_DEPTHWISE_TAPS;
    const int32_t *constants = layer->constants + (size_t)c * SLUICE_PLAIN_CONSTANTS;
    const int32_t zero = layer->input_zero_point;
    const int32_t sum = constants[0] + (oldest - zero) * weights[0] +
                        (middle - zero) * weights[1] + (newest - zero) * weights[2];
    const int32_t value = sluice_requantise(sum, constants[1], constants[2]);
    return sluice_saturate(value + layer->output_zero_point, layer->lowest);
}

void sluice_depthwise_plain(const sluice_depthwise_t *layer, const int8_t *oldest,
                            const int8_t *middle, const int8_t *newest,
                            const sluice_open_channels_t *open, int8_t *y)
{
    const sluice_depthwise_t own = *layer; /* y might alias it, for all the compiler knows */
    if (open == NULL) {
        for (uint32_t c = 0; c < own.count; c++) {
            y[c] = one_channel(&own, c, oldest[c], middle[c], newest[c]);
        }
        return;
    }
    const uint32_t count = open->count;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t c = open->channels[k];
        y[c] = one_channel(&own, c, oldest[c], middle[c], newest[c]);
    }
}
