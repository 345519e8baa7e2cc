/* Complex FFT in 32-bit fixed point, in place, and the split to real spectra. */
#ifndef SLUICE_FFT_H
#define SLUICE_FFT_H

#include "tables.h"

/* All three work on z[0 .. n_fft / 2 - 1]; a spectrum has one more entry. */

/* The FFT of n_fft / 2 points divided by their number, decimated in time, halving
 * with rounding at each stage: what a stage loses, the later ones halve too. Input
 * in bit-reversed order, |re|, |im| <= 2^29: no magnitude grows on the way. */
void sluice_fft(const sluice_audio_tables_t *tables, sluice_complex_t *z);

/* From Z, the FFT of even + i * odd samples, to the n_fft / 2 + 1 bins of the
 * real frame, in place. No bin exceeds 2^29, which fraction_bits ensures, so that
 * sums of two stay in range before they are halved. */
void sluice_split_real(const sluice_audio_tables_t *tables, sluice_complex_t *z);

/* The way back. The result has its parts swapped (im + i * re), so that the
 * forward FFT does the inverse: swap(fft(swap(Z))). */
void sluice_merge_real_swapped(const sluice_audio_tables_t *tables, sluice_complex_t *z);

#endif
