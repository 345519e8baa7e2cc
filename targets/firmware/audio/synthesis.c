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
        const uint32_t j = sluice_reversed(i, tables->fft_bits);
        if (i < j) {
            const sluice_complex_t swapped = z[i];
            z[i] = z[j];
            z[j] = swapped;
        }
    }
}

/* A sample under the window, in quarters of a spectrum unit. |sample| is at most the
 * mean of |X| over the bins, below 2^27, so four of it fit, and two halves of it. */
static inline int32_t windowed(int32_t sample, int32_t w)
{
    return sluice_multiply_q31(sample * 4, w);
}

/* One sample of the frame that is complete now, w its window; the next one waits. */
static inline int16_t overlapped(int32_t now, int32_t later, int32_t w, int32_t gain,
                                 uint32_t fraction_bits, int32_t *tail)
{
    const int32_t half = (INT32_C(1) << fraction_bits) >> 1;
    const int32_t sample = sluice_multiply_q31(*tail + windowed(now, w), gain);
    *tail = windowed(later, sluice_one_minus(w));
    return sluice_saturate_16((sample + half) >> fraction_bits);
}

void sluice_synthesise(const sluice_audio_tables_t *tables, sluice_complex_t *spectrum,
                       int32_t *tail, int16_t *pcm)
{
    const uint32_t hop = tables->n_fft / 2u, fraction_bits = tables->fraction_bits;
    sluice_merge_real_swapped(tables, spectrum);
    to_bit_reversed_order(tables, spectrum);
    sluice_fft(tables, spectrum);
    /* Sample n is a part of entry n / 2. Parts are still swapped: even samples are
     * second. Samples n and hop - n have one window and one gain between them. */
    const int32_t *now = (const int32_t *)(const void *)spectrum, *later = now + hop;
    for (uint32_t n = 0; n <= hop / 2; n++) {
        const uint32_t m = hop - n;
        const int32_t w = sluice_hann(tables, n), gain = tables->overlap_gain[n];
        pcm[n] = overlapped(now[n ^ 1u], later[n ^ 1u], w, gain, fraction_bits, &tail[n]);
        if (n > 0 && n < m) {
            pcm[m] = overlapped(now[m ^ 1u], later[m ^ 1u], sluice_one_minus(w), gain,
                                fraction_bits, &tail[m]);
        }
    }
}
