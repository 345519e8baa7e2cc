/* The constants of the audio front end, made by the compiler for one n_fft. */
#ifndef SLUICE_AUDIO_TABLES_H
#define SLUICE_AUDIO_TABLES_H

#include <stdint.h>

#include "fixed_point.h"

enum { SLUICE_FEATURE_THRESHOLDS = 255 };

/* Spectra are held in units of 2^-fraction_bits of a PCM step. A bin of the
 * Hann-windowed frame is at most 2^15 * n_fft / 2 steps, and fraction_bits =
 * 14 - log2(n_fft / 2) keeps it at or below 2^29 units: 2 bits of headroom.
 *
 * One quarter of a sine makes the window and the twiddles. */
typedef struct {
    uint16_t n_fft; /* 64 .. 2048, a power of two; a hop is half of it */
    uint16_t bins;  /* n_fft / 2 + 1, or n_fft / 2 without the Nyquist bin */
    uint8_t fft_bits;           /* log2(n_fft / 2): points of the complex FFT */
    uint8_t fraction_bits;      /* 14 - fft_bits: 6 at n_fft = 512 */
    const int32_t *sine;        /* Q31, sin(2 pi k / n_fft), k <= n_fft / 4 */
    const int32_t *overlap_gain; /* Q29, 1 / (w[n]^2 + w[n + hop]^2), n <= n_fft / 4 */
    const uint32_t *thresholds; /* 255, ascending: keys of powers, see sluice_power_key() */
} sluice_audio_tables_t;

/* cos(2 pi k / n_fft) in Q31; k <= n_fft / 2. */
static inline int32_t sluice_cosine(const sluice_audio_tables_t *tables, uint32_t k)
{
    const uint32_t quarter = tables->n_fft / 4u;
    return k <= quarter ? tables->sine[quarter - k] : -tables->sine[k - quarter];
}

/* sin(2 pi k / n_fft) in Q31; k <= n_fft / 2. */
static inline int32_t sluice_sine(const sluice_audio_tables_t *tables, uint32_t k)
{
    const uint32_t quarter = tables->n_fft / 4u;
    return tables->sine[k <= quarter ? k : 2u * quarter - k];
}

/* The periodic Hann window in Q31, (1 - cos(2 pi n / n_fft)) / 2; n <= n_fft / 2.
 * Its second half mirrors the first, and w[n + hop] = 1 - w[n]. */
static inline int32_t sluice_hann(const sluice_audio_tables_t *tables, uint32_t n)
{
    return (int32_t)((UINT32_C(0x80000000) - (uint32_t)sluice_cosine(tables, n)) >> 1);
}

/* 1 - w, w in Q31. */
static inline int32_t sluice_one_minus(int32_t w)
{
    return INT32_MAX - w;
}

#endif
