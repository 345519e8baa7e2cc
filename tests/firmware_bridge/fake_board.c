/* The firmware's link around the fake enhancer, with memory for a wire. */
#include "fake_board.h"

#include <string.h>

#include "fake_enhancer.h"
#include "link/cobs.h"
#include "link/messages.h"
#include "link/session.h"

#define BOARD_BUILD_ID \
    {0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf}

uint32_t board_clocked;

static uint8_t wire[1 << 20];
static size_t wire_count;
static sluice_t enhancer;
static link_session_t session;
static link_receiver_t receiver; /* beside the session, for tests of frames alone */

static void wire_write(const uint8_t *bytes, size_t count)
{
    memcpy(wire + wire_count, bytes, count);
    wire_count += count;
}

static void work_begins(void)
{
    board_clocked++;
}

static void work_ends(void)
{
    board_clocked++;
}

static uint32_t stack_used(void)
{
    return 0x321;
}

static uint32_t overruns(void)
{
    return 3;
}

static const link_device_t device = {
    .board = "fake-board",
    .build_id = BOARD_BUILD_ID,
    .counter_kind = LINK_COUNTER_INSTRUCTIONS,
    .counter_shift = 7,
    .counter_hz = 25000000,
    .flash_bytes = 0x4444,
    .ram_bytes = 0x5555,
    .stack_bytes = 0x6666,
    .write = wire_write,
    .work_begins = work_begins,
    .work_ends = work_ends,
    .stack_used = stack_used,
    .overruns = overruns,
};

void board_power_on(void)
{
    wire_count = 0;
    enhancer = (sluice_t){.model = &fake_model};
    fake_forget();
    (void)sluice_reset(&enhancer);
    (void)link_session_init(&session, &device, &enhancer, &fake_model);
}

void board_feed(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        link_session_feed(&session, bytes[i]);
    }
}

void board_fault(uint32_t address)
{
    link_report_fault(wire_write, address);
}

void board_write_cobs(const uint8_t *bytes, size_t count)
{
    link_cobs_write(bytes, count, wire_write);
}

int board_receive(uint8_t byte, const uint8_t **bytes, size_t *count)
{
    const link_event_t event = link_receiver_feed(&receiver, byte);
    *bytes = receiver.bytes;
    *count = receiver.count;
    return event;
}

size_t board_take(const uint8_t **bytes)
{
    const size_t count = wire_count;
    *bytes = wire;
    wire_count = 0;
    return count;
}
