#include "synthesis.h"

#include "fft.h"

void sluice_apply_mask(const sluice_audio_tables_t *tables, const int8_t *mask,
                       sluice_complex_t *spectrum)
{
    for (uint32_t k = 0; k < tables->bins; k++) {
        const int32_t gain = (mask[k] + 128) * (INT32_C(1) << 23); /* Q31, below 1 */
        spectrum[k].re = sluice_multiply_q31(spectrum[k].re, gain);
        spectrum[k].im = sluice_multiply_q31(spectrum[k].im, gain);
    }
    for (uint32_t k = tables->bins; k <= tables->n_fft / 2u; k++) {
        spectrum[k] = (sluice_complex_t){0, 0};
    }
}

static void to_bit_reversed_order(const sluice_audio_tables_t *tables, sluice_complex_t *z)
{
    for (uint32_t i = 0; i < tables->n_fft / 2u; i++) {
        const uint32_t j = tables->bit_reversal[i];
        if (i < j) {
            const sluice_complex_t swapped = z[i];
            z[i] = z[j];
            z[j] = swapped;
        }
    }
}

/* |sample| is at most the mean of |X| over the bins, below 2^27: doubling it fits. */
static inline int32_t windowed(int32_t sample, int32_t w_q30)
{
    return sluice_multiply_q31(sample * 2, w_q30);
}

static inline int16_t to_pcm(int32_t sample, uint32_t fraction_bits)
{
    const int32_t half = (INT32_C(1) << fraction_bits) >> 1;
    const int32_t rounded = (sample + half) >> fraction_bits;
    if (rounded > INT16_MAX) {
        return INT16_MAX;
    }
    if (rounded < INT16_MIN) {
        return INT16_MIN;
    }
    return (int16_t)rounded;
}

void sluice_synthesise(const sluice_audio_tables_t *tables, sluice_complex_t *spectrum,
                       int32_t *tail, int16_t *pcm)
{
    const uint32_t hop = tables->n_fft / 2u;
    const int32_t *w = tables->synthesis_window;
    sluice_merge_real_swapped(tables, spectrum);
    to_bit_reversed_order(tables, spectrum);
    sluice_fft_scaled(tables, spectrum);
    for (uint32_t n = 0; n < hop; n += 2) {
        /* Parts are still swapped: even samples in im, odd ones in re. */
        const sluice_complex_t now = spectrum[n / 2], later = spectrum[(hop + n) / 2];
        pcm[n] = to_pcm(tail[n] + windowed(now.im, w[n]), tables->fraction_bits);
        pcm[n + 1] = to_pcm(tail[n + 1] + windowed(now.re, w[n + 1]), tables->fraction_bits);
        tail[n] = windowed(later.im, w[hop - n]);
        tail[n + 1] = windowed(later.re, w[hop - n - 1]);
    }
}
