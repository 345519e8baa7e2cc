/* The inner loops of the DSP extension (Armv7E-M, Armv8-M), in assembly.
 *
 * SMLAD multiplies two halfwords by two, but weights and inputs are bytes, and to
 * widen both costs more than to multiply. So a halfword of weights is two weights,
 * 256 * a + b, used once as it is and once as its sign-extended low byte b:
 *
 * split inputs (ROWS, QUADS): a = -w[even], b = w[odd] of one output. The inputs of
 *   a pair are the bytes q; u = q[even] + 128 and n = 256 * q[odd] + u fit a halfword.
 *   (256 * a + b) * -u + b * n = 256 * (w[even] * u + w[odd] * q[odd]).
 *   What u and q differ from the true inputs by is in the start of the accumulator,
 *   so that no input may be left out.
 * mixed outputs (TILES): a = w[odd output], b = w[even output] of one input x. With
 *   S1 the sum of halfword * x and S2 that of b * x, the even output is S2 and the
 *   odd one (S1 - S2) / 256. An input that is left out counts as 0.
 *
 * Per four MACs that is one sign extension and two SMLAD, and a weight is still one byte.
 * Accumulators hold 256 times the sum. The compiler uses these layouts only where,
 * for every row, |w| <= 127 and 256 * (sum of |w| * 255 + |bias|) < 2^31, so that
 * what wraps on the way does not matter; where every shift is -1 or less; and where no
 * output has a lower limit above -128. TFLite's double rounding is then
 * t = SMMULR(2 * sum, multiplier), one less if negative, rounded half up by the
 * right shift.
 *
 * Constants of a row: `start`, 256 times what the sum begins with, whose low byte is
 * -shift - 1 (it is lost in the end); `multiplier`. bias2: 2 * the output's zero
 * point + 1. */
#ifndef SLUICE_DSP_H
#define SLUICE_DSP_H

#include <stdint.h>

enum {
    SLUICE_DSP_QUAD = 4, /* rows of a quad */
    SLUICE_DSP_TILE = 8, /* outputs of a tile */
    SLUICE_DSP_ROWS = 3, /* rows that sluice_dsp_rows() takes at a time */
};

/* What sluice_dsp_quads() and sluice_dsp_rows() need of a layer. */
typedef struct {
    const int8_t *weights;
    const int32_t *constants;
    const int16_t *split;     /* the inputs, split */
    const int16_t *split_end; /* a multiple of 16 inputs further */
    int32_t bias2;
} sluice_dsp_layer_t;

/* Splits `words` * 4 inputs; of each word -u for both pairs, then n. */
void sluice_dsp_split(const int8_t *x, uint32_t words, int16_t *split);

/* QUADS: y .. y_end, a multiple of 4 outputs, and not 0 of them. Words of the four
 * rows in turn; constants: of a quad four starts, then four multipliers. */
void sluice_dsp_quads(const sluice_dsp_layer_t *layer, int8_t *y, const int8_t *y_end);

/* ROWS: y[open[k]] for each of the outputs open .. open_end, a multiple of 3 of
 * them, and not 0. constants: start and multiplier of each row. */
void sluice_dsp_rows(const sluice_dsp_layer_t *layer, const uint16_t *open,
                     const uint16_t *open_end, int8_t *y);

/* TILES: 8 outputs over the inputs x .. x_end, a multiple of 8 of them.
 * weights: for every two inputs four words, outputs (0, 1), (2, 3), (4, 5), (6, 7).
 * constants: start and multiplier of each output. */
void sluice_dsp_tile(const int8_t *weights, const int16_t *x, const int16_t *x_end,
                     const int32_t *constants, int32_t bias2, int8_t *y);

/* The same over the open inputs alone: groups of 8 or 4, each named by its first
 * channel; the next group's is as many entries further. */
void sluice_dsp_tile_of_open_8(const int8_t *weights, const int16_t *x, const uint16_t *open,
                               const uint16_t *open_end, const int32_t *constants,
                               int32_t bias2, int8_t *y);
void sluice_dsp_tile_of_open_4(const int8_t *weights, const int16_t *x, const uint16_t *open,
                               const uint16_t *open_end, const int32_t *constants,
                               int32_t bias2, int8_t *y);

/* FOLDED: a depthwise convolution of three taps over channels y .. y_end, at least
 * one. The input's zero point has been taken out of the inputs by way of the start. */
void sluice_dsp_depthwise(const int8_t *oldest, const int8_t *middle, const int8_t *newest,
                          const int8_t *weights, const int32_t *constants, int32_t bias2,
                          int8_t *y, const int8_t *y_end);

/* What sluice_dsp_residual() needs of an addition whose first operand has the larger
 * scale, and so the factor 1/2. Shifts are the right shifts less one. */
typedef struct {
    int32_t smaller_multiplier;
    int32_t smaller_shift;
    int32_t smaller_start; /* -zero point * 2^21 */
    int32_t start;         /* 1 - zero point of the larger * 2^20 */
    int32_t sum_multiplier;
    int32_t sum_shift;
    int32_t bias2;
} sluice_dsp_residual_t;

/* TFLite's ADD over y .. y_end, at least one; y may be an operand. */
void sluice_dsp_residual(const int8_t *larger, const int8_t *smaller,
                         const sluice_dsp_residual_t *constants, int8_t *y,
                         const int8_t *y_end);

/* wide[i] = x[i] - zero_point for `words` * 4 values; x is word-aligned. */
void sluice_dsp_widen(const int8_t *x, uint32_t words, int32_t zero_point, int16_t *wide);

#endif
