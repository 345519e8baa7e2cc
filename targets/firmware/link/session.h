/* The device's side of docs/protocol.md: one request in, one reply out, each
 * request executed once however often it arrives. */
#ifndef LINK_SESSION_H
#define LINK_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "link_config.h"
#include "receiver.h"
#include "sluice.h"

#define LINK_BUILD_ID_BYTES 16

/* What the board is and what the link needs of it. */
typedef struct {
    const char *board;
    uint8_t build_id[LINK_BUILD_ID_BYTES];
    uint8_t counter_kind;  /* enum link_counter */
    uint8_t counter_shift; /* instructions last 2^shift ns; of cycles: enum link_cycles */
    uint32_t counter_hz;   /* ticks a second */
    uint32_t flash_bytes;  /* code and constants */
    uint32_t ram_bytes;    /* static variables, arena included, stack not */
    uint32_t stack_bytes;

    void (*write)(const uint8_t *bytes, size_t count); /* may wait */
    void (*work_begins)(void); /* restart the enhancer's clock */
    void (*work_ends)(void);   /* the clock may rest */
    uint32_t (*stack_used)(void);
    uint32_t (*overruns)(void); /* received bytes lost for lack of room */
} link_device_t;

typedef struct {
    uint32_t requests; /* executed, each counted once */
    uint32_t repeated; /* answered again from the kept reply */
    uint32_t damaged;
    uint32_t out_of_sequence;
} link_counts_t;

typedef struct {
    bool used;
    uint16_t sequence;
    size_t count;
    uint8_t frame[LINK_FRAME_BYTES];
} link_reply_t;

typedef struct {
    const link_device_t *device;
    sluice_t *enhancer;
    const sluice_model_t *model;
    sluice_info_t info;
    uint32_t tensor_bytes;
    int16_t pcm[LINK_MAX_PAYLOAD / 2];

    link_receiver_t receiver;
    link_reply_t replies[LINK_WINDOW]; /* by sequence number */
    uint16_t expected;                 /* the sequence number due next */
    bool greeted;
    bool complained; /* one complaint until the missing request comes */
    link_counts_t counts;
} link_session_t;

/* Serve `enhancer`, which is initialised with `model`. All must outlive the
 * session. Gives SLUICE_OK or the enhancer's error. */
int32_t link_session_init(link_session_t *session, const link_device_t *device,
                          sluice_t *enhancer, const sluice_model_t *model);

/* Take one byte from the wire; answers through device->write. */
void link_session_feed(link_session_t *session, uint8_t byte);

/* Say that the processor faulted at `address`; needs no session. */
void link_report_fault(void (*write)(const uint8_t *bytes, size_t count), uint32_t address);

#endif
