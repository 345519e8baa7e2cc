/* Runs the file of cases that is given, and writes the results to standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/cases.h"

static void no_clock(void) {}

static uint32_t no_ticks(void)
{
    return 0;
}

static void report(const bench_result_t *result)
{
    (void)fwrite(result, sizeof *result, 1, stdout);
}

int main(int count, char **arguments)
{
    static bench_memory_t memory;
    static const bench_host_t host = {no_clock, no_ticks, report};
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return 2;
    }
    const size_t bytes = (size_t)ftell(file), whole = (bytes + 15u) / 16u * 16u;
    void *cases = aligned_alloc(16, whole);
    rewind(file);
    if (cases == NULL || fread(cases, 1, bytes, file) != bytes || fclose(file) != 0) {
        return 2;
    }
    const int32_t status = bench_run(cases, &memory, &host);
    free(cases);
    return status < 0 ? 3 : 0;
}
