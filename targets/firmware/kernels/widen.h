/* From int8 to int16 around zero, once for all outputs of a layer. */
#ifndef SLUICE_WIDEN_H
#define SLUICE_WIDEN_H

#include <stdint.h>

/* wide[i] = x[i] - zero_point, -255 .. 255. A closed channel holds its zero
 * point and becomes exactly 0, so skipping it changes no sum. */
void sluice_widen(const int8_t *x, uint32_t count, int32_t zero_point, int16_t *wide);

#endif
