/* Complex FFT in 32-bit fixed point, in place, and the split to real spectra. */
#ifndef SLUICE_FFT_H
#define SLUICE_FFT_H

#include "tables.h"

/* All four work on z[0 .. n_fft / 2 - 1]; a spectrum has one more entry. No
 * bin of a frame exceeds 2^29 in magnitude, which fraction_bits ensures, so
 * sums of two stay in range before they are halved. */

/* The FFT of n_fft / 2 points, unscaled. Input in bit-reversed order. */
void sluice_fft(const sluice_audio_tables_t *tables, sluice_complex_t *z);

/* The same divided by the number of points, halving with rounding at each stage. */
void sluice_fft_scaled(const sluice_audio_tables_t *tables, sluice_complex_t *z);

/* From Z, the FFT of even + i * odd samples, to the n_fft / 2 + 1 bins of the
 * real frame, in place. */
void sluice_split_real(const sluice_audio_tables_t *tables, sluice_complex_t *z);

/* The way back. The result has its parts swapped (im + i * re), so that the
 * forward FFT does the inverse: swap(fft(swap(Z))). */
void sluice_merge_real_swapped(const sluice_audio_tables_t *tables, sluice_complex_t *z);

#endif
