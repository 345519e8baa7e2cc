/* A board's drivers on the host, against registers that keep what is written and whose ready
 * bits stay 0, and against a model of its UART, made from the manual's description.
 *
 * Sends and receives bytes, loses one, reads the counter; prints what went wrong, and at the
 * end every register with its value. Argument: how much CYCCNT advances when it is read. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board_config.h"
#include "ports/port.h"

enum { MODEL_stm32, MODEL_stm32_fifo, MODEL_pl011, MODEL_uarte };
enum { CELLS = 256, BYTES = 300 };

static struct {
    uint32_t address;
    volatile uint32_t value;
} cells[CELLS];
static uint32_t used, cycle_step;

static volatile uint32_t sent[BYTES + 1];
static uint8_t received[BYTES + 1];
static uint32_t sent_count, received_count, queued, arrived, lost;
static bool sending, overrun;

static volatile uint32_t *cell(uint32_t address)
{
    uint32_t i = 0;
    while (i < used && cells[i].address != address) {
        i++;
    }
    if (i == used) {
        if (used == CELLS) {
            abort();
        }
        cells[used++].address = address;
    }
    return &cells[i].value;
}

static volatile uint32_t *uart(uint32_t offset)
{
    return cell(BOARD_UART_BASE + offset);
}

static uint8_t pattern(uint32_t index)
{
    return (uint8_t)(index * 7u);
}

static uint8_t next_byte(void)
{
    queued--;
    return pattern(arrived++);
}

static volatile uint32_t *next_sent(void)
{
    if (sent_count > BYTES) {
        abort();
    }
    return &sent[sent_count++];
}

/* The DMA does what it was told by the last access. */
static void settle_uarte(void)
{
    if (*uart(0x500) != 8) {
        return;
    }
    if (*uart(0x008) != 0) {
        *uart(0x008) = 0;
        const uint8_t *from = (const uint8_t *)(uintptr_t)*uart(0x544);
        for (uint32_t i = 0; i < *uart(0x548); i++) {
            *next_sent() = from[i];
        }
        *uart(0x120) = 1;
    }
    if (*uart(0x000) != 0 && queued > 0) {
        *uart(0x000) = 0;
        *(volatile uint8_t *)(uintptr_t)*uart(0x534) = next_byte();
        *uart(0x110) = 1;
    }
    if (overrun) {
        overrun = false;
        *uart(0x124) = 1;
        *uart(0x480) = 1;
    }
}

static volatile uint32_t *uart_register(uint32_t offset, volatile uint32_t *found)
{
    if (BOARD_MODEL == MODEL_stm32) {
        if (offset == 0x00) {
            *found = 1u << 7 | (uint32_t)(queued > 0) << 5 | (uint32_t)overrun << 3;
        } else if (offset == 0x04 && sending) {
            return next_sent();
        } else if (offset == 0x04) {
            *found = queued > 0 ? next_byte() : 0u;
            overrun = false;
        }
    } else if (BOARD_MODEL == MODEL_stm32_fifo) {
        if (offset == 0x1C) {
            *found = 1u << 7 | (uint32_t)(queued > 0) << 5 | (uint32_t)overrun << 3;
        } else if (offset == 0x20) {
            overrun = false;
        } else if (offset == 0x24) {
            *found = next_byte();
        } else if (offset == 0x28) {
            return next_sent();
        }
    } else if (BOARD_MODEL == MODEL_pl011) {
        if (offset == 0x18) {
            *found = (uint32_t)(queued == 0) << 4;
        } else if (offset == 0x00 && sending) {
            return next_sent();
        } else if (offset == 0x00) {
            *found = next_byte() | (uint32_t)overrun << 11;
            overrun = false;
        }
    }
    return found;
}

volatile uint32_t *fake_register(uint32_t address)
{
    if (BOARD_MODEL == MODEL_uarte) {
        settle_uarte();
    }
    volatile uint32_t *found = cell(address);
    if (address == 0xE0001004u) {
        *found += cycle_step;
    } else if (address == 0xE000E018u) {
        *found = (*found - 1u) & 0xFFFFFFu;
    }
    return uart_register(address - BOARD_UART_BASE, found);
}

void receive_ring_put(uint8_t byte)
{
    if (received_count > BYTES) {
        abort();
    }
    received[received_count++] = byte;
}

void receive_ring_count_loss(void)
{
    lost++;
}

static int check(bool good, const char *what)
{
    if (!good) {
        printf("wrong: %s\n", what);
    }
    return !good;
}

static bool all_as_sent(void)
{
    bool same = sent_count == BYTES;
    for (uint32_t i = 0; i < BYTES; i++) {
        same = same && sent[i] == pattern(i);
    }
    return same;
}

static bool all_as_arrived(void)
{
    bool same = received_count == BYTES;
    for (uint32_t i = 0; i < BYTES; i++) {
        same = same && received[i] == pattern(i);
    }
    return same;
}

static void receive(uint32_t count)
{
    queued += count;
    for (uint32_t i = 0; i < 2 * BYTES && (queued > 0 || i < 2); i++) {
        uart_interrupt();
    }
}

int main(int count, char **arguments)
{
    int wrong = 0;
    uint8_t bytes[BYTES];
    for (uint32_t i = 0; i < BYTES; i++) {
        bytes[i] = pattern(i);
    }
    cycle_step = count > 1 ? (uint32_t)atoi(arguments[1]) : 0;

    clocks_init();
    pins_init();
    uart_init();

    sending = true;
    uart_write(bytes, BYTES);
    sending = false;
    wrong += check(all_as_sent(), "what was sent");

    receive(BYTES - 1);
    wrong += check(lost == 0, "a loss that was none");
    overrun = true;
    receive(1);
    wrong += check(all_as_arrived(), "what was received");
    wrong += check(lost == 1, "a loss that was not counted once");

    const bool dwt = clock_init();
    wrong += check(dwt == (cycle_step > 0), "the choice of the counter");
    clock_start();
    const uint32_t first = clock_ticks(), second = clock_ticks();
    wrong += check(second - first == (dwt ? cycle_step : 1u), "the count");
    wrong += check(first <= 2u * (dwt ? cycle_step : 1u), "the start of the count");

    for (uint32_t i = 0; i < used; i++) {
        printf("%08x %08x\n", cells[i].address, cells[i].value);
    }
    return wrong;
}
