/* A board in memory, for ctypes and for C programs. Its state is static. */
#ifndef FAKE_BOARD_H
#define FAKE_BOARD_H

#include <stddef.h>
#include <stdint.h>

extern uint32_t board_clocked; /* times that the clock was started or stopped */

/* Start, or start over. */
void board_power_on(void);

/* Bytes that arrive at the board. */
void board_feed(const uint8_t *bytes, size_t count);

/* The processor's last words. */
void board_fault(uint32_t address);

/* Put any bytes on the wire, encoded. */
void board_write_cobs(const uint8_t *bytes, size_t count);

/* One byte to a receiver of its own: an enum link_event and the frame's bytes. */
int board_receive(uint8_t byte, const uint8_t **bytes, size_t *count);

/* What the board has written since the last call; valid until the next byte. */
size_t board_take(const uint8_t **bytes);

#endif
