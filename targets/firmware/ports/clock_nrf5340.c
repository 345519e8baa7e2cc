/* nRF5340, application core: 128 MHz on the crystal, with the chip's factory trims.
 *
 * Registers of the nRF5340 Product Specification, sections CLOCK and FICR, through their
 * secure addresses: the core starts in secure state. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define CLOCK_TASKS_HFCLKSTART 0x50005000u
#define CLOCK_EVENTS_HFCLKSTARTED 0x50005100u
#define CLOCK_HFCLKCTRL 0x50005558u
#define HFCLKCTRL_DIV1 0u /* after reset 1: 64 MHz */

#define FICR_TRIMCNF 0x00FF0300u /* pairs of address and value */
#define TRIMCNF_COUNT 32u
#define TRIMCNF_END 0xFFFFFFFFu

_Static_assert(BOARD_TICK_HZ == 128000000u, "the clock has no other divider in use");

void clocks_init(void)
{
    for (uint32_t i = 0; i < TRIMCNF_COUNT; i++) {
        const uint32_t address = REGISTER(FICR_TRIMCNF + 8u * i);
        if (address == TRIMCNF_END) {
            break;
        }
        REGISTER(address) = REGISTER(FICR_TRIMCNF + 8u * i + 4u);
    }
    REGISTER(CLOCK_EVENTS_HFCLKSTARTED) = 0u;
    REGISTER(CLOCK_TASKS_HFCLKSTART) = 1u; /* the crystal: baud and sample rate depend on it */
    (void)register_wait(CLOCK_EVENTS_HFCLKSTARTED, 1u, 1u);
    REGISTER(CLOCK_HFCLKCTRL) = HFCLKCTRL_DIV1;
}
