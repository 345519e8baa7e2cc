/* Built without coverage itself. The program is linked at fixed addresses and the link's code is
 * smaller than 64 KB, so 16 bits of an address name a block. */
#include "coverage.h"

#include <string.h>

#define ADDRESSES 65536u
#define SLOTS 8192u /* many more than edges, and small enough for a fast cache */

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_cmp1(uint8_t a, uint8_t b);
void __sanitizer_cov_trace_cmp2(uint16_t a, uint16_t b);
void __sanitizer_cov_trace_cmp4(uint32_t a, uint32_t b);
void __sanitizer_cov_trace_cmp8(uint64_t a, uint64_t b);
void __sanitizer_cov_trace_const_cmp1(uint8_t a, uint8_t b);
void __sanitizer_cov_trace_const_cmp2(uint16_t a, uint16_t b);
void __sanitizer_cov_trace_const_cmp4(uint32_t a, uint32_t b);
void __sanitizer_cov_trace_const_cmp8(uint64_t a, uint64_t b);
void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases);

static uint32_t counts[SLOTS]; /* of this input's edges */
static uint16_t touched[SLOTS];
static size_t touched_count;
static uint32_t previous;
static bool closer;

static uint8_t seen[SLOTS]; /* a bit for each power of two of a count */
static uint64_t nearest[SLOTS]; /* a bit for each distance of a comparison */
static bool blocks[ADDRESSES];

static uint32_t mix(uint32_t value)
{
    value *= 0x9e3779b1u;
    return value >> 19;
}

static uint32_t address_of(const void *address)
{
    return (uint32_t)(uintptr_t)address;
}

void __sanitizer_cov_trace_pc(void)
{
    const uint32_t here = address_of(__builtin_return_address(0));
    const uint32_t slot = mix(here ^ previous << 7);
    previous = here;
    blocks[here % ADDRESSES] = true;
    if (counts[slot]++ == 0) {
        touched[touched_count++] = (uint16_t)slot;
    }
}

static void compare(const void *address, uint64_t a, uint64_t b)
{
    const uint32_t slot = mix(address_of(address));
    const unsigned distance = a == b ? 0 : 64u - (unsigned)__builtin_clzll(a ^ b);
    const uint64_t bit = (uint64_t)1 << (distance < 64 ? distance : 63);
    if ((nearest[slot] & bit) == 0) {
        nearest[slot] |= bit;
        closer = true;
    }
}

#define COMPARES(name, type)                                 \
    void name(type a, type b)                                \
    {                                                        \
        compare(__builtin_return_address(0), a, b);          \
    }

COMPARES(__sanitizer_cov_trace_cmp1, uint8_t)
COMPARES(__sanitizer_cov_trace_cmp2, uint16_t)
COMPARES(__sanitizer_cov_trace_cmp4, uint32_t)
COMPARES(__sanitizer_cov_trace_cmp8, uint64_t)
COMPARES(__sanitizer_cov_trace_const_cmp1, uint8_t)
COMPARES(__sanitizer_cov_trace_const_cmp2, uint16_t)
COMPARES(__sanitizer_cov_trace_const_cmp4, uint32_t)
COMPARES(__sanitizer_cov_trace_const_cmp8, uint64_t)

void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases)
{
    const char *address = __builtin_return_address(0);
    for (uint64_t i = 0; i < cases[0]; i++) {
        compare(address + i, value, cases[2 + i]);
    }
}

void coverage_begin(void)
{
    for (size_t i = 0; i < touched_count; i++) {
        counts[touched[i]] = 0;
    }
    touched_count = 0;
    previous = 0;
    closer = false;
}

bool coverage_is_new(void)
{
    bool is_new = closer;
    for (size_t i = 0; i < touched_count; i++) {
        const uint32_t count = counts[touched[i]];
        const unsigned power = 31u - (unsigned)__builtin_clz(count);
        const uint8_t bit = (uint8_t)(1u << (power < 7 ? power : 7));
        if ((seen[touched[i]] & bit) == 0) {
            seen[touched[i]] |= bit;
            is_new = true;
        }
    }
    return is_new;
}

size_t coverage_edges(void)
{
    size_t edges = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        edges += seen[i] != 0;
    }
    return edges;
}

size_t coverage_comparisons(void)
{
    size_t steps = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        steps += (size_t)__builtin_popcountll(nearest[i]);
    }
    return steps;
}

bool coverage_block(uint16_t address)
{
    return blocks[address];
}
