/* STM32U575: the core and all buses at 160 MHz on PLL1, fed by HSI16.
 *
 * Registers of RM0456, sections PWR, FLASH and RCC, through their non-secure addresses: the
 * chip leaves the factory with TrustZone off. The order is that of "RCC: use of the PLL with
 * EPOD booster": above 55 MHz the booster must run, from the PLL's input of 4 to 16 MHz. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define PWR_VOSR 0x4602080Cu
#define FLASH_ACR 0x40022000u
#define RCC_CR 0x46020C00u
#define RCC_CFGR1 0x46020C1Cu
#define RCC_CFGR2 0x46020C20u
#define RCC_PLL1CFGR 0x46020C28u
#define RCC_PLL1DIVR 0x46020C34u
#define RCC_AHB3ENR 0x46020C94u

#define AHB3ENR_PWREN (1u << 2)
#define VOSR_BOOSTRDY (1u << 14)
#define VOSR_VOSRDY (1u << 15)
#define VOSR_VOS_RANGE_1 (3u << 16)
#define VOSR_BOOSTEN (1u << 18)

#define CR_HSION (1u << 8)
#define CR_HSIRDY (1u << 10)
#define CR_PLL1ON (1u << 24)
#define CR_PLL1RDY (1u << 25)

#define PLL1CFGR_PLL1SRC_HSI16 2u
#define PLL1CFGR_PLL1RGE_8_16_MHZ (3u << 2)
#define PLL1CFGR_PLL1REN (1u << 18) /* PLL1MBOOST, bits 15:12, stays 0: divided by 1 */

#define ACR_LATENCY 0xFu
#define ACR_LATENCY_4 4u /* 160 MHz in range 1 */
#define ACR_PRFTEN (1u << 8)

#define CFGR1_SW 3u
#define CFGR1_SW_PLL1 3u
#define CFGR1_SWS (3u << 2)
#define CFGR1_SWS_PLL1 (3u << 2)
#define CFGR2_HPRE 0xFu
#define CFGR2_HPRE_2 8u
#define SETTLING_ROUNDS 400u /* well over the 1 us that the step to full speed asks for */

#define PLL_REFERENCE_HZ (BOARD_PLL_INPUT_HZ / BOARD_PLL_DIVIDE)

_Static_assert(BOARD_PLL_SOURCE == BOARD_PLL_INTERNAL, "written for HSI16 alone");
_Static_assert(BOARD_PLL_INPUT_HZ == 16000000u, "HSI16");
_Static_assert(PLL_REFERENCE_HZ >= 8000000u && PLL_REFERENCE_HZ <= 16000000u, "PLL1RGE");
_Static_assert(BOARD_TICK_HZ <= 160000000u, "the chip's limit");
_Static_assert(BOARD_PLL_MULTIPLY >= 4u && BOARD_PLL_MULTIPLY <= 512u, "PLL1N");
_Static_assert(BOARD_PLL_POST_DIVIDE >= 1u && BOARD_PLL_POST_DIVIDE <= 128u, "PLL1R");

void clocks_init(void)
{
    REGISTER(RCC_AHB3ENR) |= AHB3ENR_PWREN;
    (void)REGISTER(RCC_AHB3ENR); /* the clock is there once this has been read */
    REGISTER(RCC_CR) |= CR_HSION;
    (void)register_wait(RCC_CR, CR_HSIRDY, CR_HSIRDY);

    REGISTER(RCC_PLL1CFGR) = PLL1CFGR_PLL1SRC_HSI16 | PLL1CFGR_PLL1RGE_8_16_MHZ |
                             (BOARD_PLL_DIVIDE - 1u) << 8 | PLL1CFGR_PLL1REN;
    REGISTER(PWR_VOSR) |= VOSR_VOS_RANGE_1;
    (void)register_wait(PWR_VOSR, VOSR_VOSRDY, VOSR_VOSRDY);
    REGISTER(PWR_VOSR) |= VOSR_BOOSTEN;
    (void)register_wait(PWR_VOSR, VOSR_BOOSTRDY, VOSR_BOOSTRDY);

    /* DIVP and DIVQ are off; 1 is a legal value that they may hold. */
    REGISTER(RCC_PLL1DIVR) = (BOARD_PLL_MULTIPLY - 1u) | 1u << 9 | 1u << 16 |
                             (BOARD_PLL_POST_DIVIDE - 1u) << 24;
    REGISTER(RCC_CR) |= CR_PLL1ON;
    (void)register_wait(RCC_CR, CR_PLL1RDY, CR_PLL1RDY);

    register_replace(FLASH_ACR, ACR_LATENCY, ACR_LATENCY_4 | ACR_PRFTEN);
    (void)register_wait(FLASH_ACR, ACR_LATENCY, ACR_LATENCY_4);
    /* By way of half the speed: a step of more than 80 MHz at once is too steep. */
    register_replace(RCC_CFGR2, CFGR2_HPRE, CFGR2_HPRE_2);
    register_replace(RCC_CFGR1, CFGR1_SW, CFGR1_SW_PLL1);
    (void)register_wait(RCC_CFGR1, CFGR1_SWS, CFGR1_SWS_PLL1);
    for (uint32_t i = 0; i < SETTLING_ROUNDS; i++) {
        __asm__ volatile("nop");
    }
    register_replace(RCC_CFGR2, CFGR2_HPRE, 0u);
}
