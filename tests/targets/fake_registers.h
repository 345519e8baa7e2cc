/* Registers for drivers that run on the host: given to the compiler before every source. */
#ifndef FAKE_REGISTERS_H
#define FAKE_REGISTERS_H

#include <stdint.h>

volatile uint32_t *fake_register(uint32_t address);

#define REGISTER(address) (*fake_register((uint32_t)(address)))
#define REGISTER_BARRIER() ((void)0)

#endif
