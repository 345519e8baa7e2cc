#include "fill.h"

#include <string.h>

void sluice_fill(int8_t *y, int32_t value, uint32_t count)
{
    memset(y, value, count);
}
