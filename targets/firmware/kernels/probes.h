/* Linear predictors on the gates: a score is a bias plus the weights of the open gates.
 * A gate that has a weight in no probe takes no room and no time. */
#ifndef SLUICE_PROBES_H
#define SLUICE_PROBES_H

#include <stdint.h>

/* Gates come in words of 32, the first in the lowest bit; each block begins a word. */
typedef struct {
    const uint32_t *used;   /* [words]: the gates that have weights */
    const uint16_t *rows;   /* [words]: how many of those are in the words before */
    const int16_t *weights; /* [used gates][probes], ascending */
    const int32_t *biases;  /* [probes] */
    uint16_t words;
    uint16_t probes;
} sluice_probe_table_t;

/* The scores of `count` probes from `first` on, int32 [count]. open: a bit a gate, 1 is
 * open, four bytes a word, the lowest first. The compiler has checked that no choice of
 * gates overflows a score. */
void sluice_probe_scores(const sluice_probe_table_t *table, const uint8_t *open, uint32_t first,
                         uint32_t count, int32_t *scores);

#endif
