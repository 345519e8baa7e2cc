#include "ports/port.h"

#include "link/link_config.h"

/* One more than the credit the host is given: a full ring is not an empty one. */
#define RING_BYTES (LINK_RECEIVE_BYTES + 1)

/* The handler alone moves `head`, the main loop alone moves `tail`. */
static volatile uint8_t ring[RING_BYTES];
static volatile uint32_t head;
static volatile uint32_t tail;
static volatile uint32_t lost;

static uint32_t after(uint32_t index)
{
    return index + 1u == RING_BYTES ? 0u : index + 1u;
}

void receive_ring_put(uint8_t byte)
{
    const uint32_t next = after(head);
    if (next == tail) {
        lost++;
        return;
    }
    ring[head] = byte;
    head = next;
}

void receive_ring_count_loss(void)
{
    lost++;
}

bool receive_ring_get(uint8_t *byte)
{
    const uint32_t at = tail;
    if (at == head) {
        return false;
    }
    *byte = ring[at];
    tail = after(at);
    return true;
}

void receive_ring_wait(void)
{
    /* Masked, so that no byte slips in between the test and the sleep; an
     * interrupt that is pending wakes the core all the same. */
    __asm__ volatile("cpsid i" ::: "memory");
    if (head == tail) {
        __asm__ volatile("dsb\n wfi" ::: "memory");
    }
    __asm__ volatile("cpsie i" ::: "memory");
}

uint32_t receive_ring_lost(void)
{
    return lost;
}
