#include "residual.h"

#include <stdbool.h>

#include "dsp.h"
#include "requantise.h"

enum { LEFT_SHIFT = 20 }; /* TFLite's, for int8 */

/* The operand of the larger scale has the factor 1/2, which is exact. */
static bool is_half(const sluice_residual_side_t *side)
{
    return side->multiplier == INT32_C(1) << 30 && side->shift == 0;
}

static void add_unequal(const sluice_residual_side_t *larger, const int8_t *a,
                        const sluice_residual_side_t *smaller, const int8_t *b,
                        const sluice_residual_side_t *sum, uint32_t count, int8_t *y)
{
    const sluice_dsp_residual_t constants = {
        .smaller_multiplier = smaller->multiplier,
        .smaller_shift = -smaller->shift - 1,
        .smaller_start = -smaller->zero_point * (INT32_C(1) << (LEFT_SHIFT + 1)),
        .start = 1 - larger->zero_point * (INT32_C(1) << LEFT_SHIFT),
        .sum_multiplier = sum->multiplier,
        .sum_shift = -sum->shift - 1,
        .bias2 = 2 * sum->zero_point + 1,
    };
    sluice_dsp_residual(a, b, &constants, y, y + count);
}

static inline int32_t to_common_scale(sluice_residual_side_t side, int8_t value)
{
    const int32_t shifted = (value - side.zero_point) * (INT32_C(1) << LEFT_SHIFT);
    return sluice_requantise(shifted, side.multiplier, side.shift);
}

void sluice_residual(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                     uint32_t count, int8_t *y)
{
    const sluice_residual_t own = *add; /* y might alias it, for all the compiler knows */
    const bool short_sum = own.sum.shift <= -1 && count > 0;
    if (short_sum && is_half(&own.x) && own.branch.shift <= -1) {
        add_unequal(&own.x, x, &own.branch, branch, &own.sum, count, y);
        return;
    }
    if (short_sum && is_half(&own.branch) && own.x.shift <= -1) {
        add_unequal(&own.branch, branch, &own.x, x, &own.sum, count, y);
        return;
    }
    for (uint32_t c = 0; c < count; c++) {
        const int32_t sum = to_common_scale(own.x, x[c]) + to_common_scale(own.branch, branch[c]);
        const int32_t value = sluice_requantise(sum, own.sum.multiplier, own.sum.shift);
        y[c] = sluice_clamp(value + own.sum.zero_point);
    }
}
