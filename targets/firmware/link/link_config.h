/* Sizes of the link. All memory of the link follows from these three. */
#ifndef LINK_CONFIG_H
#define LINK_CONFIG_H

/* In bytes; the build raises it for a model with long hops. The least holds every
 * greeting: 108 bytes and two strings of 256. */
#ifndef LINK_MAX_PAYLOAD
#define LINK_MAX_PAYLOAD 1024
#endif

/* Requests that the host may have unanswered; as many replies are kept, so that
 * any of them can be sent again. A power of two: sequence numbers wrap. */
#ifndef LINK_WINDOW
#define LINK_WINDOW 2
#endif

#define LINK_HEADER_BYTES 4
#define LINK_CRC_BYTES 4
#define LINK_FRAME_BYTES (LINK_HEADER_BYTES + LINK_MAX_PAYLOAD + LINK_CRC_BYTES)

/* The longest frame on the wire: COBS adds a byte and one in 254, and a delimiter
 * stands on either side. */
#define LINK_WIRE_BYTES (LINK_FRAME_BYTES + LINK_FRAME_BYTES / 254 + 3)

/* What the port must be able to hold while a request is being answered. */
#define LINK_RECEIVE_BYTES (LINK_WINDOW * LINK_WIRE_BYTES)

_Static_assert(LINK_WINDOW > 0 && (LINK_WINDOW & (LINK_WINDOW - 1)) == 0,
               "LINK_WINDOW must be a power of two");
_Static_assert(LINK_MAX_PAYLOAD >= 640 && LINK_MAX_PAYLOAD <= 16384,
               "LINK_MAX_PAYLOAD must lie in 640..16384");

#endif
