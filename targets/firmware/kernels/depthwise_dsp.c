#include "depthwise.h"

#include "dsp.h"

void sluice_depthwise(const sluice_depthwise_t *layer, const int8_t *oldest,
                      const int8_t *middle, const int8_t *newest,
                      const sluice_open_channels_t *open, int8_t *y)
{
    if (layer->layout != SLUICE_LAYOUT_FOLDED) {
        sluice_depthwise_plain(layer, oldest, middle, newest, open, y);
        return;
    }
    sluice_dsp_depthwise(oldest, middle, newest, layer->weights, layer->channels,
                         2 * layer->output_zero_point + 1, y, y + layer->count);
}
