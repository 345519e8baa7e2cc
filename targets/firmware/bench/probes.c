/* Cases of the probes. */
#include "bench/run.h"

#include "kernels/probes.h"

int32_t bench_probes(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { WORDS, USED, PROBES, FIRST, COUNT };
    const uint32_t words = (uint32_t)parameters[WORDS], used = (uint32_t)parameters[USED];
    const uint32_t probes = (uint32_t)parameters[PROBES], count = (uint32_t)parameters[COUNT];
    sluice_probe_table_t table = {.words = (uint16_t)words, .probes = (uint16_t)probes};
    table.used = bench_take(run, words * sizeof *table.used);
    table.rows = bench_take(run, words * sizeof *table.rows);
    table.weights = bench_take(run, used * probes * sizeof *table.weights);
    table.biases = bench_take(run, probes * sizeof *table.biases);
    if (!bench_fits(count * sizeof(int32_t))) {
        return BENCH_ERROR_SIZE;
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        const uint8_t *open = bench_take(run, words * sizeof *table.used);
        const bench_output_t scores = bench_output(run, 0, count * sizeof(int32_t), 0);
        bench_begin(run);
        sluice_probe_scores(&table, open, (uint32_t)parameters[FIRST], count,
                            (int32_t *)(void *)scores.data);
        bench_end(run);
        bench_compare(run, scores);
    }
    return 0;
}
