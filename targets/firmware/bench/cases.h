/* Kernels run on given cases: each call is compared byte for byte with what is
 * expected of it, and timed. The same code checks kernels and counts what they cost.
 *
 * The file of cases is what targets/kernel_cases.py writes: arrays one after the
 * other, little-endian, each aligned to 16 bytes and followed by at least one byte
 * that nothing may read. The file itself is aligned to 16 bytes. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdint.h>

enum bench_error {
    BENCH_ERROR_FILE = -1,      /* this is no file of cases */
    BENCH_ERROR_OPERATION = -2, /* a case of an unknown operation */
    BENCH_ERROR_SIZE = -3,      /* a case that bench_memory_t has no room for */
};

enum {
    BENCH_LARGEST = 4096, /* bytes of one output */
    BENCH_GUARD = 32,     /* bytes before and behind it that must stay as they are */
    BENCH_SKEW = 16,      /* outputs begin at any offset below */
    BENCH_OUTPUTS = 3,    /* outputs of one call at most */
};

/* Of one case. */
typedef struct {
    uint32_t bytes;    /* compared */
    uint32_t wrong;    /* of them, those that are not as expected */
    uint32_t frame;    /* of the first wrong byte: which call, */
    uint32_t output;   /* which byte, */
    uint32_t expected; /* what it should be, */
    uint32_t found;    /* and what it is */
    uint32_t strayed;  /* bytes written around outputs */
    uint32_t ticks;    /* of all calls together */
} bench_result_t;

/* What calls write to. */
typedef struct {
    _Alignas(16) uint8_t areas[BENCH_OUTPUTS][BENCH_LARGEST + 2 * BENCH_GUARD + BENCH_SKEW];
    _Alignas(16) uint8_t scratch[BENCH_LARGEST + 2 * BENCH_GUARD];
} bench_memory_t;

/* Where the cases run. `ticks` counts up from about 0 after `clock_start`. */
typedef struct {
    void (*clock_start)(void);
    uint32_t (*clock_ticks)(void);
    void (*report)(const bench_result_t *result); /* after each case, in order */
} bench_host_t;

/* Run the cases of `file`; gives how many there were. */
int32_t bench_run(const void *file, bench_memory_t *memory, const bench_host_t *host);

#endif
