/* STM32H743: the core at 400 MHz on PLL1, buses at 200, peripherals at 100.
 *
 * Registers of RM0433, sections PWR, FLASH and RCC. 400 MHz is what voltage scale 1 bears;
 * scale 0, for 480, would be one more way to fail at start. */
#include "board_config.h"
#include "ports/port.h"
#include "ports/registers.h"

#define PWR_CSR1 0x58024804u
#define PWR_CR3 0x5802480Cu
#define PWR_D3CR 0x58024818u
#define FLASH_ACR 0x52002000u
#define RCC_CR 0x58024400u
#define RCC_CFGR 0x58024410u
#define RCC_D1CFGR 0x58024418u
#define RCC_D2CFGR 0x5802441Cu
#define RCC_D3CFGR 0x58024420u
#define RCC_PLLCKSELR 0x58024428u
#define RCC_PLLCFGR 0x5802442Cu
#define RCC_PLL1DIVR 0x58024430u

#define CR3_SUPPLY 7u /* SCUEN, LDOEN, BYPASS: counts once after power-on */
#define CR3_LDOEN (1u << 1)
#define CSR1_ACTVOSRDY (1u << 13)
#define D3CR_VOS_1 (3u << 14)
#define D3CR_VOSRDY (1u << 13)

#define ACR_FIELDS 0x3Fu /* LATENCY 3:0, WRHIGHFREQ 5:4 */
#define ACR_200_MHZ (2u | 2u << 4) /* table "FLASH recommended number of wait states", scale 1 */

#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_HSEBYP (1u << 18)
#define CR_PLL1ON (1u << 24)
#define CR_PLL1RDY (1u << 25)

#define PLLCKSELR_PLLSRC_HSE 2u
#define PLLCKSELR_PLLSRC_AND_DIVM1 0x3F3u
#define PLLCFGR_PLL1 0x7000Fu /* DIVR1EN, DIVQ1EN, DIVP1EN, PLL1RGE, PLL1VCOSEL, PLL1FRACEN */
#define PLLCFGR_DIVP1EN (1u << 16)
#define PLLCFGR_PLL1RGE_2_4_MHZ (1u << 2) /* and PLL1VCOSEL 0: VCO of 192 to 836 MHz */

#define D1CFGR_HPRE_2 8u
#define D1CFGR_D1PPRE_2 (4u << 4)
#define D2CFGR_D2PPRE1_2 (4u << 4)
#define D2CFGR_D2PPRE2_2 (4u << 8)
#define D3CFGR_D3PPRE_2 (4u << 4)

#define CFGR_SW 7u
#define CFGR_SW_PLL1 3u
#define CFGR_SWS (7u << 3)
#define CFGR_SWS_PLL1 (3u << 3)

#define PLL_REFERENCE_HZ (BOARD_PLL_INPUT_HZ / BOARD_PLL_DIVIDE)

_Static_assert(BOARD_PLL_SOURCE != BOARD_PLL_INTERNAL, "written for HSE alone");
_Static_assert(PLL_REFERENCE_HZ >= 2000000u && PLL_REFERENCE_HZ <= 4000000u, "PLL1RGE");
_Static_assert(BOARD_TICK_HZ <= 400000000u, "more needs voltage scale 0");
_Static_assert(BOARD_PLL_MULTIPLY >= 4u && BOARD_PLL_MULTIPLY <= 512u, "DIVN1");
_Static_assert(BOARD_PLL_POST_DIVIDE % 2u == 0u && BOARD_PLL_POST_DIVIDE <= 128u, "DIVP1");

void clocks_init(void)
{
    register_replace(PWR_CR3, CR3_SUPPLY, CR3_LDOEN);
    (void)register_wait(PWR_CSR1, CSR1_ACTVOSRDY, CSR1_ACTVOSRDY);
    REGISTER(PWR_D3CR) |= D3CR_VOS_1;
    (void)register_wait(PWR_D3CR, D3CR_VOSRDY, D3CR_VOSRDY);

    const uint32_t bypass = BOARD_PLL_SOURCE == BOARD_PLL_EXTERNAL ? CR_HSEBYP : 0u;
    REGISTER(RCC_CR) |= bypass;
    REGISTER(RCC_CR) |= CR_HSEON;
    (void)register_wait(RCC_CR, CR_HSERDY, CR_HSERDY);

    register_replace(RCC_PLLCKSELR, PLLCKSELR_PLLSRC_AND_DIVM1,
                     PLLCKSELR_PLLSRC_HSE | BOARD_PLL_DIVIDE << 4);
    register_replace(RCC_PLLCFGR, PLLCFGR_PLL1, PLLCFGR_DIVP1EN | PLLCFGR_PLL1RGE_2_4_MHZ);
    /* DIVQ1 and DIVR1 feed nothing; 1 is a legal value that they may hold. */
    REGISTER(RCC_PLL1DIVR) = (BOARD_PLL_MULTIPLY - 1u) | (BOARD_PLL_POST_DIVIDE - 1u) << 9 |
                             1u << 16 | 1u << 24;
    REGISTER(RCC_CR) |= CR_PLL1ON;
    (void)register_wait(RCC_CR, CR_PLL1RDY, CR_PLL1RDY);

    /* Buses and flash must be slow enough before the core is fast. */
    REGISTER(RCC_D1CFGR) = D1CFGR_HPRE_2 | D1CFGR_D1PPRE_2;
    REGISTER(RCC_D2CFGR) = D2CFGR_D2PPRE1_2 | D2CFGR_D2PPRE2_2;
    REGISTER(RCC_D3CFGR) = D3CFGR_D3PPRE_2;
    register_replace(FLASH_ACR, ACR_FIELDS, ACR_200_MHZ);
    (void)register_wait(FLASH_ACR, ACR_FIELDS, ACR_200_MHZ);
    register_replace(RCC_CFGR, CFGR_SW, CFGR_SW_PLL1);
    (void)register_wait(RCC_CFGR, CFGR_SWS, CFGR_SWS_PLL1);
}
