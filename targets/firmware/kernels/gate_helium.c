#include "gate.h"

#include <arm_mve.h>

/* The open gates of four, and how many they are; their bits are the index. */
static const uint8_t open_of_four[16][4] = {
    {0}, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, {0, 1, 2},
    {3}, {0, 3}, {1, 3}, {0, 1, 3}, {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3},
};
static const uint8_t count_of_four[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

/* Up to 16 gates of one channel each, `first` on; gives the list's end. What is
 * stored beyond it stays below first + 16 entries, filled up to four. */
static inline uint16_t *list_channels(uint32_t open, uint32_t first, uint16_t *channels)
{
    for (uint32_t left = open; left != 0; left >>= 4, first += 4) {
        const uint32_t four = left & 15u;
        vstrhq_u32(channels, vaddq_n_u32(vldrbq_u32(open_of_four[four]), first));
        channels += count_of_four[four];
    }
    return channels;
}

/* The same of groups, 8 channels at a time. */
static inline uint16_t *list_groups(uint32_t open, uint32_t first, uint32_t group,
                                    uint16_t *channels)
{
    for (; open != 0; open &= open - 1u) {
        const uint32_t channel = (first + (uint32_t)__builtin_ctz(open)) * group;
        if (group == 8) {
            vstrhq_u16(channels, vidupq_n_u16(channel, 1));
        } else {
            vstrhq_u32(channels, vidupq_n_u32(channel, 1));
        }
        channels += group;
    }
    return channels;
}

uint32_t sluice_gate(const int8_t *logits, uint32_t gates, int32_t zero_point, uint32_t group,
                     uint8_t *bits, uint16_t *channels)
{
    const uint16_t *first = channels;
    for (uint32_t g = 0; g < gates; g += 16u, bits += 2) {
        const mve_pred16_t valid = vctp8q(gates - g);
        const uint32_t open =
            vcmpgtq_m_n_s8(vldrbq_z_s8(logits + g, valid), (int8_t)zero_point, valid);
        bits[0] = (uint8_t)open;
        if (gates - g > 8u) {
            bits[1] = (uint8_t)(open >> 8);
        }
        channels = group == 1 ? list_channels(open, g, channels) : list_groups(open, g, group, channels);
    }
    return (uint32_t)(channels - first) / group;
}
