/* Cortex-M7: instruction and data cache on (Arm DDI 0489, "Initializing and enabling the
 * caches"; registers of the Armv7-M manual, DDI 0403, B3.2 and B2.2).
 *
 * Nothing here uses DMA, so the core alone sees the memory and needs no cleaning of lines. */
#include "ports/port.h"
#include "ports/registers.h"

#define CCR 0xE000ED14u
#define CCSIDR 0xE000ED80u
#define CSSELR 0xE000ED84u
#define ICIALLU 0xE000EF50u
#define DCISW 0xE000EF60u

#define CCR_DC (1u << 16)
#define CCR_IC (1u << 17)
#define CSSELR_DATA_LEVEL_1 0u
#define WAY_SHIFT 30u /* 4 ways */
#define SET_SHIFT 5u  /* lines of 32 bytes */

static void barrier(void)
{
    __asm__ volatile("dsb\n isb" ::: "memory");
}

/* After reset the lines hold anything, and some of it may pass for valid. */
static void invalidate_data(void)
{
    REGISTER(CSSELR) = CSSELR_DATA_LEVEL_1;
    barrier();
    const uint32_t size = REGISTER(CCSIDR);
    const uint32_t last_set = size >> 13 & 0x7FFFu;
    const uint32_t last_way = size >> 3 & 0x3FFu;
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            REGISTER(DCISW) = way << WAY_SHIFT | set << SET_SHIFT;
        }
    }
    barrier();
}

void caches_init(void)
{
    /* A debugger that starts the image again finds them on, and lines not yet in memory. */
    if ((REGISTER(CCR) & CCR_DC) == 0) {
        invalidate_data();
        REGISTER(CCR) |= CCR_DC;
    }
    barrier();
    REGISTER(ICIALLU) = 0;
    barrier();
    REGISTER(CCR) |= CCR_IC;
    barrier();
}
