/* LOGISTIC as a table: TFLite builds it in float, so the compiler pins it. */
#ifndef SLUICE_SIGMOID_H
#define SLUICE_SIGMOID_H

#include <stdint.h>

/* y[i] = table[x[i] + 128]; y may be x. */
void sluice_sigmoid(const int8_t table[256], const int8_t *x, uint32_t count, int8_t *y);

#endif
