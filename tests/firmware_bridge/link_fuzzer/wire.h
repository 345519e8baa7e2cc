/* Frames by the page (docs/protocol.md), sharing nothing with the firmware's code. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/link_config.h"

#define BODY_ROOM 4096u /* any body that an input can hold */

/* What stands between two zeros. Decoded leniently: a group that ends early gives what there is. */
typedef struct {
    size_t count;
    bool whole;  /* it did not end inside a group */
    bool intact; /* whole, not too short, not too long, its CRC right */
    uint8_t bytes[BODY_ROOM]; /* header, payload, CRC */
} body_t;

void wire_decode(const uint8_t *encoded, size_t count, body_t *body);

/* CRC-32, written apart from the firmware's. */
uint32_t wire_crc(const uint8_t *bytes, size_t count);

/* Put a CRC behind the header and payload in `bytes`, which has 4 bytes more; gives the new count. */
size_t wire_seal(uint8_t *bytes, size_t count);

/* Encode without delimiters; `encoded` has room for count + count / 254 + 1. Gives the length. */
size_t wire_encode(const uint8_t *bytes, size_t count, uint8_t *encoded);

#endif
