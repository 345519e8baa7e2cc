/* The inner loops of the DSP extension (Armv7E-M, Armv8-M), in assembly.
 *
 * Tiles hold 8 outputs. A weight word is two outputs of two inputs: each of its
 * halfwords is 256 * w[odd output] + w[even output] of one input. With S1 the sum
 * of halfword * x and S2 that of its sign-extended low byte * x, the even output
 * is S2 and the odd one (S1 - S2) / 256: four MACs cost one sign extension and two
 * SMLAD, and a weight is still one byte. The compiler uses tiles only where, for
 * every pair of rows, |w| <= 127 and 256 * (sum of |w| * 255 + |bias|) < 2^31. */
#ifndef SLUICE_DSP_H
#define SLUICE_DSP_H

#include <stdint.h>

#include "requantise.h"

enum {
    SLUICE_DSP_TILE = 8, /* outputs a tile */
    SLUICE_DSP_ROWS = 4, /* rows that sluice_dsp_rows() takes */
};

/* One tile over the inputs x .. x_end, a multiple of 8 of them.
 *
 * weights: for every two inputs four words, outputs (0, 1), (2, 3), (4, 5), (6, 7).
 * channels: 8 of them, shift <= -1 and accumulators below 2^30, so that TFLite's
 * double rounding is t = SMMULR(2 * sum, multiplier), one less if negative, then
 * rounded half up by the right shift. bias2: 2 * the output's zero point + 1. */
void sluice_dsp_tile(const int8_t *weights, const int16_t *x, const int16_t *x_end,
                     const sluice_channel_t *channels, int32_t bias2, int8_t *y);

/* The same over the open inputs alone: groups of 8, each named by its first
 * channel; the next group's is 8 entries further. At least one group. */
void sluice_dsp_tile_of_open(const int8_t *weights, const int16_t *x, const uint16_t *open,
                             const uint16_t *open_end, const sluice_channel_t *channels,
                             int32_t bias2, int8_t *y);

/* sums[r] = the sum of rows[r][i] * x[i] over x .. x_end, a multiple of 8 inputs.
 * Rows are stored four inputs a word, in the order 0, 2, 1, 3, which is how SXTB16
 * takes them apart. */
void sluice_dsp_rows(const int8_t *const rows[SLUICE_DSP_ROWS], const int16_t *x,
                     const int16_t *x_end, int32_t sums[SLUICE_DSP_ROWS]);

/* A depthwise convolution of three taps over channels y .. y_end, an even number
 * of them; shifts and accumulators as for a tile. The input's zero point has been
 * taken out of the inputs by way of the bias. */
void sluice_dsp_depthwise(const int8_t *oldest, const int8_t *middle, const int8_t *newest,
                          const int8_t *weights, const sluice_channel_t *channels,
                          int32_t bias2, int8_t *y, const int8_t *y_end);

/* wide[i] = x[i] - zero_point for `words` * 4 values; x is word-aligned. */
void sluice_dsp_widen(const int8_t *x, uint32_t words, int32_t zero_point, int16_t *wide);

#endif
