#include "moving_average.h"

#include <arm_acle.h>
#include <stdbool.h>
#include <string.h>

static inline uint32_t load(const void *x)
{
    uint32_t word;
    memcpy(&word, x, sizeof word);
    return word;
}

static inline void store(void *x, uint32_t word)
{
    memcpy(x, &word, sizeof word);
}

static inline int16x2_t bytes_0_2(uint32_t word)
{
    return __sxtb16((int8x4_t)word);
}

static inline int16x2_t bytes_1_3(uint32_t word)
{
    return __sxtb16((int8x4_t)(word >> 8 | word << 24));
}

static inline uint32_t rounded(int32_t window, int32_t frames)
{
    const int32_t half = frames / 2;
    return (uint8_t)((window > 0 ? window + half : window - half) / frames);
}

/* Four means from the windows' sums. Over an odd number of frames no mean is a tie, so
 * halves may go up: with 128 frames' worth added nothing is negative, and one unsigned
 * division rounds. */
static inline uint32_t means_of(int16x2_t even, int16x2_t odd, int32_t frames, bool ties)
{
    if (ties) {
        return rounded((int16_t)even, frames) | rounded((int16_t)odd, frames) << 8 |
               rounded(even >> 16, frames) << 16 | rounded(odd >> 16, frames) << 24;
    }
    const uint32_t divisor = (uint32_t)frames;
    const uint32_t up = (divisor / 2u + 128u * divisor) * 0x10001u;
    const uint32_t a = __uadd16((uint16x2_t)even, up), b = __uadd16((uint16x2_t)odd, up);
    const uint32_t means = (a & 0xFFFFu) / divisor | (b & 0xFFFFu) / divisor << 8 |
                           (a >> 16) / divisor << 16 | (b >> 16) / divisor << 24;
    return means ^ 0x80808080u;
}

static inline void four_by_four(const int8_t *x, uint32_t channels, int32_t frames,
                                int16_t *sums, int8_t *oldest, int8_t *average, bool ties)
{
    for (uint32_t c = 0; c < channels; c += 4u) {
        const uint32_t new = load(x + c), old = load(oldest + c);
        const int16x2_t even = __sadd16((int16x2_t)load(sums + c), bytes_0_2(new));
        const int16x2_t odd = __sadd16((int16x2_t)load(sums + c + 2), bytes_1_3(new));
        store(average + c, means_of(even, odd, frames, ties));
        store(sums + c, (uint32_t)__ssub16(even, bytes_0_2(old)));
        store(sums + c + 2, (uint32_t)__ssub16(odd, bytes_1_3(old)));
        store(oldest + c, new);
    }
}

/* Sums of four channels are kept in the order 0, 2, 1, 3: nobody else reads them. */
void sluice_moving_average(const int8_t *x, uint32_t channels, int32_t frames, int16_t *sums,
                           int8_t *oldest, int8_t *average)
{
    const uint32_t whole = channels / 4u * 4u;
    if (frames % 2 == 0) {
        four_by_four(x, whole, frames, sums, oldest, average, true);
    } else {
        four_by_four(x, whole, frames, sums, oldest, average, false);
    }
    for (uint32_t c = whole; c < channels; c++) {
        const int32_t window = sums[c] + x[c];
        sums[c] = (int16_t)(window - oldest[c]);
        oldest[c] = x[c];
        average[c] = (int8_t)rounded(window, frames);
    }
}
