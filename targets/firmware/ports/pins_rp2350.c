/* RP2350: two pins of bank 0 given to the UART (datasheet, section GPIO, "IO User Bank" and
 * "Pad Control - User Bank"). */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define IO_CTRL(pin) (0x40028004u + 8u * (pin))
#define PAD(pin) (0x40038004u + 4u * (pin))

#define PAD_SCHMITT (1u << 1)
#define PAD_PULL_UP (1u << 3)
#define PAD_DRIVE_4_MA (1u << 4)
#define PAD_INPUT (1u << 6) /* and bit 8, ISO, 0: pads are isolated after reset */

static void give_away(uint32_t pin, uint32_t pad)
{
    REGISTER(IO_CTRL(pin)) = BOARD_PINS_FUNCTION;
    REGISTER(PAD(pin)) = pad;
}

void pins_init(void)
{
    give_away(BOARD_PINS_TRANSMIT, PAD_DRIVE_4_MA);
    give_away(BOARD_PINS_RECEIVE, PAD_INPUT | PAD_SCHMITT | PAD_PULL_UP | PAD_DRIVE_4_MA);
}
