/* nRF5340, application core: the cache in front of the flash (Product Specification, CACHE). */
#include "ports/port.h"
#include "ports/registers.h"

#define CACHE_ENABLE 0x50001500u

void caches_init(void)
{
    REGISTER(CACHE_ENABLE) = 1u;
}
