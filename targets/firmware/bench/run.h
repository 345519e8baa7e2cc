/* What the cases of every kernel share; private to bench/. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <stdbool.h>

#include "bench/cases.h"
#include "kernels/open_channels.h"

/* A run through the file, and the case that it is at. */
typedef struct {
    const uint8_t *at;
    bench_memory_t *memory;
    const bench_host_t *host;
    bench_result_t result;
    uint32_t frame;
    uint32_t began;
} bench_run_t;

/* One output of a call, with its guards around it. */
typedef struct {
    uint8_t *data;
    uint32_t bytes;
} bench_output_t;

/* The next `bytes` of the file. */
const void *bench_take(bench_run_t *run, uint32_t bytes);

/* A list of open channels; NULL where all are. `counts`: entries (-1: all), group. */
const sluice_open_channels_t *bench_take_open(bench_run_t *run, const int32_t counts[2],
                                              sluice_open_channels_t *open);

bool bench_fits(uint32_t bytes);

/* Memory for an output, `skew` bytes off alignment, filled so that writes show. */
bench_output_t bench_output(bench_run_t *run, uint32_t area, uint32_t bytes, int32_t skew);

/* The kernel's scratch memory, 16-byte aligned. */
bench_output_t bench_scratch(bench_run_t *run, uint32_t bytes);

/* Around the call that is timed. */
void bench_begin(bench_run_t *run);
void bench_end(bench_run_t *run);

/* Compare an output with the next bytes of the file; or only its first bytes, where
 * the rest may hold anything. */
void bench_compare(bench_run_t *run, bench_output_t output);
void bench_compare_first(bench_run_t *run, bench_output_t output, uint32_t bytes);

/* Compare one number. */
void bench_compare_number(bench_run_t *run, uint32_t found, uint32_t expected);

/* Count what was written around an output. */
void bench_check_guards(bench_run_t *run, bench_output_t output);

/* One case of each operation: its parameters, then its arrays and frames in the file.
 * 0, or a negative bench_error. */
typedef int32_t bench_operation_t(bench_run_t *run, const int32_t *parameters, uint32_t frames);
bench_operation_t bench_nothing, bench_pointwise, bench_depthwise, bench_residual,
    bench_moving_average, bench_gate, bench_sigmoid, bench_probes;

#endif
