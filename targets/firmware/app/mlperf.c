/* The enhancer behind MLPerf Tiny's serial protocol, instead of our own (docs/mlperf.md). */
#include "board_config.h"
#include "build_id.h"
#include "mlperf/commands.h"
#include "ports/port.h"

void app_fault(uint32_t address);

static _Alignas(16) uint8_t arena[SLUICE_ARENA_BYTES];
static sluice_t enhancer;
static mlperf_t state;
static char build_id[2 * sizeof((const uint8_t[])BUILD_ID) + 1];

/* clock.c counts 32 bits since it was started: here they become one count of all commands. */
static uint64_t ticks;
static uint32_t last;

static uint64_t microseconds(void)
{
    const uint32_t now = clock_ticks();
    ticks += now - last;
    last = now;
    return ticks / BOARD_TICK_HZ * 1000000u + ticks % BOARD_TICK_HZ * 1000000u / BOARD_TICK_HZ;
}

static void say_error(const char *text)
{
    size_t count = 0;
    while (text[count] != '\0') {
        count++;
    }
    uart_write((const uint8_t *)text, count);
}

/* No m-ready follows: whatever waits for one runs into its own timeout. */
void app_fault(uint32_t address)
{
    char text[] = "e-[Fault at 0x00000000]\r\n";
    for (uint32_t i = 0; i < 8; i++) {
        text[21 - i] = "0123456789abcdef"[(address >> (4 * i)) & 15];
    }
    say_error(text);
}

static void write_build_id(void)
{
    static const uint8_t bytes[] = BUILD_ID;
    for (size_t i = 0; i < sizeof bytes; i++) {
        build_id[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        build_id[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

int main(void)
{
    static const mlperf_host_t host = {
        .enhancer = &enhancer,
        .name = "sluice-" BOARD_NAME,
        .build_id = build_id,
        .write = uart_write,
        .microseconds = microseconds,
        .lost = receive_ring_lost,
    };
    uart_init();
    (void)clock_init();
    write_build_id();
    if (sluice_init(&enhancer, &sluice_model, arena, sizeof arena) < 0) {
        app_fault((uint32_t)(uintptr_t)main); /* the build gave an arena that does not fit */
        return 1;
    }
    clock_start();
    mlperf_start(&state, &host);
    clock_stop();
    for (;;) {
        uint8_t byte;
        while (receive_ring_get(&byte)) {
            if (mlperf_feed(&state, byte)) {
                clock_start();
                last = 0;
                mlperf_execute(&state);
                (void)microseconds();
                clock_stop();
            }
        }
        receive_ring_wait();
    }
}
