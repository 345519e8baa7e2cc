/* Fixed-point products. Integers only: every core gives the same bytes. */
#ifndef SLUICE_FIXED_POINT_H
#define SLUICE_FIXED_POINT_H

#include <stdint.h>

_Static_assert((-1 >> 1) == -1, "the audio path needs an arithmetic right shift");

typedef struct {
    int32_t re;
    int32_t im;
} sluice_complex_t;

/* x * c / 2^31 to nearest, halves up: x times a factor c in Q31; |x| < 2^30. */
static inline int32_t sluice_multiply_q31(int32_t x, int32_t c)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t product;
    __asm__("smmulr %0, %1, %2" : "=r"(product) : "r"(x * 2), "r"(c));
    return product;
#else
    return (int32_t)(((int64_t)x * c + (INT64_C(1) << 30)) >> 31);
#endif
}

/* (x * c + y * s) / 2^32 to nearest, halves up. */
static inline int32_t sluice_half_sum(int32_t x, int32_t c, int32_t y, int32_t s)
{
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB >= 2
    uint32_t low = UINT32_C(1) << 31;
    int32_t high = 0;
    __asm__("smlal %0, %1, %2, %3\n\tsmlal %0, %1, %4, %5"
            : "+&r"(low), "+&r"(high)
            : "r"(x), "r"(c), "r"(y), "r"(s));
    return high;
#else
    return (int32_t)(((int64_t)x * c + (int64_t)y * s + (INT64_C(1) << 31)) >> 32);
#endif
}

/* z * (c - i * s) / 2 to nearest, c and s in Q31; |z.re|, |z.im| <= 2^30. */
static inline sluice_complex_t sluice_half_turned(sluice_complex_t z, int32_t c, int32_t s)
{
    return (sluice_complex_t){sluice_half_sum(z.re, c, z.im, s), sluice_half_sum(z.im, c, z.re, -s)};
}

static inline int16_t sluice_saturate_16(int32_t value)
{
#if defined(__ARM_FEATURE_SAT)
    __asm__("ssat %0, #16, %0" : "+r"(value));
    return (int16_t)value;
#else
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
#endif
}

/* The low `bits` of `index` in reverse order; the rest of it is 0. bits: 1 .. 31. */
static inline uint32_t sluice_reversed(uint32_t index, uint32_t bits)
{
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB >= 2
    __asm__("rbit %0, %1" : "=r"(index) : "r"(index));
#else
    index = (index >> 16) | (index << 16);
    index = ((index >> 8) & 0x00ff00ffu) | ((index & 0x00ff00ffu) << 8);
    index = ((index >> 4) & 0x0f0f0f0fu) | ((index & 0x0f0f0f0fu) << 4);
    index = ((index >> 2) & 0x33333333u) | ((index & 0x33333333u) << 2);
    index = ((index >> 1) & 0x55555555u) | ((index & 0x55555555u) << 1);
#endif
    return index >> (32u - bits);
}

#endif
