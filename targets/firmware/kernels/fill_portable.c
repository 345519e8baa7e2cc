#include "fill.h"

#include <string.h>

void sluice_fill(int8_t *y, int32_t value, uint32_t count)
{
    const uint32_t word = (uint8_t)value * UINT32_C(0x01010101);
    uint32_t i = 0;
    for (; i + sizeof word <= count; i += (uint32_t)sizeof word) {
        memcpy(y + i, &word, sizeof word);
    }
    for (; i < count; i++) {
        y[i] = (int8_t)value;
    }
}
