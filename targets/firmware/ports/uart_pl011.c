/* Arm's PL011 (DDI 0183; RP2350 datasheet, section UART), FIFOs of 16 or 32 bytes. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define UARTDR (BOARD_UART_BASE + 0x00u)
#define UARTFR (BOARD_UART_BASE + 0x18u)
#define UARTIBRD (BOARD_UART_BASE + 0x24u)
#define UARTFBRD (BOARD_UART_BASE + 0x28u)
#define UARTLCR_H (BOARD_UART_BASE + 0x2Cu)
#define UARTCR (BOARD_UART_BASE + 0x30u)
#define UARTIFLS (BOARD_UART_BASE + 0x34u)
#define UARTIMSC (BOARD_UART_BASE + 0x38u)
#define UARTICR (BOARD_UART_BASE + 0x44u)

#define DR_OE (1u << 11) /* bytes were lost before this one */
#define FR_RXFE (1u << 4)
#define FR_TXFF (1u << 5)
#define LCR_H_FEN (1u << 4)
#define LCR_H_8_BITS (3u << 5)
#define CR_UARTEN (1u << 0)
#define CR_TXE (1u << 8)
#define CR_RXE (1u << 9)
#define IFLS_EIGHTHS 0u /* interrupt when the FIFO is an eighth full: the most time to come */
#define INTERRUPT_RX (1u << 4)
#define INTERRUPT_RT (1u << 6) /* bytes below that level, and silence for 32 bits */

/* The divider counts 64ths of the 16 clocks of a sample. */
_Static_assert(BOARD_UART_DIVIDER >= 64u && BOARD_UART_DIVIDER < 64u * 65536u, "UARTIBRD");

void uart_init(void)
{
    REGISTER(UARTCR) = 0;
    REGISTER(UARTIBRD) = BOARD_UART_DIVIDER / 64u;
    REGISTER(UARTFBRD) = BOARD_UART_DIVIDER % 64u;
    REGISTER(UARTLCR_H) = LCR_H_8_BITS | LCR_H_FEN; /* takes the divider over */
    REGISTER(UARTIFLS) = IFLS_EIGHTHS;
    REGISTER(UARTIMSC) = INTERRUPT_RX | INTERRUPT_RT;
    REGISTER(UARTCR) = CR_UARTEN | CR_TXE | CR_RXE;
    interrupt_enable(BOARD_UART_INTERRUPT);
}

void uart_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((REGISTER(UARTFR) & FR_TXFF) != 0) {
        }
        REGISTER(UARTDR) = bytes[i];
    }
}

void uart_interrupt(void)
{
    REGISTER(UARTICR) = INTERRUPT_RX | INTERRUPT_RT;
    while ((REGISTER(UARTFR) & FR_RXFE) == 0) {
        const uint32_t data = REGISTER(UARTDR);
        receive_ring_put((uint8_t)data);
        if ((data & DR_OE) != 0) {
            receive_ring_count_loss();
        }
    }
}
