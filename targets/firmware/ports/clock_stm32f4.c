/* STM32F405 and F446: the core on the PLL, up to 168 MHz without overdrive.
 *
 * Registers of RM0090 (F405) and RM0390 (F446), sections RCC, FLASH and PWR. PWR_CR.VOS is at
 * scale 1 after reset, which is what 168 MHz needs. APB1 runs at a quarter of the core's
 * clock, APB2 at half of it: at 168 MHz their limits of 42 (F446: 45) and 84 (90) MHz. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define FLASH_ACR 0x40023C00u

#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_HSEBYP (1u << 18) /* HSE is a clock that is fed in, not a crystal */
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)

#define PLLCFGR_KEPT (0xFu << 28) /* F446: PLLR, of other outputs; F405: reserved */
#define PLLCFGR_PLLSRC_HSE (1u << 22)
#define PLLQ 7u /* 48 MHz of a VCO at 336, for USB; may not be below 2 */

#define CFGR_SW_PLL 2u
#define CFGR_SWS (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define CFGR_PPRE1_4 (5u << 10)
#define CFGR_PPRE2_2 (4u << 13)

#define ACR_LATENCY_5 5u /* 150 to 168 MHz at 2.7 to 3.6 V; 180 MHz needs no more */
#define ACR_PRFTEN (1u << 8)
#define ACR_ICEN (1u << 9)
#define ACR_DCEN (1u << 10)

_Static_assert(BOARD_PLL_SOURCE != BOARD_PLL_INTERNAL, "written for HSE alone");
_Static_assert(BOARD_TICK_HZ <= 168000000u, "more needs the overdrive, which F405 has not");
_Static_assert(BOARD_PLL_DIVIDE >= 2u && BOARD_PLL_DIVIDE <= 63u, "PLLM");
_Static_assert(BOARD_PLL_MULTIPLY >= 50u && BOARD_PLL_MULTIPLY <= 432u, "PLLN");
_Static_assert(BOARD_PLL_POST_DIVIDE % 2u == 0u && BOARD_PLL_POST_DIVIDE <= 8u, "PLLP");

void clocks_init(void)
{
    /* Where a clock does not come, the core stays on its own oscillator. */
    const uint32_t bypass = BOARD_PLL_SOURCE == BOARD_PLL_EXTERNAL ? CR_HSEBYP : 0u;
    REGISTER(RCC_CR) |= bypass;
    REGISTER(RCC_CR) |= CR_HSEON;
    (void)register_wait(RCC_CR, CR_HSERDY, CR_HSERDY);

    register_replace(RCC_PLLCFGR, ~PLLCFGR_KEPT,
                     BOARD_PLL_DIVIDE | BOARD_PLL_MULTIPLY << 6 |
                         (BOARD_PLL_POST_DIVIDE / 2u - 1u) << 16 | PLLCFGR_PLLSRC_HSE |
                         PLLQ << 24);
    REGISTER(RCC_CR) |= CR_PLLON;
    (void)register_wait(RCC_CR, CR_PLLRDY, CR_PLLRDY);

    /* The flash must be slow enough before the core is fast. */
    REGISTER(FLASH_ACR) = ACR_LATENCY_5 | ACR_PRFTEN | ACR_ICEN | ACR_DCEN;
    REGISTER(RCC_CFGR) = CFGR_PPRE1_4 | CFGR_PPRE2_2 | CFGR_SW_PLL;
    (void)register_wait(RCC_CFGR, CFGR_SWS, CFGR_SWS_PLL);
}
