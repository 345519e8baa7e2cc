/* What the drivers share: memory-mapped registers, bounded waits, the interrupt controller. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

/* The register at an address: REGISTER(0x40023800u) |= 1u. Tests bring their own. */
#ifndef REGISTER
#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
/* What was written before is in memory for others than the core to see. */
#define REGISTER_BARRIER() __asm__ volatile("dsb" ::: "memory")
#endif

/* Rounds that no oscillator or PLL of these chips outlasts (they need a few ms), at any
 * clock they start with. An emulator without the unit reads 0 for ever. */
#define REGISTER_PATIENCE 200000u

/* Wait until the bits of `mask` read `value`; false if they never do. */
static inline bool register_wait(uint32_t address, uint32_t mask, uint32_t value)
{
    for (uint32_t i = 0; i < REGISTER_PATIENCE; i++) {
        if ((REGISTER(address) & mask) == value) {
            return true;
        }
    }
    return false;
}

/* Put `value` in the place of the bits of `mask`. */
static inline void register_replace(uint32_t address, uint32_t mask, uint32_t value)
{
    REGISTER(address) = (REGISTER(address) & ~mask) | value;
}

/* NVIC_ISER: let an interrupt of the chip reach the core. */
static inline void interrupt_enable(uint32_t number)
{
    REGISTER(0xE000E100u + 4u * (number / 32u)) = 1u << (number % 32u);
}

#endif
