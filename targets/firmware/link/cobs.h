/* Consistent overhead byte stuffing: a frame without zeros, between two zeros. */
#ifndef COBS_H
#define COBS_H

#include <stddef.h>
#include <stdint.h>

/* Write `count` bytes, encoded and between delimiters, through `write`. Needs no
 * buffer: runs go out from where they lie. */
void link_cobs_write(const uint8_t *bytes, size_t count,
                     void (*write)(const uint8_t *bytes, size_t count));

#endif
