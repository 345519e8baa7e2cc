/* STM32: two pins of one port given to the UART. The GPIO registers are alike in all families
 * (RM0090, RM0390, RM0433, RM0456, section GPIO). */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define MODER (BOARD_PINS_PORT + 0x00u)
#define OSPEEDR (BOARD_PINS_PORT + 0x08u)
#define PUPDR (BOARD_PINS_PORT + 0x0Cu)
#define AFRL (BOARD_PINS_PORT + 0x20u) /* pins 0 to 7; AFRH, pins 8 to 15, behind it */

#define ALTERNATE_FUNCTION 2u
#define MEDIUM_SPEED 1u
#define PULL_UP 1u

static void give_away(uint32_t pin)
{
    const uint32_t two_bits = 2u * pin;
    const uint32_t four_bits = 4u * (pin % 8u);
    register_replace(AFRL + 4u * (pin / 8u), 0xFu << four_bits,
                     BOARD_PINS_FUNCTION << four_bits);
    register_replace(OSPEEDR, 3u << two_bits, MEDIUM_SPEED << two_bits);
    /* An open line must read as idle, not as noise. */
    register_replace(PUPDR, 3u << two_bits, PULL_UP << two_bits);
    register_replace(MODER, 3u << two_bits, ALTERNATE_FUNCTION << two_bits);
}

void pins_init(void)
{
    REGISTER(BOARD_PINS_ENABLE_REGISTER) |= 1u << BOARD_PINS_ENABLE_BIT;
    (void)REGISTER(BOARD_PINS_ENABLE_REGISTER); /* the clock is there once this has been read */
    give_away(BOARD_PINS_TRANSMIT);
    give_away(BOARD_PINS_RECEIVE);
}
