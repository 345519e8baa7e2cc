/* From reset to main(), and what to do with a fault. */
#include "board_config.h"
#include "ports/port.h"

extern uint32_t __stack_bottom[];
extern uint32_t __stack_top[];
extern uint32_t __data_start[];
extern uint32_t __data_end[];
extern const uint32_t __data_load[];
extern uint32_t __bss_start[];
extern uint32_t __bss_end[];

#define VECTOR_TABLE_OFFSET (*(volatile uint32_t *)0xE000ED08u)
#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xE000ED88u)

int main(void);
void app_fault(uint32_t address); /* the application's last words */
void reset_handler(void);
void fault_handler(void);
void prepare_core(void);
void start(void);
void nothing_to_do(void);
void report_fault(const uint32_t *stacked);

typedef void (*handler_t)(void);

/* For the boards that run as they come out of reset. */
void nothing_to_do(void)
{
}
void clocks_init(void) __attribute__((weak, alias("nothing_to_do")));
void caches_init(void) __attribute__((weak, alias("nothing_to_do")));
void pins_init(void) __attribute__((weak, alias("nothing_to_do")));

/* Handlers that nobody enabled are left 0: calling one is a fault of its own. */
typedef struct {
    const void *initial_stack;
    handler_t reset;
    handler_t faults[5]; /* NMI, hard, memory, bus, usage */
    handler_t reserved[4];
    handler_t supervisor_call;
    handler_t debug;
    handler_t reserved_too;
    handler_t pended_call;
    handler_t systick;
    handler_t interrupts[BOARD_UART_INTERRUPT + 1u];
} vector_table_t;

extern const vector_table_t vector_table;

/* Sets the stack pointer itself: a debugger that loads the image may not. */
__attribute__((naked)) void reset_handler(void)
{
    __asm__ volatile("ldr r0, =__stack_top\n"
                     "mov sp, r0\n"
                     "bl prepare_core\n"
                     "b start\n");
}

/* Apart from start(), as compiled code may use the FPU or Helium from the first
 * instruction of a function on. */
__attribute__((used)) void prepare_core(void)
{
    VECTOR_TABLE_OFFSET = (uint32_t)(uintptr_t)&vector_table; /* a boot loader has its own */
    COPROCESSOR_ACCESS |= 0xFu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
}

__attribute__((used, noreturn)) void start(void)
{
    clocks_init(); /* first, so that the rest is fast */
    caches_init();
    const uint32_t *source = __data_load;
    for (uint32_t *word = __data_start; word < __data_end; word++) {
        *word = *source++;
    }
    for (uint32_t *word = __bss_start; word < __bss_end; word++) {
        *word = 0;
    }
    stack_paint();
    pins_init();
    (void)main();
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* Starts over at the top of the stack: the old stack may be what overflowed. */
__attribute__((naked)) void fault_handler(void)
{
    __asm__ volatile("mov r0, sp\n"
                     "ldr r1, =__stack_top\n"
                     "mov sp, r1\n"
                     "b report_fault\n");
}

__attribute__((used, noreturn)) void report_fault(const uint32_t *stacked)
{
    enum { STACKED_PC = 6, STACKED_WORDS = 8 };
    const bool readable = stacked >= __stack_bottom && stacked + STACKED_WORDS <= __stack_top;
    app_fault(readable ? stacked[STACKED_PC] : 0u);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

__attribute__((section(".vectors"), used)) const vector_table_t vector_table = {
    .initial_stack = __stack_top,
    .reset = reset_handler,
    .faults = {fault_handler, fault_handler, fault_handler, fault_handler, fault_handler},
    .systick = clock_interrupt,
    .interrupts = {[BOARD_UART_INTERRUPT] = uart_interrupt},
};
