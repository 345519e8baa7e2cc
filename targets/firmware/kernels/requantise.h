/* From a 32-bit accumulator to the int8 scale of an output, as TFLite rounds. */
#ifndef SLUICE_REQUANTISE_H
#define SLUICE_REQUANTISE_H

#include <stdint.h>

_Static_assert((-1 >> 1) == -1, "the kernels need an arithmetic right shift");

/* What an output channel of layout PLAIN has besides its weights, int32 each: the
 * bias at the accumulator's scale; the multiplier, a mantissa of 2^30 .. 2^31 - 1 or
 * 0; the shift, -31 .. 30, negative to the right. */
enum { SLUICE_PLAIN_CONSTANTS = 3 };

/* accumulator * multiplier / 2^31, rounded to nearest, halves up; |accumulator| < 2^30. */
static inline int32_t sluice_multiply_rounded(int32_t accumulator, int32_t multiplier)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t product;
    __asm__("smmulr %0, %1, %2" : "=r"(product) : "r"(accumulator * 2), "r"(multiplier));
    return product;
#else
    return (int32_t)(((int64_t)accumulator * multiplier + (INT64_C(1) << 30)) >> 31);
#endif
}

/* accumulator * multiplier * 2^(shift - 31), rounded twice: to nearest (half
 * up) after the multiplication, then to nearest (half away from zero) after
 * the right shift. This is gemmlowp's double rounding, which the reference
 * kernels of TFLite use. The compiler has checked that
 * |accumulator| << max(shift, 0) < 2^30. */
static inline int32_t sluice_requantise(int32_t accumulator, int32_t multiplier, int32_t shift)
{
    if (shift >= 0) {
        return sluice_multiply_rounded(accumulator * (INT32_C(1) << shift), multiplier);
    }
    const int32_t high = sluice_multiply_rounded(accumulator, multiplier);
    return (high + (high >> 31) + (INT32_C(1) << (-shift - 1))) >> -shift;
}

static inline int8_t sluice_clamp(int32_t value)
{
#if defined(__ARM_FEATURE_DSP)
    __asm__("ssat %0, #8, %0" : "+r"(value));
    return (int8_t)value;
#else
    return (int8_t)(value > INT8_MAX ? INT8_MAX : value < INT8_MIN ? INT8_MIN : value);
#endif
}

/* To int8, not below `lowest`: -128, or the output's zero point after a ReLU. */
static inline int8_t sluice_saturate(int32_t value, int8_t lowest)
{
    const int8_t clamped = sluice_clamp(value);
    return clamped < lowest ? lowest : clamped;
}

#endif
