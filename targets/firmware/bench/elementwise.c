/* Cases of the kernels without weights. */
#include "bench/run.h"

#include <string.h>

#include "kernels/gate.h"
#include "kernels/moving_average.h"
#include "kernels/residual.h"
#include "kernels/sigmoid.h"

enum { FRAME_WORDS = 8 };
enum { SKEW, IN_PLACE }; /* of a frame's words */

/* The input of a call: where its output will be, if it runs in place. */
static const int8_t *input(const int8_t *x, const int32_t *words, bench_output_t y)
{
    if (!words[IN_PLACE]) {
        return x;
    }
    memcpy(y.data, x, y.bytes);
    return (const int8_t *)y.data;
}

int32_t bench_residual(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { COUNT, X, BRANCH = 4, SUM = 7 };
    const uint32_t count = (uint32_t)parameters[COUNT];
    const int32_t *x_side = parameters + X, *branch_side = parameters + BRANCH;
    const int32_t *sum_side = parameters + SUM;
    const sluice_residual_t add = {
        .x = {x_side[0], x_side[1], (int16_t)x_side[2]},
        .branch = {branch_side[0], branch_side[1], (int16_t)branch_side[2]},
        .sum = {sum_side[0], sum_side[1], (int16_t)sum_side[2]},
    };
    if (!bench_fits(count)) {
        return BENCH_ERROR_SIZE;
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        const int32_t *words = bench_take(run, FRAME_WORDS * sizeof *words);
        const bench_output_t y = bench_output(run, 0, count, words[SKEW]);
        const int8_t *x = input(bench_take(run, count), words, y);
        const int8_t *branch = bench_take(run, count);
        bench_begin(run);
        sluice_residual(&add, x, branch, count, (int8_t *)y.data);
        bench_end(run);
        bench_compare(run, y);
    }
    return 0;
}

/* The sums are the kernel's own from the first frame on: in which order it keeps them
 * is its affair, so they begin alike in all channels and are not compared. */
int32_t bench_moving_average(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { CHANNELS, WINDOW, ZERO_POINT };
    const uint32_t channels = (uint32_t)parameters[CHANNELS];
    const int32_t window = parameters[WINDOW];
    const bench_output_t sums = bench_output(run, 1, 2u * channels, 0);
    if (!bench_fits(sums.bytes)) {
        return BENCH_ERROR_SIZE;
    }
    for (uint32_t c = 0; c < channels; c++) {
        ((int16_t *)(void *)sums.data)[c] = (int16_t)((window - 1) * parameters[ZERO_POINT]);
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        const int32_t *words = bench_take(run, FRAME_WORDS * sizeof *words);
        const int8_t *x = bench_take(run, channels);
        const bench_output_t average = bench_output(run, 0, channels, words[SKEW]);
        const bench_output_t oldest = bench_output(run, 2, channels, words[SKEW]);
        memcpy(oldest.data, bench_take(run, channels), channels);
        bench_begin(run);
        sluice_moving_average(x, channels, window, (int16_t *)(void *)sums.data,
                              (int8_t *)oldest.data, (int8_t *)average.data);
        bench_end(run);
        bench_compare(run, average);
        bench_compare(run, oldest);
        bench_check_guards(run, sums);
    }
    return 0;
}

int32_t bench_gate(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { GATES, ZERO_POINT, GROUP };
    enum { OPEN };
    const uint32_t gates = (uint32_t)parameters[GATES], group = (uint32_t)parameters[GROUP];
    if (!bench_fits(2u * gates * group)) {
        return BENCH_ERROR_SIZE;
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        const int32_t *words = bench_take(run, FRAME_WORDS * sizeof *words);
        const int8_t *logits = bench_take(run, gates);
        const bench_output_t bits = bench_output(run, 0, (gates + 7u) / 8u, 0);
        const bench_output_t channels = bench_output(run, 1, 2u * gates * group, 0);
        bench_begin(run);
        const uint32_t open = sluice_gate(logits, gates, parameters[ZERO_POINT], group, bits.data,
                                          (uint16_t *)(void *)channels.data);
        bench_end(run);
        bench_compare_number(run, open, (uint32_t)words[OPEN]);
        bench_compare(run, bits);
        bench_compare_first(run, channels, 2u * (uint32_t)words[OPEN] * group);
    }
    return 0;
}

int32_t bench_sigmoid(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { COUNT, TABLE_BYTES = 256 };
    const uint32_t count = (uint32_t)parameters[COUNT];
    const int8_t *table = bench_take(run, TABLE_BYTES);
    if (!bench_fits(count)) {
        return BENCH_ERROR_SIZE;
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        const int32_t *words = bench_take(run, FRAME_WORDS * sizeof *words);
        const bench_output_t y = bench_output(run, 0, count, words[SKEW]);
        const int8_t *x = input(bench_take(run, count), words, y);
        bench_begin(run);
        sluice_sigmoid(table, x, count, (int8_t *)y.data);
        bench_end(run);
        bench_compare(run, y);
    }
    return 0;
}
