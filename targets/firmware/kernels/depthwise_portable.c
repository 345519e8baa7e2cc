#include "depthwise.h"

#include <stddef.h>

void sluice_depthwise(const sluice_depthwise_t *layer, const int8_t *oldest,
                      const int8_t *middle, const int8_t *newest,
                      const sluice_open_channels_t *open, int8_t *y)
{
    const uint32_t count = open != NULL ? open->count : layer->count;
    const int32_t zero = layer->input_zero_point;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t c = open != NULL ? open->channels[k] : k;
        const int8_t *weights = layer->weights + (size_t)c * SLUICE_DEPTHWISE_TAPS;
        const sluice_channel_t *channel = &layer->channels[c];
        const int32_t sum = channel->bias + (oldest[c] - zero) * weights[0] +
                            (middle[c] - zero) * weights[1] + (newest[c] - zero) * weights[2];
        const int32_t value = sluice_requantise(sum, channel->multiplier, channel->shift);
        y[c] = sluice_saturate(value + layer->output_zero_point, layer->lowest);
    }
}
