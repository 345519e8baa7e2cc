#include "residual.h"

#include "requantise.h"

enum { LEFT_SHIFT = 20 }; /* TFLite's, for int8 */

static inline int32_t to_common_scale(sluice_residual_side_t side, int8_t value)
{
    const int32_t shifted = (value - side.zero_point) * (INT32_C(1) << LEFT_SHIFT);
    return sluice_requantise(shifted, side.multiplier, side.shift);
}

void sluice_residual_plain(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                           uint32_t count, int8_t *y)
{
    const sluice_residual_t own = *add; /* y might alias it, for all the compiler knows */
    for (uint32_t c = 0; c < count; c++) {
        const int32_t sum = to_common_scale(own.x, x[c]) + to_common_scale(own.branch, branch[c]);
        const int32_t value = sluice_requantise(sum, own.sum.multiplier, own.sum.shift);
        y[c] = sluice_clamp(value + own.sum.zero_point);
    }
}
