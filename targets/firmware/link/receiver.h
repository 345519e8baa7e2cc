/* Bytes in, intact frames out. Whatever arrives, a zero brings it back in step. */
#ifndef RECEIVER_H
#define RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link_config.h"

typedef enum {
    LINK_NOTHING, /* no frame has ended with this byte */
    LINK_FRAME,   /* an intact frame: `bytes`, until the next call */
    LINK_DAMAGED, /* something ended that is not an intact frame */
} link_event_t;

typedef struct {
    uint8_t bytes[LINK_FRAME_BYTES]; /* header, payload, CRC-32 */
    size_t count;                    /* decoded bytes so far, at most LINK_FRAME_BYTES */
    uint8_t remaining;               /* bytes left in the COBS group, 0..254 */
    bool zero_due;                   /* a zero stands between this group and the next */
    bool started;                    /* something came since the last delimiter */
    bool overlong;
} link_receiver_t;

void link_receiver_init(link_receiver_t *receiver);

/* Take one byte from the wire. */
link_event_t link_receiver_feed(link_receiver_t *receiver, uint8_t byte);

#endif
