/* The addition at the end of a block: TFLite's int8 ADD. */
#ifndef SLUICE_RESIDUAL_H
#define SLUICE_RESIDUAL_H

#include <stdint.h>

/* One operand or the result: its zero point and the factor to or from the
 * common scale of the sum, twice the larger input scale over 2^20. */
typedef struct {
    int32_t multiplier;
    int32_t shift; /* never positive: the factors are below 1 */
    int16_t zero_point;
} sluice_residual_side_t;

typedef struct {
    sluice_residual_side_t x;
    sluice_residual_side_t branch;
    sluice_residual_side_t sum;
} sluice_residual_t;

/* y = x + branch, each at its own scale; y may be x. An operand minus its zero
 * point is below 2^8, shifted left by 20 below 2^28; the sum of two below 2^29. */
void sluice_residual(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                     uint32_t count, int8_t *y);

/* The same in plain C, for any factors on every core. */
void sluice_residual_plain(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                           uint32_t count, int8_t *y);

#endif
