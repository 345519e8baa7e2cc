#include "residual.h"

void sluice_residual(const sluice_residual_t *add, const int8_t *x, const int8_t *branch,
                     uint32_t count, int8_t *y)
{
    sluice_residual_plain(add, x, branch, count, y);
}
