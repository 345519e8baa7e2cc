#include "receiver.h"

#include "bytes.h"
#include "crc32.h"

void link_receiver_init(link_receiver_t *receiver)
{
    receiver->count = 0;
    receiver->remaining = 0;
    receiver->zero_due = false;
    receiver->started = false;
    receiver->overlong = false;
}

static void append(link_receiver_t *receiver, uint8_t byte)
{
    if (receiver->count < sizeof receiver->bytes) {
        receiver->bytes[receiver->count++] = byte;
    } else {
        receiver->overlong = true;
    }
}

static bool intact(const link_receiver_t *receiver)
{
    if (receiver->overlong || receiver->remaining != 0 ||
        receiver->count < LINK_HEADER_BYTES + LINK_CRC_BYTES) {
        return false;
    }
    const size_t covered = receiver->count - LINK_CRC_BYTES;
    return link_crc32(receiver->bytes, covered) == get_u32(receiver->bytes + covered);
}

static link_event_t end_of_frame(link_receiver_t *receiver)
{
    if (!receiver->started) {
        return LINK_NOTHING; /* delimiters may repeat */
    }
    receiver->started = false; /* `bytes` and `count` stay for the caller */
    return intact(receiver) ? LINK_FRAME : LINK_DAMAGED;
}

link_event_t link_receiver_feed(link_receiver_t *receiver, uint8_t byte)
{
    if (byte == 0) {
        return end_of_frame(receiver);
    }
    if (!receiver->started) {
        link_receiver_init(receiver);
        receiver->started = true;
    }
    if (receiver->remaining > 0) {
        append(receiver, byte);
        receiver->remaining--;
        return LINK_NOTHING;
    }
    if (receiver->zero_due) {
        append(receiver, 0);
    }
    receiver->remaining = (uint8_t)(byte - 1u);
    receiver->zero_due = byte != 0xffu; /* a full group is followed by no zero */
    return LINK_NOTHING;
}
