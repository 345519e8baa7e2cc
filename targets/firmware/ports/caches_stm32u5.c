/* STM32U5: ICACHE, between the core and the flash (RM0456, section ICACHE). The data cache
 * of this chip, DCACHE1, is for external memory. */
#include "ports/port.h"
#include "ports/registers.h"

#define ICACHE_CR 0x40030400u
#define ICACHE_SR 0x40030404u
#define CR_EN (1u << 0)
#define SR_BUSYF (1u << 0)

void caches_init(void)
{
    (void)register_wait(ICACHE_SR, SR_BUSYF, 0u); /* it invalidates itself at reset */
    REGISTER(ICACHE_CR) |= CR_EN;
}
