#include "moving_average.h"

void sluice_moving_average(const int8_t *x, uint32_t channels, int32_t frames, int16_t *sums,
                           int8_t *oldest, int8_t *average)
{
    const int32_t half = frames / 2;
    for (uint32_t c = 0; c < channels; c++) {
        const int32_t window = sums[c] + x[c];
        const int32_t rounded = (window > 0 ? window + half : window - half) / frames;
        sums[c] = (int16_t)(window - oldest[c]);
        oldest[c] = x[c];
        average[c] = (int8_t)rounded;
    }
}
