#include "fft.h"

#include <stdbool.h>

static inline int32_t halved(int32_t x)
{
    return (x + 1) >> 1;
}

/* Two radix-2 stages at once: their twiddles are 1 and -i, so no products.
 * Unscaled the four are far from the limit, being windowed samples. Scaled they
 * are a merged spectrum whose root-sum-square over all points is at most
 * sqrt(3) / 4 * 2^30 (Parseval, gains <= 1), so that any four sum to below 2^30. */
static inline void first_two_stages(sluice_complex_t *z, uint32_t points, bool scaled)
{
    for (uint32_t i = 0; i < points; i += 4) {
        sluice_complex_t a = z[i], b = z[i + 1], c = z[i + 2], d = z[i + 3];
        sluice_complex_t ab = {a.re + b.re, a.im + b.im}, a_b = {a.re - b.re, a.im - b.im};
        sluice_complex_t cd = {c.re + d.re, c.im + d.im}, c_d = {c.re - d.re, c.im - d.im};
        if (scaled) {
            ab = (sluice_complex_t){halved(ab.re), halved(ab.im)};
            a_b = (sluice_complex_t){halved(a_b.re), halved(a_b.im)};
            cd = (sluice_complex_t){halved(cd.re), halved(cd.im)};
            c_d = (sluice_complex_t){halved(c_d.re), halved(c_d.im)};
        }
        z[i] = (sluice_complex_t){ab.re + cd.re, ab.im + cd.im};
        z[i + 1] = (sluice_complex_t){a_b.re + c_d.im, a_b.im - c_d.re};
        z[i + 2] = (sluice_complex_t){ab.re - cd.re, ab.im - cd.im};
        z[i + 3] = (sluice_complex_t){a_b.re - c_d.im, a_b.im + c_d.re};
        if (scaled) {
            for (uint32_t k = i; k < i + 4; k++) {
                z[k] = (sluice_complex_t){halved(z[k].re), halved(z[k].im)};
            }
        }
    }
}

/* a +- w * b, or half of it. */
static inline void butterfly(sluice_complex_t *a, sluice_complex_t *b, sluice_complex_t w,
                             bool scaled)
{
    sluice_complex_t u = *a, v = *b;
    if (scaled) {
        u = (sluice_complex_t){halved(u.re), halved(u.im)};
    } else {
        v = (sluice_complex_t){v.re * 2, v.im * 2};
    }
    v = sluice_half_product(v, w);
    *a = (sluice_complex_t){u.re + v.re, u.im + v.im};
    *b = (sluice_complex_t){u.re - v.re, u.im - v.im};
}

/* Decimation in time. Inlined twice, so that `scaled` costs nothing at run time. */
static inline void transform(const sluice_audio_tables_t *tables, sluice_complex_t *z,
                             bool scaled)
{
    const uint32_t points = UINT32_C(1) << tables->fft_bits;
    first_two_stages(z, points, scaled);
    for (uint32_t length = 8; length <= points; length *= 2) {
        const uint32_t half = length / 2;
        const uint32_t step = tables->n_fft / length;
        for (uint32_t j = 0; j < half; j++) {
            const sluice_complex_t w = tables->twiddles[j * step];
            for (uint32_t i = j; i < points; i += length) {
                butterfly(&z[i], &z[i + half], w, scaled);
            }
        }
    }
}

void sluice_fft(const sluice_audio_tables_t *tables, sluice_complex_t *z)
{
    transform(tables, z, false);
}

void sluice_fft_scaled(const sluice_audio_tables_t *tables, sluice_complex_t *z)
{
    transform(tables, z, true);
}

void sluice_split_real(const sluice_audio_tables_t *tables, sluice_complex_t *z)
{
    const uint32_t points = UINT32_C(1) << tables->fft_bits;
    const sluice_complex_t first = z[0];
    z[0] = (sluice_complex_t){first.re + first.im, 0};
    z[points] = (sluice_complex_t){first.re - first.im, 0};
    for (uint32_t k = 1; k <= points / 2; k++) {
        /* even = (a + conj b) / 2, odd = -i (a - conj b) / 2 */
        const sluice_complex_t a = z[k], b = z[points - k];
        const sluice_complex_t even = {halved(a.re + b.re), halved(a.im - b.im)};
        const sluice_complex_t twice_odd = {a.im + b.im, b.re - a.re};
        const sluice_complex_t turned = sluice_half_product(twice_odd, tables->twiddles[k]);
        z[k] = (sluice_complex_t){even.re + turned.re, even.im + turned.im};
        z[points - k] = (sluice_complex_t){even.re - turned.re, turned.im - even.im};
    }
}

void sluice_merge_real_swapped(const sluice_audio_tables_t *tables, sluice_complex_t *z)
{
    const uint32_t points = UINT32_C(1) << tables->fft_bits;
    const int32_t first = z[0].re, last = z[points].re;
    z[0] = (sluice_complex_t){halved(first - last), halved(first + last)};
    for (uint32_t k = 1; k <= points / 2; k++) {
        const sluice_complex_t a = z[k], b = z[points - k];
        const sluice_complex_t w = tables->twiddles[k];
        const sluice_complex_t even = {halved(a.re + b.re), halved(a.im - b.im)};
        const sluice_complex_t difference = {a.re - b.re, a.im + b.im};
        const sluice_complex_t odd =
            sluice_half_product(difference, (sluice_complex_t){w.re, -w.im});
        /* Z[k] = even + i odd and Z[points - k] = conj even + i conj odd, swapped */
        z[k] = (sluice_complex_t){even.im + odd.re, even.re - odd.im};
        z[points - k] = (sluice_complex_t){odd.re - even.im, even.re + odd.im};
    }
}
