/* The inner loops of Helium (MVE, Armv8.1-M), in assembly.
 *
 * VMLADAV multiplies 16 bytes by 16 bytes and adds all products to one register, so
 * that a row's inputs lie side by side, filled up with zeros to a multiple of 16, and
 * zero points are dealt with before: the input's is in the start of the sum.
 *
 * OCTETS: 8 rows interleaved, 16 inputs of each in turn. One pointer serves all, and
 *   the inputs are loaded once for 8 rows. Without gates on the outputs, or with gates
 *   on groups of 8.
 * OFFSET_OCTETS: the same, for inputs that gates close in groups of 4 or 8. Weights have
 *   128 added and inputs minus -128, their zero point, are 0 .. 255, both unsigned. So
 *   a closed input counts as 0 and its weights are not read; and 128 times the sum of
 *   the inputs, the same for each row, is taken off in the end (`correction`). Four
 *   inputs at a time are gathered from where the open ones are. (That load is one
 *   instruction; on silicon it takes longer than one of 16 bytes side by side.)
 * LONE_ROWS: each row by itself, for gates on single outputs and on groups of 4. These
 *   and OCTETS read all inputs: what is closed must be at the zero point.
 * CHANNELS: a depthwise convolution, all channels' weights of one tap after the other.
 *
 * 9 bytes of constants a row: the start of the sum, the multiplier, and the shift, one
 * byte. OCTETS have, of 8 rows, the starts; the multipliers of rows 0, 2, 4, 6, then of
 * 1, 3, 5, 7; the shifts in the same order. The other layouts have all starts, all
 * multipliers, all shifts.
 *
 * The compiler uses these layouts only where every shift is -1 or less, |w| <= 127, and
 * no output has a lower limit above -128. TFLite's double rounding is then VQRDMULH,
 * which rounds halves up; one less if negative; and VRSHL, which rounds halves up too.
 * |sum| < 2^30, so nothing saturates on the way. Where the output's zero point is -128
 * (_relu), what is negative gives -128 however it is rounded. */
#ifndef SLUICE_HELIUM_H
#define SLUICE_HELIUM_H

#include <stdint.h>

#include "pointwise.h"

enum {
    SLUICE_HELIUM_INPUTS = 16, /* of a row at a time */
    SLUICE_HELIUM_OCTET = 8,   /* rows, or channels of a depthwise */
    SLUICE_HELIUM_ROWS = 4,    /* rows that sluice_helium_rows() takes at a time */
};

/* The inputs of a 1x1 convolution. The assembly knows the offsets, here and of
 * sluice_pointwise_t. */
typedef struct {
    const int8_t *x;
    const int8_t *x_end;
    int32_t correction; /* OFFSET_OCTETS: added to each sum */
} sluice_helium_inputs_t;

/* OCTETS: y .. y_end, a multiple of 8 outputs, and not 0 of them. x .. x_end: all
 * inputs, filled up with anything. */
void sluice_helium_octets(const sluice_pointwise_t *layer, const sluice_helium_inputs_t *inputs,
                          int8_t *y, const int8_t *y_end);
void sluice_helium_octets_relu(const sluice_pointwise_t *layer,
                               const sluice_helium_inputs_t *inputs, int8_t *y,
                               const int8_t *y_end);

/* Those octets alone whose first output is every eighth entry of open .. open_end, not
 * an empty list. */
void sluice_helium_octets_of_open(const sluice_pointwise_t *layer, const int8_t *x,
                                  const uint16_t *open, const uint16_t *open_end, int8_t *y);
void sluice_helium_octets_of_open_relu(const sluice_pointwise_t *layer, const int8_t *x,
                                       const uint16_t *open, const uint16_t *open_end,
                                       int8_t *y);

/* The same four for layers of 128 inputs, filled up, most of which they keep in registers. */
void sluice_helium_octets_128(const sluice_pointwise_t *layer,
                              const sluice_helium_inputs_t *inputs, int8_t *y,
                              const int8_t *y_end);
void sluice_helium_octets_128_relu(const sluice_pointwise_t *layer,
                                   const sluice_helium_inputs_t *inputs, int8_t *y,
                                   const int8_t *y_end);
void sluice_helium_octets_128_of_open(const sluice_pointwise_t *layer, const int8_t *x,
                                      const uint16_t *open, const uint16_t *open_end,
                                      int8_t *y);
void sluice_helium_octets_128_of_open_relu(const sluice_pointwise_t *layer, const int8_t *x,
                                           const uint16_t *open, const uint16_t *open_end,
                                           int8_t *y);

/* OFFSET_OCTETS: x .. x_end is all inputs + 128, from 0 to 255. */
void sluice_helium_offset_octets(const sluice_pointwise_t *layer,
                                 const sluice_helium_inputs_t *inputs, int8_t *y,
                                 const int8_t *y_end);

/* The same over open inputs: x .. x_end is, for every 16 of them, the bytes and then
 * four offsets into an octet's weights. There may be none. */
void sluice_helium_octets_of_open_inputs(const sluice_pointwise_t *layer,
                                         const sluice_helium_inputs_t *inputs, int8_t *y,
                                         const int8_t *y_end);

/* LONE_ROWS: y[open[k]] for each of open .. open_end, a multiple of 4, and not 0. */
void sluice_helium_rows(const sluice_pointwise_t *layer, const int8_t *x, const uint16_t *open,
                        const uint16_t *open_end, int8_t *y);

/* A depthwise convolution of three taps. The assembly knows these offsets. */
typedef struct {
    const int8_t *frames[3]; /* oldest first */
    const int8_t *weights[3];
    const int8_t *shifts;
    const int32_t *starts;
    const int32_t *multipliers;
    int32_t zero_point; /* the output's */
} sluice_helium_depthwise_t;

/* CHANNELS: the first 16 * `sixteens` channels, not 0 of them. */
void sluice_helium_depthwise(const sluice_helium_depthwise_t *layer, int8_t *y,
                             uint32_t sixteens);
void sluice_helium_depthwise_relu(const sluice_helium_depthwise_t *layer, int8_t *y,
                                  uint32_t sixteens);

/* Those of a list of 8 * `eights` channels, not 0 of them. */
void sluice_helium_depthwise_of_open(const sluice_helium_depthwise_t *layer,
                                     const uint16_t *open, uint32_t eights, int8_t *y);
void sluice_helium_depthwise_of_open_relu(const sluice_helium_depthwise_t *layer,
                                          const uint16_t *open, uint32_t eights, int8_t *y);

/* sluice_gate() of groups of one channel: 16 * `sixteens` gates, not 0 of them; gives
 * the list's end. */
uint16_t *sluice_helium_gate(const int8_t *logits, uint32_t sixteens, int32_t zero_point,
                             uint8_t *bits, uint16_t *channels);

/* y = half + other, as in residual.h: the factor of `half` is exactly 1/2 and the other
 * two shift to the right. The assembly knows these offsets. */
typedef struct {
    int32_t half_offset;  /* -zero point << 19 */
    int32_t other_offset; /* -zero point << 20 */
    int32_t other_multiplier;
    int32_t other_shift;
    int32_t sum_multiplier;
    int32_t sum_shift;
    int32_t sum_zero_point;
} sluice_helium_residual_t;

void sluice_helium_residual(const sluice_helium_residual_t *add, const int8_t *half,
                            const int8_t *other, uint32_t count, int8_t *y);

#endif
