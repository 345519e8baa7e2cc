#include "probes.h"

#include <string.h>

/* Rows are collected before they are added, so that sums stay in registers meanwhile. */
enum { WORD = 32, COLLECTED = 2 * WORD, TOGETHER = 8 };

typedef const int16_t *row_t;

static inline uint32_t ones(uint32_t bits)
{
    bits -= bits >> 1 & 0x55555555u;
    bits = (bits & 0x33333333u) + (bits >> 2 & 0x33333333u);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0fu;
    return bits * 0x01010101u >> 24;
}

static inline uint32_t word_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline void add_together(const row_t *rows, const row_t *end, uint32_t column,
                                int32_t *sums)
{
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    int32_t e = sums[4], f = sums[5], g = sums[6], h = sums[7];
    for (const row_t *row = rows; row < end; row++) {
        const int16_t *weights = *row + column;
        a += weights[0];
        b += weights[1];
        c += weights[2];
        d += weights[3];
        e += weights[4];
        f += weights[5];
        g += weights[6];
        h += weights[7];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
    sums[4] = e;
    sums[5] = f;
    sums[6] = g;
    sums[7] = h;
}

static inline int32_t add_one(const row_t *rows, const row_t *end, uint32_t column, int32_t sum)
{
    for (const row_t *row = rows; row < end; row++) {
        sum += (*row)[column];
    }
    return sum;
}

static void add(const row_t *rows, const row_t *end, uint32_t count, int32_t *sums)
{
    uint32_t column = 0;
    for (; column + TOGETHER <= count; column += TOGETHER) {
        add_together(rows, end, column, sums + column);
    }
    for (; column < count; column++) {
        sums[column] = add_one(rows, end, column, sums[column]);
    }
}

void sluice_probe_scores(const sluice_probe_table_t *table, const uint8_t *open, uint32_t first,
                         uint32_t count, int32_t *scores)
{
    const row_t weights = table->weights + first;
    row_t rows[COLLECTED], *end = rows;
    memcpy(scores, table->biases + first, count * sizeof *scores);
    for (uint32_t i = 0; i < table->words; i++) {
        if (end > rows + (COLLECTED - WORD)) {
            add(rows, end, count, scores);
            end = rows;
        }
        const uint32_t used = table->used[i], before = table->rows[i];
        for (uint32_t left = used & word_at(open + 4u * i); left != 0; left &= left - 1u) {
            const uint32_t lower = ~left & (left - 1u); /* below the lowest bit left */
            *end++ = weights + table->probes * (before + ones(used & lower));
        }
    }
    add(rows, end, count, scores);
}
