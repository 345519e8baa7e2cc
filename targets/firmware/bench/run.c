/* The walk through a file of cases. */
#include "bench/run.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes) ((void)0)
#endif

enum { MAGIC = 0x31434c53, ALIGNMENT = 16, FILL = 0xA5 };

/* Of a case: operation, frames, then what is its own. */
enum { CASE_WORDS = 16, OWN_PARAMETERS = 2 };

const void *bench_take(bench_run_t *run, uint32_t bytes)
{
    const uint8_t *taken = run->at;
    const uint32_t stored = (bytes / ALIGNMENT + 1u) * ALIGNMENT;
    ASAN_POISON_MEMORY_REGION(taken + bytes, stored - bytes);
    run->at += stored;
    return taken;
}

const sluice_open_channels_t *bench_take_open(bench_run_t *run, const int32_t counts[2],
                                              sluice_open_channels_t *open)
{
    if (counts[0] < 0) {
        return NULL;
    }
    const uint16_t *channels = bench_take(run, 2u * (uint32_t)counts[0]);
    *open = (sluice_open_channels_t){channels, (uint16_t)counts[0], (uint16_t)counts[1]};
    return open;
}

bool bench_fits(uint32_t bytes)
{
    return bytes <= BENCH_LARGEST;
}

static bench_output_t guarded(uint8_t *data, uint32_t bytes)
{
    memset(data - BENCH_GUARD, FILL, bytes + 2u * BENCH_GUARD);
    return (bench_output_t){data, bytes};
}

bench_output_t bench_output(bench_run_t *run, uint32_t area, uint32_t bytes, int32_t skew)
{
    return guarded(run->memory->areas[area] + BENCH_GUARD + skew, bytes);
}

bench_output_t bench_scratch(bench_run_t *run, uint32_t bytes)
{
    return guarded(run->memory->scratch + BENCH_GUARD, bytes);
}

void bench_begin(bench_run_t *run)
{
    run->host->clock_start();
    run->began = run->host->clock_ticks();
}

void bench_end(bench_run_t *run)
{
    run->result.ticks += run->host->clock_ticks() - run->began;
}

static void compare(bench_run_t *run, uint32_t output, uint32_t found, uint32_t expected)
{
    bench_result_t *result = &run->result;
    result->bytes++;
    if (found == expected) {
        return;
    }
    if (result->wrong == 0) {
        result->frame = run->frame;
        result->output = output;
        result->expected = expected;
        result->found = found;
    }
    result->wrong++;
}

void bench_compare_first(bench_run_t *run, bench_output_t output, uint32_t bytes)
{
    const uint8_t *expected = bench_take(run, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        compare(run, i, output.data[i], expected[i]);
    }
    bench_check_guards(run, output);
}

void bench_compare(bench_run_t *run, bench_output_t output)
{
    bench_compare_first(run, output, output.bytes);
}

void bench_compare_number(bench_run_t *run, uint32_t found, uint32_t expected)
{
    compare(run, 0, found, expected);
}

void bench_check_guards(bench_run_t *run, bench_output_t output)
{
    const uint8_t *before = output.data - BENCH_GUARD, *behind = output.data + output.bytes;
    for (uint32_t i = 0; i < BENCH_GUARD; i++) {
        run->result.strayed += before[i] != FILL;
        run->result.strayed += behind[i] != FILL;
    }
}

int32_t bench_nothing(bench_run_t *run, const int32_t *parameters, uint32_t frames)
{
    (void)parameters;
    for (run->frame = 0; run->frame < frames; run->frame++) {
        bench_begin(run);
        bench_end(run);
    }
    return 0;
}

int32_t bench_run(const void *file, bench_memory_t *memory, const bench_host_t *host)
{
    static bench_operation_t *const operations[] = {
        bench_nothing,        bench_pointwise, bench_depthwise, bench_residual,
        bench_moving_average, bench_gate,      bench_sigmoid,   bench_probes,
    };
    const uint32_t known = sizeof operations / sizeof *operations;
    bench_run_t run = {.at = file, .memory = memory, .host = host};
    const int32_t *header = bench_take(&run, 2u * sizeof *header);
    if (header[0] != MAGIC) {
        return BENCH_ERROR_FILE;
    }
    for (int32_t i = 0; i < header[1]; i++) {
        const int32_t *words = bench_take(&run, CASE_WORDS * sizeof *words);
        const uint32_t operation = (uint32_t)words[0];
        if (operation >= known) {
            return BENCH_ERROR_OPERATION;
        }
        memset(&run.result, 0, sizeof run.result);
        const int32_t status =
            operations[operation](&run, words + OWN_PARAMETERS, (uint32_t)words[1]);
        if (status < 0) {
            return status;
        }
        host->report(&run.result);
    }
    return header[1];
}
