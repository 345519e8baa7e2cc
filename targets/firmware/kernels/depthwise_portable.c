#include "depthwise.h"

void sluice_depthwise(const sluice_depthwise_t *layer, const int8_t *oldest,
                      const int8_t *middle, const int8_t *newest,
                      const sluice_open_channels_t *open, int8_t *y)
{
    sluice_depthwise_plain(layer, oldest, middle, newest, open, y);
}
