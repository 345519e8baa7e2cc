#include "analysis.h"

#include "fft.h"

/* One sample under the window, in spectrum units: at most 2^21 at n_fft = 512. */
static inline int32_t windowed(const sluice_audio_tables_t *tables, int16_t sample, int32_t w)
{
    return sluice_multiply_q31(sample * (INT32_C(1) << tables->fraction_bits), w);
}

void sluice_spectrum(const sluice_audio_tables_t *tables, const int16_t *previous,
                     const int16_t *pcm, sluice_complex_t *spectrum)
{
    const uint32_t hop = tables->n_fft / 2u;
    const int32_t *w = tables->analysis_window;
    /* Even samples are real parts, odd ones imaginary; the second half of the
     * window mirrors the first. */
    for (uint32_t n = 0; n < hop; n += 2) {
        spectrum[tables->bit_reversal[n / 2]] = (sluice_complex_t){
            windowed(tables, previous[n], w[n]), windowed(tables, previous[n + 1], w[n + 1])};
        spectrum[tables->bit_reversal[(hop + n) / 2]] = (sluice_complex_t){
            windowed(tables, pcm[n], w[hop - n]), windowed(tables, pcm[n + 1], w[hop - n - 1])};
    }
    sluice_fft(tables, spectrum);
    sluice_split_real(tables, spectrum);
}

void sluice_quantise_features(const sluice_audio_tables_t *tables,
                              const sluice_complex_t *spectrum, int8_t *features)
{
    for (uint32_t k = 0; k < tables->bins; k++) {
        const int64_t re = spectrum[k].re, im = spectrum[k].im;
        const uint64_t power = (uint64_t)(re * re) + (uint64_t)(im * im); /* <= 2^59 */
        uint32_t passed = 0;
        for (uint32_t step = (SLUICE_FEATURE_THRESHOLDS + 1) / 2; step > 0; step /= 2) {
            if (power >= tables->thresholds[passed + step - 1]) {
                passed += step;
            }
        }
        features[k] = (int8_t)((int32_t)passed - 128);
    }
}
