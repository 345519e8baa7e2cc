#include "ports/port.h"

#define PATTERN 0xC5C5C5C5u

/* Set by the linker script. The stack lies below the variables, so that one that
 * overflows leaves RAM and faults instead of overwriting them. */
extern uint32_t __stack_bottom[];
extern uint32_t __stack_top[];

void stack_paint(void)
{
    uint32_t *here = __builtin_frame_address(0);
    for (uint32_t *word = __stack_bottom; word < here - 16; word++) {
        *word = PATTERN;
    }
}

uint32_t stack_used(void)
{
    const uint32_t *word = __stack_bottom;
    while (word < __stack_top && *word == PATTERN) {
        word++;
    }
    return (uint32_t)((const uint8_t *)__stack_top - (const uint8_t *)word);
}
