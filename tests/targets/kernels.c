/* The inline arithmetic of the kernels, made callable. */
#include <stddef.h>

#include "kernels/requantise.h"

void requantise_all(const int32_t *accumulators, const int32_t *multipliers,
                    const int32_t *shifts, size_t count, int32_t *results);

void requantise_all(const int32_t *accumulators, const int32_t *multipliers,
                    const int32_t *shifts, size_t count, int32_t *results)
{
    for (size_t i = 0; i < count; i++) {
        results[i] = sluice_requantise(accumulators[i], multipliers[i], shifts[i]);
    }
}
