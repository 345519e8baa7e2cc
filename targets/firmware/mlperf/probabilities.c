/* Softmax of integer scores by a table of exp() in steps of 1/256 (docs/mlperf.md). */
#include "mlperf/commands.h"

void mlperf_probabilities(const int32_t scores[MLPERF_CLASSES],
                          uint16_t thousandths[MLPERF_CLASSES])
{
    uint32_t weights[MLPERF_CLASSES];
    uint32_t total = 0;
    int32_t best = scores[0];
    for (uint32_t i = 1; i < MLPERF_CLASSES; i++) {
        best = scores[i] > best ? scores[i] : best;
    }
    for (uint32_t i = 0; i < MLPERF_CLASSES; i++) {
        const uint64_t below = (uint64_t)((int64_t)best - scores[i]);
        const uint64_t step = (below * MLPERF_SCALE_MULTIPLIER) >> MLPERF_SCALE_SHIFT;
        weights[i] = 0;
        if (step < 16u * MLPERF_EXP_COARSE) {
            const uint64_t product =
                (uint64_t)mlperf_exp_coarse[step / 16u] * mlperf_exp_fine[step % 16u];
            weights[i] = (uint32_t)((product + 32768u) >> 16);
        }
        total += weights[i];
    }
    for (uint32_t i = 0; i < MLPERF_CLASSES; i++) {
        thousandths[i] = (uint16_t)((weights[i] * 1000u + total / 2u) / total);
    }
}
