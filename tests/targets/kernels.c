/* What the kernels have inline, made callable. */
#include <stddef.h>

#include "kernels/layout.h"
#include "kernels/requantise.h"

void requantise_all(const int32_t *accumulators, const int32_t *multipliers,
                    const int32_t *shifts, size_t count, int32_t *results);
void storage_of(uint32_t layout, uint8_t storage[4]);

void requantise_all(const int32_t *accumulators, const int32_t *multipliers,
                    const int32_t *shifts, size_t count, int32_t *results)
{
    for (size_t i = 0; i < count; i++) {
        results[i] = sluice_requantise(accumulators[i], multipliers[i], shifts[i]);
    }
}

void storage_of(uint32_t layout, uint8_t storage[4])
{
    const sluice_storage_t found = sluice_storage(layout);
    storage[0] = found.constant_bytes;
    storage[1] = found.outputs;
    storage[2] = found.inputs;
    storage[3] = found.dense_sixteenths;
}
