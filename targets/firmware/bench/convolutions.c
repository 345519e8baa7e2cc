/* Cases of the kernels that have weights. */
#include "bench/run.h"

#include "kernels/depthwise.h"
#include "kernels/pointwise.h"

enum { FRAME_WORDS = 8 };

int32_t bench_pointwise(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { INPUTS, OUTPUTS, IN_ZERO, OUT_ZERO, LOWEST, LAYOUT, WEIGHTS, CONSTANTS };
    const uint32_t inputs = (uint32_t)parameters[INPUTS], outputs = (uint32_t)parameters[OUTPUTS];
    const sluice_pointwise_t layer = {
        .weights = bench_take(run, (uint32_t)parameters[WEIGHTS]),
        .constants = bench_take(run, (uint32_t)parameters[CONSTANTS]),
        .inputs = (uint16_t)inputs,
        .outputs = (uint16_t)outputs,
        .input_zero_point = (int16_t)parameters[IN_ZERO],
        .output_zero_point = (int16_t)parameters[OUT_ZERO],
        .lowest = (int8_t)parameters[LOWEST],
        .layout = (uint8_t)parameters[LAYOUT],
    };
    const uint32_t wide = 2u * sluice_filled_up(inputs, sluice_storage(layer.layout).inputs);
    if (!bench_fits(outputs) || !bench_fits(wide)) {
        return BENCH_ERROR_SIZE;
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        enum { SKEW, OPEN_OUTPUTS, OPEN_INPUTS = 3 };
        sluice_open_channels_t open_outputs, open_inputs;
        const int32_t *words = bench_take(run, FRAME_WORDS * sizeof *words);
        const sluice_open_channels_t *rows =
            bench_take_open(run, words + OPEN_OUTPUTS, &open_outputs);
        const sluice_open_channels_t *columns =
            bench_take_open(run, words + OPEN_INPUTS, &open_inputs);
        const int8_t *x = bench_take(run, sluice_filled_up(inputs, 4u));
        const bench_output_t y = bench_output(run, 0, outputs, words[SKEW]);
        const bench_output_t scratch = bench_scratch(run, wide);
        bench_begin(run);
        sluice_pointwise(&layer, x, (int16_t *)(void *)scratch.data, rows, columns,
                         (int8_t *)y.data);
        bench_end(run);
        bench_compare(run, y);
        bench_check_guards(run, scratch);
    }
    return 0;
}

int32_t bench_depthwise(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    enum { COUNT, IN_ZERO, OUT_ZERO, LOWEST, LAYOUT, WEIGHTS, CONSTANTS };
    const uint32_t count = (uint32_t)parameters[COUNT];
    const sluice_depthwise_t layer = {
        .weights = bench_take(run, (uint32_t)parameters[WEIGHTS]),
        .constants = bench_take(run, (uint32_t)parameters[CONSTANTS]),
        .count = (uint16_t)count,
        .input_zero_point = (int16_t)parameters[IN_ZERO],
        .output_zero_point = (int16_t)parameters[OUT_ZERO],
        .lowest = (int8_t)parameters[LOWEST],
        .layout = (uint8_t)parameters[LAYOUT],
    };
    if (!bench_fits(count)) {
        return BENCH_ERROR_SIZE;
    }
    for (run->frame = 0; run->frame < frames; run->frame++) {
        enum { SKEW, OPEN };
        sluice_open_channels_t open;
        const int32_t *words = bench_take(run, FRAME_WORDS * sizeof *words);
        const sluice_open_channels_t *channels = bench_take_open(run, words + OPEN, &open);
        const int8_t *oldest = bench_take(run, count);
        const int8_t *middle = bench_take(run, count);
        const int8_t *newest = bench_take(run, count);
        const bench_output_t y = bench_output(run, 0, count, words[SKEW]);
        bench_begin(run);
        sluice_depthwise(&layer, oldest, middle, newest, channels, (int8_t *)y.data);
        bench_end(run);
        bench_compare(run, y);
    }
    return 0;
}
