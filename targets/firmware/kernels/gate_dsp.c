#include "gate.h"

#include <string.h>

/* One bit a logit above the zero point, of four logits in a word. */
static inline uint32_t four_gates(const int8_t *logits, uint32_t zero_points)
{
    const uint32_t ones = 0x01010101u, zeros = 0;
    uint32_t word, open;
    memcpy(&word, logits, sizeof word);
    /* SSUB8 notes where the zero point is not below the logit; SEL takes 0 there. */
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %3, %4"
            : "=&r"(open)
            : "r"(zero_points), "r"(word), "r"(zeros), "r"(ones));
    return open * 0x10204080u >> 28; /* the bytes' lowest bits, side by side */
}

static inline uint16_t *append(uint16_t *channels, uint32_t first, uint32_t open, uint32_t group)
{
    for (; open != 0; open &= open - 1u) {
        const uint32_t gate = first + (uint32_t)__builtin_ctz(open);
        for (uint32_t c = gate * group; c < (gate + 1u) * group; c++) {
            *channels++ = (uint16_t)c;
        }
    }
    return channels;
}

static inline uint16_t *decide(const int8_t *logits, uint32_t gates, int32_t zero_point,
                               uint32_t group, uint8_t *bits, uint16_t *channels)
{
    const uint32_t zero_points = (uint8_t)zero_point * 0x01010101u;
    uint32_t g = 0;
    for (; g + 8u <= gates; g += 8u) {
        const uint32_t open =
            four_gates(logits + g, zero_points) | four_gates(logits + g + 4u, zero_points) << 4;
        *bits++ = (uint8_t)open;
        channels = append(channels, g, open, group);
    }
    if (g < gates) {
        uint32_t open = 0;
        for (uint32_t bit = 0; g + bit < gates; bit++) {
            open |= (logits[g + bit] > zero_point ? 1u : 0u) << bit;
        }
        *bits = (uint8_t)open;
        channels = append(channels, g, open, group);
    }
    return channels;
}

uint32_t sluice_gate(const int8_t *logits, uint32_t gates, int32_t zero_point, uint32_t group,
                     uint8_t *bits, uint16_t *channels)
{
    if (group == 1u) {
        return (uint32_t)(decide(logits, gates, zero_point, 1u, bits, channels) - channels);
    }
    const uint16_t *end = decide(logits, gates, zero_point, group, bits, channels);
    return (uint32_t)(end - channels) / group;
}
