#include "gate.h"

uint32_t sluice_gate(const int8_t *logits, uint32_t gates, int32_t zero_point, uint32_t group,
                     uint8_t *bits, uint16_t *channels)
{
    const uint16_t *first = channels;
    for (uint32_t byte = 0; byte * 8u < gates; byte++) {
        const uint32_t left = gates - byte * 8u;
        uint32_t open = 0;
        for (uint32_t bit = 0; bit < 8u && bit < left; bit++) {
            const uint32_t g = byte * 8u + bit;
            if (logits[g] <= zero_point) {
                continue;
            }
            open |= 1u << bit;
            for (uint32_t c = g * group; c < (g + 1u) * group; c++) {
                *channels++ = (uint16_t)c;
            }
        }
        bits[byte] = (uint8_t)open;
    }
    return (uint32_t)(channels - first) / group;
}
