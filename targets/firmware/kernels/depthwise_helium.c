#include "depthwise.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "helium.h"

enum { EIGHT = SLUICE_HELIUM_OCTET, SIXTEEN = 16 };

typedef void of_open_t(const sluice_helium_depthwise_t *layer, const uint16_t *open,
                       uint32_t eights, int8_t *y);

/* A list of any length but 0: some of its last ones again where it is no whole eights. */
static void run_open(of_open_t *of_open, const sluice_helium_depthwise_t *layer,
                     const uint16_t *open, uint32_t count, int8_t *y)
{
    const uint32_t eights = count / EIGHT;
    if (eights > 0) {
        of_open(layer, open, eights, y);
    }
    if (eights * EIGHT == count) {
        return;
    }
    uint16_t last[EIGHT];
    for (uint32_t i = 0; i < EIGHT; i++) {
        last[i] = open[eights * EIGHT + i < count ? eights * EIGHT + i : count - 1u];
    }
    of_open(layer, last, 1, y);
}

void sluice_depthwise(const sluice_depthwise_t *layer, const int8_t *oldest,
                      const int8_t *middle, const int8_t *newest,
                      const sluice_open_channels_t *open, int8_t *y)
{
    if (sluice_is_layout(layer->layout, SLUICE_LAYOUT_PLAIN)) {
        sluice_depthwise_plain(layer, oldest, middle, newest, open, y);
        return;
    }
    const uint32_t count = layer->count;
    const bool relu = layer->output_zero_point == INT8_MIN;
    const sluice_helium_depthwise_t channels = {
        {oldest, middle, newest},
        {layer->weights, layer->weights + count, layer->weights + 2u * count},
        (const int8_t *)(layer->constants + 2u * count),
        layer->constants,
        layer->constants + count,
        layer->output_zero_point,
    };
    of_open_t *of_open =
        relu ? sluice_helium_depthwise_of_open_relu : sluice_helium_depthwise_of_open;
    if (open != NULL) {
        if (open->count > 0) {
            run_open(of_open, &channels, open->channels, open->count, y);
        }
        return;
    }
    if (count >= SIXTEEN) {
        (relu ? sluice_helium_depthwise_relu : sluice_helium_depthwise)(&channels, y,
                                                                        count / SIXTEEN);
    }
    if (count % SIXTEEN != 0) {
        uint16_t rest[SIXTEEN];
        for (uint32_t i = 0; i < count % SIXTEEN; i++) {
            rest[i] = (uint16_t)(count / SIXTEEN * SIXTEEN + i);
        }
        run_open(of_open, &channels, rest, count % SIXTEEN, y);
    }
}
