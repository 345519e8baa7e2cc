/* nRF: the levels of the UART's pins while it does not drive them (nRF5340 Product
 * Specification, sections GPIO and UARTE, "Pin configuration"). Which pins they are, the
 * UARTE is told by its own registers. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define OUTSET (BOARD_PINS_PORT + 0x008u)
#define DIRSET (BOARD_PINS_PORT + 0x018u)
#define PIN_CNF(pin) (BOARD_PINS_PORT + 0x200u + 4u * (pin))
#define PULL_UP (3u << 2) /* and bit 1, INPUT, 0: connected */

void pins_init(void)
{
    REGISTER(OUTSET) = 1u << BOARD_PINS_TRANSMIT; /* the line is idle when high */
    REGISTER(DIRSET) = 1u << BOARD_PINS_TRANSMIT;
    REGISTER(PIN_CNF(BOARD_PINS_RECEIVE)) = PULL_UP;
}
