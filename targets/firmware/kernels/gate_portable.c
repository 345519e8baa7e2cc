#include "gate.h"

#include <string.h>

uint32_t sluice_gate(const int8_t *logits, uint32_t gates, int32_t zero_point, uint32_t group,
                     uint8_t *bits, uint16_t *channels)
{
    uint32_t open = 0;
    memset(bits, 0, (gates + 7) / 8);
    for (uint32_t g = 0; g < gates; g++) {
        if (logits[g] <= zero_point) {
            continue;
        }
        bits[g / 8] = (uint8_t)(bits[g / 8] | (1u << (g % 8)));
        for (uint32_t c = 0; c < group; c++) {
            *channels++ = (uint16_t)(g * group + c);
        }
        open++;
    }
    return open;
}
