#include "fill.h"

#include <arm_mve.h>

void sluice_fill(int8_t *y, int32_t value, uint32_t count)
{
    const int8x16_t values = vdupq_n_s8((int8_t)value);
    for (uint32_t blocks = count / 16u; blocks > 0; blocks--, y += 16) {
        vstrbq_s8(y, values);
    }
    if (count % 16u != 0) {
        vstrbq_p_s8(y, values, vctp8q(count % 16u));
    }
}
