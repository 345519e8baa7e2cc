/* SysTick, 24 bits and counting down, made a counter of 32 bits counting up.
 *
 * The wrap is counted by an interrupt of a few instructions every 2^24 ticks. */
#include "ports/port.h"

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018u)

#define CONTROL_ENABLE (1u << 0)
#define CONTROL_INTERRUPT (1u << 1)
#define CONTROL_CORE_CLOCK (1u << 2)
#define LARGEST 0xffffffu

static volatile uint32_t wraps;

void clock_start(void)
{
    SYSTICK_CONTROL = 0;
    SYSTICK_RELOAD = LARGEST;
    wraps = 0;
    SYSTICK_VALUE = 0; /* any write clears it; the next tick reloads it */
    SYSTICK_CONTROL = CONTROL_CORE_CLOCK | CONTROL_INTERRUPT | CONTROL_ENABLE;
    while (SYSTICK_VALUE == 0) {
    }
}

void clock_stop(void)
{
    SYSTICK_CONTROL = 0;
}

uint32_t clock_ticks(void)
{
    uint32_t before;
    uint32_t value;
    do {
        before = wraps;
        /* The compiler must not move measured work across the reading. */
        __asm__ volatile("" ::: "memory");
        value = SYSTICK_VALUE;
        __asm__ volatile("" ::: "memory");
    } while (before != wraps);
    return (before << 24) + (LARGEST - value);
}

void clock_interrupt(void)
{
    wraps++;
}
