#include "gate.h"

#include <arm_mve.h>

#include "helium.h"

/* Up to 16 open gates of one channel each, `first` on; gives the list's end. */
static inline uint16_t *list_channels(uint32_t open, uint32_t first, uint16_t *channels)
{
    for (; open != 0; open &= open - 1u) {
        *channels++ = (uint16_t)(first + (uint32_t)__builtin_ctz(open));
    }
    return channels;
}

/* The same of groups, of 8 channels or 4. */
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
    uint32_t g = 0;
    if (group == 1 && gates >= 16u) {
        channels = sluice_helium_gate(logits, gates / 16u, zero_point, bits, channels);
        g = gates / 16u * 16u;
    }
    for (; g < gates; g += 16u) {
        const mve_pred16_t valid = vctp8q(gates - g);
        const uint32_t open =
            vcmpgtq_m_n_s8(vldrbq_z_s8(logits + g, valid), (int8_t)zero_point, valid);
        bits[g / 8u] = (uint8_t)open;
        if (gates - g > 8u) {
            bits[g / 8u + 1u] = (uint8_t)(open >> 8);
        }
        channels = group == 1 ? list_channels(open, g, channels)
                              : list_groups(open, g, group, channels);
    }
    return (uint32_t)(channels - first) / group;
}
