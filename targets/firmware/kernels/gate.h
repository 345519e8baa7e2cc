/* From logits to open channels. No float, no sigmoid: a gate is open if q > Z. */
#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include <stdint.h>

/* Decide `gates` gates of `group` channels each.
 *
 * bits: (gates + 7) / 8 bytes, gate g in bit g % 8 of byte g / 8, 1 is open.
 * channels: room for gates * group entries; the open channels, ascending.
 * Gives the number of open gates. */
uint32_t sluice_gate(const int8_t *logits, uint32_t gates, int32_t zero_point, uint32_t group,
                     uint8_t *bits, uint16_t *channels);

#endif
