#include "analysis.h"

#include "fft.h"

/* Bits of a power that its key keeps. */
enum { KEY_BITS = 27 };

/* One sample under the window, times 2^14: at most 2^29. The FFT divides by the
 * number of its points, which leaves spectrum units. */
static inline int32_t windowed(int16_t sample, int32_t w)
{
    return sluice_multiply_q31(sample * (INT32_C(1) << 14), w);
}

void sluice_spectrum(const sluice_audio_tables_t *tables, const int16_t *previous,
                     const int16_t *pcm, sluice_complex_t *spectrum)
{
    const uint32_t hop = tables->n_fft / 2u;
    /* Even samples are real parts, odd ones imaginary. Those of the second half of
     * the frame are hop / 2 further on, which in reverse is the next place. */
    for (uint32_t n = 0; n < hop; n += 2) {
        const int32_t w = sluice_hann(tables, n), w_odd = sluice_hann(tables, n + 1);
        sluice_complex_t *z = &spectrum[sluice_reversed(n / 2, tables->fft_bits)];
        z[0] = (sluice_complex_t){windowed(previous[n], w), windowed(previous[n + 1], w_odd)};
        z[1] = (sluice_complex_t){windowed(pcm[n], sluice_one_minus(w)),
                                  windowed(pcm[n + 1], sluice_one_minus(w_odd))};
    }
    sluice_fft(tables, spectrum);
    sluice_split_real(tables, spectrum);
}

uint32_t sluice_power_key(uint64_t power)
{
    const int32_t excess = 64 - KEY_BITS - __builtin_clzll(power | 1u);
    if (excess <= 0) {
        return (uint32_t)power;
    }
    return ((uint32_t)excess << (KEY_BITS - 1)) + (uint32_t)(power >> excess);
}

void sluice_quantise_features(const sluice_audio_tables_t *tables,
                              const sluice_complex_t *spectrum, int8_t *features)
{
    for (uint32_t k = 0; k < tables->bins; k++) {
        const int64_t re = spectrum[k].re, im = spectrum[k].im;
        /* At most 2^59. */
        const uint32_t key = sluice_power_key((uint64_t)(re * re) + (uint64_t)(im * im));
        const uint32_t *passed = tables->thresholds;
#pragma GCC unroll 8 /* a third of the instructions */
        for (uint32_t step = (SLUICE_FEATURE_THRESHOLDS + 1) / 2; step > 0; step /= 2) {
            passed += key >= passed[step - 1] ? step : 0;
        }
        features[k] = (int8_t)(passed - tables->thresholds - 128);
    }
}
