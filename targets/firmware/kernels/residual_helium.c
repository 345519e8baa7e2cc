#include "residual.h"

#include <stdbool.h>

#include "helium.h"

enum { LEFT_SHIFT = 20 }; /* TFLite's, for int8 */

static bool is_half(sluice_residual_side_t side)
{
    return side.shift == 0 && side.multiplier == INT32_C(1) << 30;
}

static void add_to_half(sluice_residual_side_t half, const int8_t *x,
                        sluice_residual_side_t other, const int8_t *branch,
                        sluice_residual_side_t sum, uint32_t count, int8_t *y)
{
    const sluice_helium_residual_t add = {
        .half_offset = -half.zero_point * (INT32_C(1) << (LEFT_SHIFT - 1)),
        .other_offset = -other.zero_point * (INT32_C(1) << LEFT_SHIFT),
        .other_multiplier = other.multiplier,
        .other_shift = other.shift,
        .sum_multiplier = sum.multiplier,
        .sum_shift = sum.shift,
        .sum_zero_point = sum.zero_point,
    };
    sluice_helium_residual(&add, x, branch, count, y);
}

/* The larger of the two scales has the factor 1/2. */
void sluice_residual(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                     uint32_t count, int8_t *y)
{
    const bool sum_shifts = add->sum.shift < 0;
    if (sum_shifts && is_half(add->x) && add->branch.shift < 0) {
        add_to_half(add->x, x, add->branch, branch, add->sum, count, y);
    } else if (sum_shifts && is_half(add->branch) && add->x.shift < 0) {
        add_to_half(add->branch, branch, add->x, x, add->sum, count, y);
    } else {
        sluice_residual_plain(add, x, branch, count, y);
    }
}
