/* The enhancer behind a serial port: bytes in, replies out, asleep in between. */
#include "board_config.h"
#include "build_id.h"
#include "link/messages.h"
#include "link/session.h"
#include "ports/port.h"
#include "sluice.h"
#include "sluice_model.h"

/* Absolute symbols of the linker script: their address is the value. */
extern const uint8_t __flash_bytes[];
extern const uint8_t __ram_bytes[];

/* The longest message: a hop's counters, probes, gates and samples. */
_Static_assert(20 + 4 * SLUICE_PROBES + SLUICE_BLOCKS * ((SLUICE_GATES + 7) / 8) +
                       2 * SLUICE_HOP <= LINK_MAX_PAYLOAD,
               "raise LINK_MAX_PAYLOAD: the model's hops do not fit the link");

void app_fault(uint32_t address);

static _Alignas(16) uint8_t arena[SLUICE_ARENA_BYTES];
static sluice_t enhancer;
static link_device_t device = {
    .board = BOARD_NAME,
    .build_id = BUILD_ID,
    .counter_kind = BOARD_COUNTER_KIND,
    .counter_shift = BOARD_COUNTER_SHIFT,
    .counter_hz = BOARD_TICK_HZ,
    .stack_bytes = BOARD_STACK_BYTES,
    .write = uart_write,
    .work_begins = clock_start,
    .work_ends = clock_stop,
    .stack_used = stack_used,
    .overruns = receive_ring_lost,
};
static link_session_t session;

void app_fault(uint32_t address)
{
    link_report_fault(uart_write, address);
}

int main(void)
{
    uart_init();
    if (clock_init()) {
        device.counter_shift = LINK_CYCLES_DWT;
    }
    device.flash_bytes = (uint32_t)(uintptr_t)__flash_bytes;
    device.ram_bytes = (uint32_t)(uintptr_t)__ram_bytes;
    if (sluice_init(&enhancer, &sluice_model, arena, sizeof arena) < 0 ||
        sluice_set_clock(&enhancer, clock_ticks) < 0 ||
        link_session_init(&session, &device, &enhancer, &sluice_model) < 0) {
        app_fault((uint32_t)(uintptr_t)main); /* the build gave an arena that does not fit */
        return 1;
    }
    for (;;) {
        uint8_t byte;
        while (receive_ring_get(&byte)) {
            link_session_feed(&session, byte);
        }
        receive_ring_wait();
    }
}
