#include "depthwise.h"

#include <stddef.h>

#include "dsp.h"

static void run(const sluice_depthwise_t *layer, const int8_t *oldest, const int8_t *middle,
                const int8_t *newest, uint32_t first, uint32_t end, int8_t *y)
{
    sluice_dsp_depthwise(oldest + first, middle + first, newest + first,
                         layer->weights + (size_t)first * SLUICE_DEPTHWISE_TAPS,
                         layer->constants + (size_t)first * 2u,
                         2 * layer->output_zero_point + 1, y + first, y + end);
}

void sluice_depthwise(const sluice_depthwise_t *layer, const int8_t *oldest,
                      const int8_t *middle, const int8_t *newest,
                      const sluice_open_channels_t *open, int8_t *y)
{
    if (sluice_is_layout(layer->layout, SLUICE_LAYOUT_PLAIN)) {
        sluice_depthwise_plain(layer, oldest, middle, newest, open, y);
        return;
    }
    if (open == NULL) {
        run(layer, oldest, middle, newest, 0, layer->count, y);
        return;
    }
    for (uint32_t k = 0; k < open->count;) {
        const uint32_t end = sluice_run_end(open, k);
        run(layer, oldest, middle, newest, open->channels[k], open->channels[end - 1u] + 1u, y);
        k = end;
    }
}
