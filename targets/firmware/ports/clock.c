/* A counter of 32 bits that counts up: the core's cycle counter, or SysTick.
 *
 * The DWT's CYCCNT has 32 bits and costs nothing while it runs, but a core may lack it, a
 * debugger may hold it, and an emulator reads 0: it is used where it is seen to advance.
 * SysTick has 24 bits and counts down; its wrap is counted by an interrupt of a few
 * instructions every 2^24 ticks. Where ticks stand for an emulator's instructions, it is
 * SysTick always: its rate is what they are computed from. */
#include "board_config.h"
#include "link/messages.h"
#include "ports/port.h"
#include "ports/registers.h"

#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)

#define CONTROL_ENABLE (1u << 0)
#define CONTROL_INTERRUPT (1u << 1)
#define CONTROL_CORE_CLOCK (1u << 2)
#define LARGEST 0xffffffu

/* Armv7-M and Armv8-M manuals (DDI 0403, DDI 0553), "Data Watchpoint and Trace". */
#define DEBUG_CONTROL REGISTER(0xE000EDFCu)
#define DEBUG_TRACE_ENABLE (1u << 24)
#define DWT_CONTROL REGISTER(0xE0001000u)
#define DWT_CYCLES REGISTER(0xE0001004u)
#define DWT_LOCK REGISTER(0xE0001FB0u)
#define DWT_UNLOCK 0xC5ACCE55u /* a Cortex-M7 comes locked; others ignore it */
#define DWT_COUNT_CYCLES (1u << 0)
#define PROBE_ROUNDS 64u

static const bool counts_cycles = BOARD_COUNTER_KIND == LINK_COUNTER_CYCLES;
static bool dwt;
static volatile uint32_t wraps;
static uint32_t cycles_at_start;

bool clock_init(void)
{
    if (!counts_cycles) {
        return false;
    }
    DEBUG_CONTROL |= DEBUG_TRACE_ENABLE;
    DWT_LOCK = DWT_UNLOCK;
    DWT_CONTROL |= DWT_COUNT_CYCLES;
    const uint32_t first = DWT_CYCLES;
    for (uint32_t i = 0; i < PROBE_ROUNDS && !dwt; i++) {
        dwt = DWT_CYCLES != first;
    }
    return dwt;
}

void clock_start(void)
{
    if (counts_cycles && dwt) {
        cycles_at_start = DWT_CYCLES;
        return;
    }
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
    if (counts_cycles && dwt) {
        return;
    }
    SYSTICK_CONTROL = 0;
}

/* The compiler must not move measured work across a reading. */
static void barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

uint32_t clock_ticks(void)
{
    uint32_t before;
    uint32_t value;
    if (counts_cycles && dwt) {
        barrier();
        value = DWT_CYCLES;
        barrier();
        return value - cycles_at_start;
    }
    do {
        before = wraps;
        barrier();
        value = SYSTICK_VALUE;
        barrier();
    } while (before != wraps);
    return (before << 24) + (LARGEST - value);
}

void clock_interrupt(void)
{
    wraps++;
}
