/* From a spectrum and its mask back to PCM. */
#ifndef SLUICE_SYNTHESIS_H
#define SLUICE_SYNTHESIS_H

#include "tables.h"

/* X[k] *= (mask[k] + 128) / 256. Without a Nyquist bin in the network (bins =
 * n_fft / 2) that bin is set to 0. */
void sluice_apply_mask(const sluice_audio_tables_t *tables, const int8_t *mask,
                       sluice_complex_t *spectrum);

/* Inverse FFT, synthesis window, overlap-add: gives the hop that is complete
 * now, one hop behind the input, saturated to int16.
 *
 * Frames are overlapped under the analysis window w and divided by w[n]^2 +
 * w[n + hop]^2: least squares, what torch.istft does in the steady state. tail:
 * the n_fft / 2 samples that wait for the next frame, in quarters of a spectrum
 * unit. spectrum is destroyed. */
void sluice_synthesise(const sluice_audio_tables_t *tables, sluice_complex_t *spectrum,
                       int32_t *tail, int16_t *pcm);

#endif
