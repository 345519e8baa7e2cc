/* From PCM to the spectrum of a frame and the network's int8 features. */
#ifndef SLUICE_ANALYSIS_H
#define SLUICE_ANALYSIS_H

#include "tables.h"

/* The frame is the hop before (`previous`) and this one (`pcm`), n_fft / 2
 * samples each, under a periodic Hann window. spectrum: n_fft / 2 + 1 bins. */
void sluice_spectrum(const sluice_audio_tables_t *tables, const int16_t *previous,
                     const int16_t *pcm, sluice_complex_t *spectrum);

/* A power as 32 bits that compare as it does, to 1 part in 2^26: the power itself
 * below 2^27, else its leading 27 bits and how far they were shifted. */
uint32_t sluice_power_key(uint64_t power);

/* features[k] = round((|X| + epsilon)^compression / scale) + zero point, as int8:
 * the function is monotone in |X|^2, so its value is the number of steps that lie
 * at or below |X|^2. The compiler has solved for the power at each of the 255
 * steps; neither a root nor a power is taken here. */
void sluice_quantise_features(const sluice_audio_tables_t *tables,
                              const sluice_complex_t *spectrum, int8_t *features);

#endif
