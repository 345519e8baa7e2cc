#include "fft.h"

static inline int32_t halved(int32_t x)
{
    return (x + 1) >> 1;
}

static inline sluice_complex_t half_sum(sluice_complex_t a, sluice_complex_t b)
{
    return (sluice_complex_t){halved(a.re + b.re), halved(a.im + b.im)};
}

static inline sluice_complex_t half_difference(sluice_complex_t a, sluice_complex_t b)
{
    return (sluice_complex_t){halved(a.re - b.re), halved(a.im - b.im)};
}

/* Two radix-2 stages at once: their twiddles are 1 and -i, so no products. */
static inline void first_two_stages(sluice_complex_t *z, const sluice_complex_t *end)
{
    for (; z < end; z += 4) {
        const sluice_complex_t ab = half_sum(z[0], z[1]), a_b = half_difference(z[0], z[1]);
        const sluice_complex_t cd = half_sum(z[2], z[3]), c_d = half_difference(z[2], z[3]);
        const sluice_complex_t turned = {c_d.im, -c_d.re};
        z[0] = half_sum(ab, cd);
        z[1] = half_sum(a_b, turned);
        z[2] = half_difference(ab, cd);
        z[3] = half_difference(a_b, turned);
    }
}

/* Half of a +- (c - i * s) * b. */
static inline void butterfly(sluice_complex_t *a, sluice_complex_t *b, int32_t c, int32_t s)
{
    const sluice_complex_t v = sluice_half_turned(*b, c, s);
    const sluice_complex_t u = {halved(a->re), halved(a->im)};
    *a = (sluice_complex_t){u.re + v.re, u.im + v.im};
    *b = (sluice_complex_t){u.re - v.re, u.im - v.im};
}

void sluice_fft(const sluice_audio_tables_t *tables, sluice_complex_t *z)
{
    const uint32_t points = UINT32_C(1) << tables->fft_bits;
    const sluice_complex_t *end = z + points;
    first_two_stages(z, end);
    for (uint32_t length = 8; length <= points; length *= 2) {
        const uint32_t half = length / 2;
        const uint32_t step = tables->n_fft / length;
        for (uint32_t j = 0; j < half; j++) {
            const int32_t c = sluice_cosine(tables, j * step), s = sluice_sine(tables, j * step);
            for (sluice_complex_t *a = z + j; a < end; a += length) {
                butterfly(a, a + half, c, s);
            }
        }
    }
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
        const sluice_complex_t turned = sluice_half_turned(
            twice_odd, sluice_cosine(tables, k), sluice_sine(tables, k));
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
        const sluice_complex_t even = {halved(a.re + b.re), halved(a.im - b.im)};
        const sluice_complex_t difference = {a.re - b.re, a.im + b.im};
        const sluice_complex_t odd =
            sluice_half_turned(difference, sluice_cosine(tables, k), -sluice_sine(tables, k));
        /* Z[k] = even + i odd and Z[points - k] = conj even + i conj odd, swapped */
        z[k] = (sluice_complex_t){even.im + odd.re, even.re - odd.im};
        z[points - k] = (sluice_complex_t){odd.re - even.im, even.re + odd.im};
    }
}
