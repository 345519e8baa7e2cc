/* The constants of the audio front end, made by the compiler for one n_fft. */
#ifndef SLUICE_AUDIO_TABLES_H
#define SLUICE_AUDIO_TABLES_H

#include <stdint.h>

#include "fixed_point.h"

enum { SLUICE_FEATURE_THRESHOLDS = 255 };

/* Spectra are held in units of 2^-fraction_bits of a PCM step. A bin of the
 * Hann-windowed frame is at most 2^15 * n_fft / 2 steps, and fraction_bits =
 * 14 - log2(n_fft / 2) keeps it at or below 2^29 units: 2 bits of headroom. */
typedef struct {
    uint16_t n_fft; /* 64 .. 2048, a power of two; a hop is half of it */
    uint16_t bins;  /* n_fft / 2 + 1, or n_fft / 2 without the Nyquist bin */
    uint8_t fft_bits;      /* log2(n_fft / 2): points of the complex FFT */
    uint8_t fraction_bits; /* 14 - fft_bits: 6 at n_fft = 512 */
    const int32_t *analysis_window;   /* Q31, n_fft / 2 + 1: w[n_fft - n] = w[n] */
    const int32_t *synthesis_window;  /* Q30, same symmetry */
    const sluice_complex_t *twiddles; /* Q31, exp(-2 pi i k / n_fft), k < n_fft / 2 */
    const uint16_t *bit_reversal;     /* n_fft / 2 */
    const uint64_t *thresholds;       /* 255, ascending, on re^2 + im^2 in units^2 */
} sluice_audio_tables_t;

#endif
