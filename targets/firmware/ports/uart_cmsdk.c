/* Arm's CMSDK APB UART (MPS2 and MPS3 boards): one byte of buffer each way. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define UART ((volatile uint32_t *)BOARD_UART_BASE)

enum { DATA = 0, STATE = 1, CONTROL = 2, INTERRUPT_CLEAR = 3, DIVIDER = 4 };

#define STATE_SEND_FULL (1u << 0)
#define STATE_RECEIVED (1u << 1)
#define STATE_RECEIVE_OVERRUN (1u << 3)
#define CONTROL_SEND (1u << 0)
#define CONTROL_RECEIVE (1u << 1)
#define CONTROL_RECEIVE_INTERRUPT (1u << 3)
#define INTERRUPT_RECEIVE (1u << 1)

void uart_init(void)
{
    UART[DIVIDER] = BOARD_UART_DIVIDER;
    UART[CONTROL] = CONTROL_SEND | CONTROL_RECEIVE | CONTROL_RECEIVE_INTERRUPT;
    interrupt_enable(BOARD_UART_INTERRUPT);
    /* QEMU looks for the first byte only after a read; without it up to 1 s passes. */
    (void)UART[DATA];
}

void uart_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((UART[STATE] & STATE_SEND_FULL) != 0) {
        }
        UART[DATA] = bytes[i];
    }
}

void uart_interrupt(void)
{
    UART[INTERRUPT_CLEAR] = INTERRUPT_RECEIVE;
    while ((UART[STATE] & STATE_RECEIVED) != 0) {
        receive_ring_put((uint8_t)UART[DATA]);
    }
    if ((UART[STATE] & STATE_RECEIVE_OVERRUN) != 0) {
        UART[STATE] = STATE_RECEIVE_OVERRUN; /* writing it clears it */
        receive_ring_count_loss();
    }
}
