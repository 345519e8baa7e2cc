/* One value in every channel: small C libraries' memset() goes byte by byte. */
#ifndef SLUICE_FILL_H
#define SLUICE_FILL_H

#include <stdint.h>

/* y[i] = value, an int8. */
void sluice_fill(int8_t *y, int32_t value, uint32_t count);

#endif
