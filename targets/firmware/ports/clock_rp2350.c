/* RP2350: the core and the UART on PLL_SYS, fed by the crystal; and out of reset what we use.
 *
 * Registers of the RP2350 datasheet, sections "Subsystem resets", "Crystal oscillator (XOSC)",
 * "PLL" and "Clocks". The flash stays in the mode that the boot ROM found for it. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define RESETS_RESET 0x40020000u
#define RESETS_RESET_DONE 0x40020008u
#define XOSC_CTRL 0x40048000u
#define XOSC_STATUS 0x40048004u
#define XOSC_STARTUP 0x4004800Cu
#define PLL_SYS_CS 0x40050000u
#define PLL_SYS_PWR 0x40050004u
#define PLL_SYS_FBDIV_INT 0x40050008u
#define PLL_SYS_PRIM 0x4005000Cu
#define CLK_REF_CTRL 0x40010030u
#define CLK_REF_SELECTED 0x40010038u
#define CLK_SYS_CTRL 0x4001003Cu
#define CLK_SYS_SELECTED 0x40010044u
#define CLK_PERI_CTRL 0x40010048u

#define RESET_IO_BANK0 (1u << 6)
#define RESET_PADS_BANK0 (1u << 9)
#define RESET_PLL_SYS (1u << 14)
#define RESET_UART0 (1u << 26)
#define RESET_UART1 (1u << 27)

#define XOSC_1_15_MHZ 0xAA0u
#define XOSC_ENABLE (0xFABu << 12)
#define XOSC_STABLE (1u << 31)
#define STARTUP_DELAY (BOARD_PLL_INPUT_HZ / 1000u / 256u * 6u) /* 256 periods each: 6 ms */

#define PLL_LOCK (1u << 31)
#define PLL_PD (1u << 0)
#define PLL_POSTDIVPD (1u << 3)
#define PLL_VCOPD (1u << 5)
#define POSTDIV1 5u
#define POSTDIV2 (BOARD_PLL_POST_DIVIDE / POSTDIV1)

#define REF_SRC_XOSC 2u
#define SYS_SRC_AUX 1u /* AUXSRC, bits 7:5, is 0 after reset: PLL_SYS */
#define PERI_ENABLE (1u << 11) /* AUXSRC 0: clk_sys */

_Static_assert(BOARD_PLL_SOURCE == BOARD_PLL_CRYSTAL, "written for XOSC alone");
_Static_assert(BOARD_PLL_INPUT_HZ <= 15000000u, "FREQ_RANGE");
_Static_assert(BOARD_PLL_DIVIDE >= 1u && BOARD_PLL_DIVIDE <= 63u, "REFDIV");
_Static_assert(BOARD_PLL_MULTIPLY >= 16u && BOARD_PLL_MULTIPLY <= 320u, "FBDIV");
_Static_assert(BOARD_PLL_POST_DIVIDE == POSTDIV1 * POSTDIV2 && POSTDIV2 >= 1u && POSTDIV2 <= 7u,
               "two dividers, the first of 5");

static void release(uint32_t units)
{
    REGISTER(RESETS_RESET) &= ~units;
    (void)register_wait(RESETS_RESET_DONE, units, units);
}

void clocks_init(void)
{
    REGISTER(XOSC_STARTUP) = STARTUP_DELAY;
    REGISTER(XOSC_CTRL) = XOSC_ENABLE | XOSC_1_15_MHZ;
    (void)register_wait(XOSC_STATUS, XOSC_STABLE, XOSC_STABLE);

    /* A debugger that starts the image again finds the core on this PLL. */
    REGISTER(CLK_SYS_CTRL) &= ~SYS_SRC_AUX;
    (void)register_wait(CLK_SYS_SELECTED, 3u, 1u);
    REGISTER(CLK_REF_CTRL) = REF_SRC_XOSC;
    (void)register_wait(CLK_REF_SELECTED, 0xFu, 1u << REF_SRC_XOSC);

    REGISTER(RESETS_RESET) |= RESET_PLL_SYS;
    release(RESET_PLL_SYS);
    REGISTER(PLL_SYS_CS) = BOARD_PLL_DIVIDE;
    REGISTER(PLL_SYS_FBDIV_INT) = BOARD_PLL_MULTIPLY;
    REGISTER(PLL_SYS_PWR) &= ~(PLL_PD | PLL_VCOPD);
    (void)register_wait(PLL_SYS_CS, PLL_LOCK, PLL_LOCK);
    REGISTER(PLL_SYS_PRIM) = POSTDIV1 << 16 | POSTDIV2 << 12;
    REGISTER(PLL_SYS_PWR) &= ~PLL_POSTDIVPD;

    REGISTER(CLK_SYS_CTRL) = SYS_SRC_AUX;
    (void)register_wait(CLK_SYS_SELECTED, 3u, 2u);
    REGISTER(CLK_PERI_CTRL) = PERI_ENABLE;
    release(RESET_IO_BANK0 | RESET_PADS_BANK0 | RESET_UART0 | RESET_UART1);
}
