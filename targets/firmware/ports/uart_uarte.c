/* nRF: UARTE, which knows DMA alone, and only of RAM (nRF5340 Product Specification, UARTE).
 *
 * Received are transfers of one byte, an interrupt each: only the end of a transfer says that
 * the byte is in memory. Until the next transfer begins, the UARTE keeps bytes in its FIFO. */
#include <string.h>

#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define TASKS_STARTRX (BOARD_UART_BASE + 0x000u)
#define TASKS_STARTTX (BOARD_UART_BASE + 0x008u)
#define EVENTS_ENDRX (BOARD_UART_BASE + 0x110u)
#define EVENTS_ENDTX (BOARD_UART_BASE + 0x120u)
#define EVENTS_ERROR (BOARD_UART_BASE + 0x124u)
#define INTENSET (BOARD_UART_BASE + 0x304u)
#define ERRORSRC (BOARD_UART_BASE + 0x480u)
#define ENABLE (BOARD_UART_BASE + 0x500u)
#define PSEL_TXD (BOARD_UART_BASE + 0x50Cu)
#define PSEL_RXD (BOARD_UART_BASE + 0x514u)
#define BAUDRATE (BOARD_UART_BASE + 0x524u)
#define RXD_PTR (BOARD_UART_BASE + 0x534u)
#define RXD_MAXCNT (BOARD_UART_BASE + 0x538u)
#define TXD_PTR (BOARD_UART_BASE + 0x544u)
#define TXD_MAXCNT (BOARD_UART_BASE + 0x548u)
#define CONFIG (BOARD_UART_BASE + 0x56Cu)

#define ENABLE_UARTE 8u
#define INTERRUPT_ENDRX (1u << 4)
#define INTERRUPT_ERROR (1u << 9)
#define ERRORSRC_OVERRUN (1u << 0)
#define PSEL_PORT_SHIFT 5u /* bits 4:0 the pin; port 0 */

/* The register is baud * 2^32 / 16 MHz; for other dividers the manual lists rounded values. */
#define BAUDRATE_VALUE ((uint32_t)(0x100000000ull / BOARD_UART_DIVIDER))
_Static_assert(BOARD_UART_CLOCK_HZ == 16000000u, "the UARTE divides 16 MHz");
_Static_assert(BOARD_UART_DIVIDER >= 16u && (BOARD_UART_DIVIDER & (BOARD_UART_DIVIDER - 1u)) == 0,
               "a power of two: 1,000,000 baud or a half, a quarter ... of it");
_Static_assert(BOARD_PINS_TRANSMIT < 1u << PSEL_PORT_SHIFT, "a pin of port 0");
_Static_assert(BOARD_PINS_RECEIVE < 1u << PSEL_PORT_SHIFT, "a pin of port 0");

enum { SENT_AT_ONCE = 64 };

static volatile uint8_t received;
static uint8_t sent[SENT_AT_ONCE]; /* what is sent may lie in flash, where the DMA cannot read */

static uint32_t address_of(const volatile void *object)
{
    return (uint32_t)(uintptr_t)object;
}

void uart_init(void)
{
    REGISTER(PSEL_TXD) = BOARD_PINS_TRANSMIT;
    REGISTER(PSEL_RXD) = BOARD_PINS_RECEIVE;
    REGISTER(BAUDRATE) = BAUDRATE_VALUE;
    REGISTER(CONFIG) = 0; /* no parity, one stop bit, no flow control */
    REGISTER(RXD_PTR) = address_of(&received);
    REGISTER(RXD_MAXCNT) = 1;
    REGISTER(ENABLE) = ENABLE_UARTE;
    REGISTER(INTENSET) = INTERRUPT_ENDRX | INTERRUPT_ERROR;
    interrupt_enable(BOARD_UART_INTERRUPT);
    REGISTER(TASKS_STARTRX) = 1;
}

void uart_write(const uint8_t *bytes, size_t count)
{
    for (size_t done = 0, part; done < count; done += part) {
        part = count - done < SENT_AT_ONCE ? count - done : SENT_AT_ONCE;
        memcpy(sent, bytes + done, part);
        REGISTER_BARRIER();
        REGISTER(TXD_PTR) = address_of(sent);
        REGISTER(TXD_MAXCNT) = (uint32_t)part;
        REGISTER(EVENTS_ENDTX) = 0;
        REGISTER(TASKS_STARTTX) = 1;
        while (REGISTER(EVENTS_ENDTX) == 0) {
        }
    }
}

void uart_interrupt(void)
{
    while (REGISTER(EVENTS_ENDRX) != 0) {
        REGISTER(EVENTS_ENDRX) = 0;
        receive_ring_put(received);
        REGISTER(TASKS_STARTRX) = 1;
    }
    if (REGISTER(EVENTS_ERROR) != 0) {
        REGISTER(EVENTS_ERROR) = 0;
        const uint32_t errors = REGISTER(ERRORSRC);
        REGISTER(ERRORSRC) = errors; /* writing them clears them */
        if ((errors & ERRORSRC_OVERRUN) != 0) {
            receive_ring_count_loss();
        }
    }
}
