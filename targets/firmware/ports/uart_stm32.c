/* STM32 F1 to F4: USART with a byte of buffer each way (RM0090 and RM0390, section USART). */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define SR (BOARD_UART_BASE + 0x00u)
#define DR (BOARD_UART_BASE + 0x04u)
#define BRR (BOARD_UART_BASE + 0x08u)
#define CR1 (BOARD_UART_BASE + 0x0Cu)

#define SR_ORE (1u << 3) /* a byte came while DR was full */
#define SR_RXNE (1u << 5)
#define SR_TXE (1u << 7)
#define CR1_RE (1u << 2)
#define CR1_TE (1u << 3)
#define CR1_RXNEIE (1u << 5) /* interrupts on ORE, too */
#define CR1_UE (1u << 13)

_Static_assert(BOARD_UART_DIVIDER >= 16u && BOARD_UART_DIVIDER <= 0xFFFFu,
               "BRR is the divider where 16 samples make a bit");

void uart_init(void)
{
    REGISTER(BOARD_UART_ENABLE_REGISTER) |= 1u << BOARD_UART_ENABLE_BIT;
    (void)REGISTER(BOARD_UART_ENABLE_REGISTER); /* the clock is there once this has been read */
    REGISTER(BRR) = BOARD_UART_DIVIDER;
    REGISTER(CR1) = CR1_UE | CR1_TE | CR1_RE | CR1_RXNEIE;
    interrupt_enable(BOARD_UART_INTERRUPT);
}

void uart_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while ((REGISTER(SR) & SR_TXE) == 0) {
        }
        REGISTER(DR) = bytes[i];
    }
}

void uart_interrupt(void)
{
    uint32_t status = REGISTER(SR);
    while ((status & (SR_RXNE | SR_ORE)) != 0) {
        const uint8_t byte = (uint8_t)REGISTER(DR); /* after SR, this clears both */
        if ((status & SR_RXNE) != 0) {
            receive_ring_put(byte);
        }
        if ((status & SR_ORE) != 0) {
            receive_ring_count_loss();
        }
        status = REGISTER(SR);
    }
}
