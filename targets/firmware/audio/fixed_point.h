/* Fixed-point products. Integers only: every core gives the same bytes. */
#ifndef SLUICE_FIXED_POINT_H
#define SLUICE_FIXED_POINT_H

#include <stdint.h>

_Static_assert((-1 >> 1) == -1, "the audio path needs an arithmetic right shift");

typedef struct {
    int32_t re;
    int32_t im;
} sluice_complex_t;

/* x * c / 2^31 to nearest, halves up: x times a factor c in Q31. */
static inline int32_t sluice_multiply_q31(int32_t x, int32_t c)
{
    return (int32_t)(((int64_t)x * c + (INT64_C(1) << 30)) >> 31);
}

/* z * w / 2 to nearest, w in Q31: the high words of the products, which a
 * 32-bit core has for nothing. |z.re|, |z.im| <= 2^30. */
static inline sluice_complex_t sluice_half_product(sluice_complex_t z, sluice_complex_t w)
{
    int64_t re = INT64_C(1) << 31;
    int64_t im = INT64_C(1) << 31;
    re += (int64_t)z.re * w.re;
    re += (int64_t)-z.im * w.im;
    im += (int64_t)z.re * w.im;
    im += (int64_t)z.im * w.re;
    return (sluice_complex_t){(int32_t)(re >> 32), (int32_t)(im >> 32)};
}

#endif
