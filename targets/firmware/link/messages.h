/* Message types and error codes of docs/protocol.md. */
#ifndef LINK_MESSAGES_H
#define LINK_MESSAGES_H

#define LINK_VERSION 1u

/* Requests; the reply to one is its type with the top bit set. */
enum link_type {
    LINK_HELLO = 0x01,
    LINK_RESET = 0x02,
    LINK_HOP = 0x03,
    LINK_FRAME_REQUEST = 0x04,
    LINK_TENSORS = 0x05,
    LINK_LAYERS = 0x06,
    LINK_DESCRIBE = 0x07,
    LINK_STATS = 0x08,
    LINK_SET_EMBEDDING = 0x09,
    LINK_GET_EMBEDDING = 0x0a,
    LINK_REPLY = 0x80,
    LINK_ERROR = 0xff,
};

enum link_error {
    LINK_ERROR_NONE = 0,
    LINK_ERROR_VERSION = 1,  /* another protocol; detail: the version spoken here */
    LINK_ERROR_DAMAGED = 2,  /* a frame failed its check; detail: the number due next */
    LINK_ERROR_SEQUENCE = 3, /* a request is missing; detail: the number due next */
    LINK_ERROR_GREETING = 4, /* nobody has said hello since the start */
    LINK_ERROR_TYPE = 5,     /* no such request; detail: its type */
    LINK_ERROR_LENGTH = 6,   /* the payload has a wrong length; detail: the right one */
    LINK_ERROR_RANGE = 7,    /* an index or offset beyond the end; detail: the end */
    LINK_ERROR_ROOM = 8,     /* the reply does not fit; detail: the room there is */
    LINK_ERROR_ENHANCER = 9, /* the enhancer refused; detail: its sluice_error */
    LINK_ERROR_FAULT = 10,   /* the processor faulted and stopped; detail: the address */
    LINK_ERROR_CHECKSUM = 11, /* an embedding is damaged; detail: the CRC of its values */
};

/* What DESCRIBE lists. */
enum link_description {
    LINK_DESCRIBE_TENSORS = 0,
    LINK_DESCRIBE_LAYERS = 1,
    LINK_DESCRIBE_PROBES = 2,
};

/* What ticks count. */
enum link_counter {
    LINK_COUNTER_NONE = 0,
    LINK_COUNTER_INSTRUCTIONS = 1, /* an emulator's virtual time, at 2^shift ns each */
    LINK_COUNTER_CYCLES = 2,
};

/* Whose cycles they are, in the place of an emulator's shift. */
enum link_cycles {
    LINK_CYCLES_SYSTICK = 0,
    LINK_CYCLES_DWT = 1, /* CYCCNT */
};

#endif
