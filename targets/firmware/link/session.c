#include "session.h"

#include "bytes.h"
#include "cobs.h"
#include "commands.h"
#include "crc32.h"
#include "messages.h"

#define ERROR_PAYLOAD_BYTES 8u

static void fill_header(uint8_t *frame, uint8_t type, uint16_t sequence)
{
    frame[0] = LINK_VERSION;
    frame[1] = type;
    set_u16(frame + 2, sequence);
}

/* Close a frame of header and payload with its CRC; gives the new length. */
static size_t seal(uint8_t *frame, size_t count)
{
    set_u32(frame + count, link_crc32(frame, count));
    return count + LINK_CRC_BYTES;
}

static size_t fill_error(uint8_t *frame, uint16_t sequence, uint32_t code, int32_t detail)
{
    fill_header(frame, LINK_ERROR, sequence);
    set_u32(frame + LINK_HEADER_BYTES, code);
    set_u32(frame + LINK_HEADER_BYTES + 4, (uint32_t)detail);
    return seal(frame, LINK_HEADER_BYTES + ERROR_PAYLOAD_BYTES);
}

/* An error that answers no request in turn, so it is not kept. */
static void send_error(void (*write)(const uint8_t *bytes, size_t count), uint16_t sequence,
                       uint32_t code, int32_t detail)
{
    uint8_t frame[LINK_HEADER_BYTES + ERROR_PAYLOAD_BYTES + LINK_CRC_BYTES];
    link_cobs_write(frame, fill_error(frame, sequence, code, detail), write);
}

static void send_reply(const link_session_t *session, const link_reply_t *reply)
{
    link_cobs_write(reply->frame, reply->count, session->device->write);
}

/* Ask for the request due next, once: while it is missing, everything behind it
 * is out of sequence too, and a complaint about each would be answered by a
 * repetition of all. */
static void complain(link_session_t *session, uint32_t code)
{
    if (session->greeted && !session->complained) {
        session->complained = true;
        send_error(session->device->write, session->expected, code, session->expected);
    }
}

static void execute(link_session_t *session, uint8_t type, uint16_t sequence,
                    const uint8_t *payload, size_t count)
{
    link_reply_t *reply = &session->replies[sequence % LINK_WINDOW];
    link_writer_t writer = {reply->frame + LINK_HEADER_BYTES, LINK_MAX_PAYLOAD, 0, false};
    int32_t detail = 0;
    uint32_t error = link_command(session, type, payload, count, &writer, &detail);
    if (error == LINK_ERROR_NONE && writer.overrun) {
        error = LINK_ERROR_ROOM;
        detail = LINK_MAX_PAYLOAD;
    }
    if (error == LINK_ERROR_NONE) {
        fill_header(reply->frame, (uint8_t)(type | LINK_REPLY), sequence);
        reply->count = seal(reply->frame, LINK_HEADER_BYTES + writer.count);
    } else {
        reply->count = fill_error(reply->frame, sequence, error, detail);
    }
    reply->used = true;
    reply->sequence = sequence;
    session->expected = (uint16_t)(sequence + 1u);
    session->complained = false;
    session->counts.requests++;
    send_reply(session, reply);
}

static void greet(link_session_t *session, uint16_t sequence)
{
    for (unsigned i = 0; i < LINK_WINDOW; i++) {
        session->replies[i].used = false;
    }
    session->greeted = true;
    session->expected = sequence;
}

static void take_frame(link_session_t *session)
{
    const uint8_t *frame = session->receiver.bytes;
    const size_t count = session->receiver.count - LINK_HEADER_BYTES - LINK_CRC_BYTES;
    const uint8_t type = frame[1];
    const uint16_t sequence = get_u16(frame + 2);

    if ((type & LINK_REPLY) != 0) {
        return; /* our own words: something echoes them */
    }
    if (frame[0] != LINK_VERSION) {
        send_error(session->device->write, sequence, LINK_ERROR_VERSION, (int32_t)LINK_VERSION);
        return;
    }
    if (type == LINK_HELLO) {
        greet(session, sequence); /* whatever its number: it opens the count */
    }
    if (!session->greeted) {
        send_error(session->device->write, sequence, LINK_ERROR_GREETING, 0);
        return;
    }
    const link_reply_t *kept = &session->replies[sequence % LINK_WINDOW];
    if (sequence == session->expected) {
        execute(session, type, sequence, frame + LINK_HEADER_BYTES, count);
    } else if (kept->used && kept->sequence == sequence) {
        session->counts.repeated++;
        send_reply(session, kept);
    } else {
        session->counts.out_of_sequence++;
        complain(session, LINK_ERROR_SEQUENCE);
    }
}

void link_session_feed(link_session_t *session, uint8_t byte)
{
    switch (link_receiver_feed(&session->receiver, byte)) {
    case LINK_FRAME:
        take_frame(session);
        break;
    case LINK_DAMAGED:
        session->counts.damaged++;
        complain(session, LINK_ERROR_DAMAGED);
        break;
    case LINK_NOTHING:
        break;
    }
}

int32_t link_session_init(link_session_t *session, const link_device_t *device,
                          sluice_t *enhancer, const sluice_model_t *model)
{
    memset(session, 0, sizeof *session);
    session->device = device;
    session->enhancer = enhancer;
    session->model = model;
    link_receiver_init(&session->receiver);
    const int32_t status = sluice_info(model, &session->info);
    if (status < 0) {
        return status;
    }
    for (uint32_t i = 0; i < session->info.tensors; i++) {
        sluice_tensor_t tensor;
        const int32_t error = sluice_tensor(enhancer, i, &tensor);
        if (error < 0) {
            return error;
        }
        session->tensor_bytes += tensor.channels;
    }
    return SLUICE_OK;
}

void link_report_fault(void (*write)(const uint8_t *bytes, size_t count), uint32_t address)
{
    send_error(write, 0, LINK_ERROR_FAULT, (int32_t)address);
}
