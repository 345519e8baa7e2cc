#include "widen.h"

#include "dsp.h"
#include "pointwise.h"

/* Rows are stored filled up to whole tiles, so the inputs are filled up with zeros. */
void sluice_widen(const int8_t *x, uint32_t count, int32_t zero_point, int16_t *wide)
{
    const uint32_t whole = count / 4u * 4u;
    const uint32_t stored =
        (count + SLUICE_STORED_MULTIPLE - 1u) / SLUICE_STORED_MULTIPLE * SLUICE_STORED_MULTIPLE;
    sluice_dsp_widen(x, whole / 4u, zero_point, wide);
    for (uint32_t i = whole; i < stored; i++) {
        wide[i] = i < count ? (int16_t)(x[i] - zero_point) : 0;
    }
}
