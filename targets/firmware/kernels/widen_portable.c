#include "widen.h"

void sluice_widen(const int8_t *x, uint32_t count, int32_t zero_point, int16_t *wide)
{
    for (uint32_t i = 0; i < count; i++) {
        wide[i] = (int16_t)(x[i] - zero_point);
    }
}
