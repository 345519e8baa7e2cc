/* STM32 H7 and U5: USART with FIFOs of 8 or 16 bytes (RM0433 and RM0456, section USART). */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define CR1 (BOARD_UART_BASE + 0x00u)
#define BRR (BOARD_UART_BASE + 0x0Cu)
#define ISR (BOARD_UART_BASE + 0x1Cu)
#define ICR (BOARD_UART_BASE + 0x20u)
#define RDR (BOARD_UART_BASE + 0x24u)
#define TDR (BOARD_UART_BASE + 0x28u)

#define CR1_UE (1u << 0)
#define CR1_RE (1u << 2)
#define CR1_TE (1u << 3)
#define CR1_RXFNEIE (1u << 5) /* interrupts on ORE, too */
#define CR1_FIFOEN (1u << 29) /* can only be set while UE is not */
#define ISR_ORE (1u << 3)
#define ISR_RXFNE (1u << 5)
#define ISR_TXFNF (1u << 7)
#define ICR_ORECF (1u << 3)

_Static_assert(BOARD_UART_DIVIDER >= 16u && BOARD_UART_DIVIDER <= 0xFFFFu,
               "BRR is the divider where 16 samples make a bit");

void uart_init(void)
{
    REGISTER(BOARD_UART_ENABLE_REGISTER) |= 1u << BOARD_UART_ENABLE_BIT;
    (void)REGISTER(BOARD_UART_ENABLE_REGISTER); /* the clock is there once this has been read */
    REGISTER(CR1) = 0;
    REGISTER(BRR) = BOARD_UART_DIVIDER;
    REGISTER(CR1) = CR1_FIFOEN | CR1_TE | CR1_RE | CR1_RXFNEIE;
    REGISTER(CR1) |= CR1_UE;
    interrupt_enable(BOARD_UART_INTERRUPT);
}

void uart_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((REGISTER(ISR) & ISR_TXFNF) == 0) {
        }
        REGISTER(TDR) = bytes[i];
    }
}

void uart_interrupt(void)
{
    while ((REGISTER(ISR) & ISR_RXFNE) != 0) {
        receive_ring_put((uint8_t)REGISTER(RDR));
    }
    if ((REGISTER(ISR) & ISR_ORE) != 0) {
        REGISTER(ICR) = ICR_ORECF;
        receive_ring_count_loss();
    }
}
