/* What the application needs of a board: a serial port, a clock, its stack.
 *
 * This is the only code with state of its own: interrupt handlers take no
 * arguments, so each file keeps its few static variables. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Before main(); each does nothing where the board names no driver of its kind --- */

/* clock_DRIVER.c: the core at BOARD_TICK_HZ, the UART's clock at BOARD_UART_CLOCK_HZ. Runs
 * before the variables have their values. A clock that does not come must not be waited for
 * for ever. */
void clocks_init(void);

/* caches_DRIVER.c; before the variables have their values, too. */
void caches_init(void);

/* pins_DRIVER.c: the UART's pins. */
void pins_init(void);

/* --- uart_DRIVER.c: the serial port --- */

void uart_init(void);

/* Send `count` bytes; waits for the port, not for the last byte to leave. */
void uart_write(const uint8_t *bytes, size_t count);

/* The handler of BOARD_UART_INTERRUPT: received bytes into the ring. */
void uart_interrupt(void);

/* --- receive_ring.c: what has been received and not read --- */

/* From the interrupt handler alone. A byte that finds no room is lost and counted. */
void receive_ring_put(uint8_t byte);

/* Count a byte that the hardware lost before it could be put. */
void receive_ring_count_loss(void);

/* From the main loop alone: the oldest byte; false if there is none. */
bool receive_ring_get(uint8_t *byte);

/* Sleep until there is something to get. */
void receive_ring_wait(void);

uint32_t receive_ring_lost(void);

/* --- clock.c: a counter for measurements --- */

/* Find the counter; true if it is the DWT's cycle counter, false if it is SysTick. */
bool clock_init(void);

/* Start from 0. The wrap interrupt then falls on the same instruction of the
 * same work each time, so that counts repeat exactly. */
void clock_start(void);

/* Stop. A timer that runs in idle time keeps an emulator busy. */
void clock_stop(void);

/* Ticks since clock_start(), modulo 2^32. */
uint32_t clock_ticks(void);

/* The SysTick handler: counts wraps. */
void clock_interrupt(void);

/* --- stack.c: how deep the stack has been --- */

/* Fill the stack below the caller with a pattern. */
void stack_paint(void);

/* Bytes of stack that have been used since then. */
uint32_t stack_used(void);

#endif
