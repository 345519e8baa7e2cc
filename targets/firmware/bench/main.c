/* Runs the cases that lie in the board's spare memory, and sends the results over
 * the serial port as they are in memory. The build says where: BENCH_FILE. */
#include "bench/cases.h"
#include "board_config.h"
#include "ports/port.h"

void app_fault(uint32_t address);

static bench_memory_t memory;

static void report(const bench_result_t *result)
{
    uart_write((const uint8_t *)result, sizeof *result);
}

/* A result that no case has: all bytes wrong, and the faulting address. */
void app_fault(uint32_t address)
{
    const bench_result_t fault = {.wrong = UINT32_MAX, .found = address};
    report(&fault);
}

int main(void)
{
    static const bench_host_t host = {clock_start, clock_ticks, report};
    uart_init();
    const int32_t status = bench_run((const void *)BENCH_FILE, &memory, &host);
    if (status < 0) {
        app_fault((uint32_t)status);
    }
    return status < 0;
}
