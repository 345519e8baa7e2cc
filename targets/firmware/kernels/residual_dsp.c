#include "residual.h"

#include <stdbool.h>

#include "requantise.h"

enum { LEFT_SHIFT = 20 }; /* TFLite's, for int8 */

/* sluice_requantise() with what does not change from channel to channel known. */
static inline int32_t scaled(int32_t value, int32_t multiplier, int32_t shift, bool shifts)
{
    const int32_t high = sluice_multiply_rounded(value, multiplier);
    if (!shifts) {
        return high;
    }
    return (((high + (high >> 31)) >> (-shift - 1)) + 1) >> 1;
}

static inline void add_all(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                           uint32_t count, int8_t *y, bool x_shifts, bool branch_shifts)
{
    const sluice_residual_side_t a = add->x, b = add->branch, sum = add->sum;
    for (uint32_t c = 0; c < count; c++) {
        const int32_t left = (x[c] - a.zero_point) * (INT32_C(1) << LEFT_SHIFT);
        const int32_t right = (branch[c] - b.zero_point) * (INT32_C(1) << LEFT_SHIFT);
        const int32_t both = scaled(left, a.multiplier, a.shift, x_shifts) +
                             scaled(right, b.multiplier, b.shift, branch_shifts);
        const int32_t value = scaled(both, sum.multiplier, sum.shift, true);
        y[c] = sluice_clamp(value + sum.zero_point);
    }
}

/* The larger of the two scales has the factor 1/2, which needs no shift. */
void sluice_residual(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                     uint32_t count, int8_t *y)
{
    const bool x_shifts = add->x.shift < 0, branch_shifts = add->branch.shift < 0;
    if (x_shifts) {
        add_all(add, x, branch, count, y, true, branch_shifts);
    } else if (branch_shifts) {
        add_all(add, x, branch, count, y, false, true);
    } else {
        add_all(add, x, branch, count, y, false, false);
    }
}
