#include "oracle.h"

#include <string.h>

#include "fake_enhancer.h"
#include "wire.h"

enum { LAYERS = 100, TENSOR_BYTES = 2400, NOT_READY = -3 };
enum { DAMAGED = 2, SEQUENCE = 3, GREETING = 4, TYPE = 5, LENGTH = 6, RANGE = 7, ENHANCER = 9, CHECKSUM = 11,
       NO_EMBEDDING_VALUE = -6 };

typedef struct {
    const uint8_t *at, *end; /* what the board said and has not been accounted for */
    uint32_t requests, repeated, damaged, out_of_sequence;
    uint32_t frames; /* that the enhancer has done since its reset */
    uint8_t previous[2 * FAKE_HOP];
    uint8_t embedding[FAKE_DIMENSIONS]; /* in force */
    bool greeted, complained;
    uint16_t expected;
    struct {
        bool used;
        uint16_t sequence;
        const uint8_t *wire;
        size_t count;
    } kept[LINK_WINDOW];
    body_t answer;
    const uint8_t *wire; /* of the answer */
    size_t wire_count;
} board_t;

static uint32_t number(const uint8_t *bytes, unsigned count)
{
    uint32_t value = 0;
    for (unsigned i = count; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* The board's next frame. */
static const char *take_answer(board_t *board)
{
    while (board->at < board->end && *board->at == 0) {
        board->at++;
    }
    board->wire = board->at;
    while (board->at < board->end && *board->at != 0) {
        board->at++;
    }
    board->wire_count = (size_t)(board->at - board->wire);
    if (board->wire_count == 0) {
        return "the board was silent where it must answer";
    }
    wire_decode(board->wire, board->wire_count, &board->answer);
    return board->answer.intact ? NULL : "the board said what is no intact frame";
}

static const char *want(board_t *board, uint8_t type, uint16_t sequence)
{
    const char *complaint = take_answer(board);
    if (complaint != NULL) {
        return complaint;
    }
    const uint8_t *bytes = board->answer.bytes;
    if (bytes[0] != 1 || bytes[1] != type) {
        return "an answer of a wrong version or type";
    }
    return number(bytes + 2, 2) == sequence ? NULL : "an answer with a wrong sequence number";
}

static const char *want_error(board_t *board, uint16_t sequence, uint32_t code, int32_t detail)
{
    const char *complaint = want(board, 0xff, sequence);
    if (complaint != NULL) {
        return complaint;
    }
    const uint8_t *payload = board->answer.bytes + 4;
    if (board->answer.count != 4 + 8 + 4 || number(payload, 4) != code) {
        return "another error than the page says";
    }
    return number(payload + 4, 4) == (uint32_t)detail ? NULL : "an error with a wrong detail";
}

static const char *complain(board_t *board, uint32_t code)
{
    if (!board->greeted || board->complained) {
        return NULL;
    }
    board->complained = true;
    return want_error(board, board->expected, code, board->expected);
}

static const char *want_result(board_t *board, uint16_t sequence, const uint8_t *pcm)
{
    const char *complaint = want(board, pcm != NULL ? 0x83 : 0x84, sequence);
    if (complaint != NULL) {
        return complaint;
    }
    const uint8_t *payload = board->answer.bytes + 4;
    const size_t head = 20 + 4 * 2 + 2 * 2;
    if (board->answer.count != 8 + head + (pcm != NULL ? 2 * FAKE_HOP : 0)) {
        return "a result of a wrong length";
    }
    if (number(payload, 4) != 1000 + ++board->frames) {
        return "a frame was lost or done twice";
    }
    if (pcm == NULL) {
        return NULL;
    }
    const bool same = number(payload + head, 2) == (board->frames & 0xffffu) &&
                      memcmp(payload + head + 2, board->previous + 2, 2 * FAKE_HOP - 2) == 0;
    memcpy(board->previous, pcm, 2 * FAKE_HOP);
    return same ? NULL : "another hop was processed than was sent";
}

static const char *want_stats(board_t *board, uint16_t sequence)
{
    const char *complaint = want(board, 0x88, sequence);
    if (complaint != NULL) {
        return complaint;
    }
    const uint8_t *payload = board->answer.bytes + 4;
    const uint32_t counted[] = {board->requests, board->repeated, board->damaged,
                                board->out_of_sequence};
    for (unsigned i = 0; i < 4; i++) {
        if (number(payload + 4 + 4 * i, 4) != counted[i]) {
            return "the board has counted wrongly";
        }
    }
    return NULL;
}

static const char *want_embedding_set(board_t *board, uint16_t sequence, const uint8_t *values)
{
    const uint32_t crc = wire_crc(values, FAKE_DIMENSIONS);
    if (crc != number(values + FAKE_DIMENSIONS, 4)) {
        return want_error(board, sequence, CHECKSUM, (int32_t)crc);
    }
    for (unsigned i = 0; i < FAKE_DIMENSIONS; i++) {
        if (values[i] == 0x80) {
            return want_error(board, sequence, ENHANCER, NO_EMBEDDING_VALUE);
        }
    }
    memcpy(board->embedding, values, FAKE_DIMENSIONS);
    const char *complaint = want(board, 0x89, sequence);
    if (complaint != NULL) {
        return complaint;
    }
    const bool same = board->answer.count == 4 + 4 + 4 && number(board->answer.bytes + 4, 4) == crc;
    return same ? NULL : "another embedding was taken than was sent";
}

static const char *want_embedding(board_t *board, uint16_t sequence)
{
    const char *complaint = want(board, 0x8a, sequence);
    if (complaint != NULL) {
        return complaint;
    }
    const uint8_t *payload = board->answer.bytes + 4;
    const bool same = board->answer.count == 4 + 4 + FAKE_DIMENSIONS + 4 &&
                      number(payload, 4) == wire_crc(board->embedding, FAKE_DIMENSIONS) &&
                      memcmp(payload + 4, board->embedding, FAKE_DIMENSIONS) == 0;
    return same ? NULL : "another embedding is in force than was set last";
}

static const char *executed(board_t *board, uint8_t type, uint16_t sequence,
                            const uint8_t *payload, size_t count)
{
    static const size_t lengths[] = {0, 4, 0, 2 * FAKE_HOP, FAKE_HOP + 1, 4, 2, 4, 0,
                                     FAKE_DIMENSIONS + 4, 0};
    static const uint32_t totals[] = {60, LAYERS, 2};
    if (type == 0 || type > 10) {
        return want_error(board, sequence, TYPE, type);
    }
    if (count != lengths[type]) {
        return want_error(board, sequence, LENGTH, (int32_t)lengths[type]);
    }
    switch (type) {
    case 1:
        {
            const char *complaint = want(board, 0x81, sequence);
            if (complaint != NULL) {
                return complaint;
            }
            return memcmp(board->answer.bytes + 4, payload, 4) == 0 ? NULL : "another nonce";
        }
    case 2:
        board->frames = 0;
        memset(board->previous, 0, sizeof board->previous);
        return want(board, 0x82, sequence);
    case 3:
        return want_result(board, sequence, payload);
    case 4:
        return payload[0] == 0x80 ? want_error(board, sequence, ENHANCER, NOT_READY)
                                  : want_result(board, sequence, NULL);
    case 5:
        return number(payload, 4) >= TENSOR_BYTES ? want_error(board, sequence, RANGE, TENSOR_BYTES)
                                                  : want(board, 0x85, sequence);
    case 6:
        return number(payload, 2) >= LAYERS ? want_error(board, sequence, RANGE, LAYERS)
                                            : want(board, 0x86, sequence);
    case 7:
        if (payload[0] > 2) {
            return want_error(board, sequence, RANGE, 3);
        }
        if (number(payload + 2, 2) >= totals[payload[0]]) {
            return want_error(board, sequence, RANGE, (int32_t)totals[payload[0]]);
        }
        return want(board, 0x87, sequence);
    case 9:
        return want_embedding_set(board, sequence, payload);
    case 10:
        return want_embedding(board, sequence);
    default:
        return want_stats(board, sequence);
    }
}

static const char *hear(board_t *board, const body_t *frame)
{
    if (!frame->intact) {
        board->damaged++;
        return complain(board, DAMAGED);
    }
    const uint8_t type = frame->bytes[1];
    const uint16_t sequence = (uint16_t)number(frame->bytes + 2, 2);
    if ((type & 0x80) != 0) {
        return NULL;
    }
    if (frame->bytes[0] != 1) {
        return want_error(board, sequence, 1, 1);
    }
    if (type == 1) {
        memset(board->kept, 0, sizeof board->kept);
        board->greeted = true;
        board->expected = sequence;
    }
    if (!board->greeted) {
        return want_error(board, sequence, GREETING, 0);
    }
    for (unsigned i = 0; i < LINK_WINDOW && sequence != board->expected; i++) {
        if (board->kept[i].used && board->kept[i].sequence == sequence) {
            board->repeated++;
            const char *complaint = take_answer(board);
            if (complaint != NULL) {
                return complaint;
            }
            const bool same = board->wire_count == board->kept[i].count &&
                              memcmp(board->wire, board->kept[i].wire, board->wire_count) == 0;
            return same ? NULL : "a repeated request got another answer than before";
        }
    }
    if (sequence != board->expected) {
        board->out_of_sequence++;
        return complain(board, SEQUENCE);
    }
    const char *complaint =
        executed(board, type, sequence, frame->bytes + 4, frame->count - 8);
    const unsigned slot = sequence % LINK_WINDOW;
    board->kept[slot].used = true;
    board->kept[slot].sequence = sequence;
    board->kept[slot].wire = board->wire;
    board->kept[slot].count = board->wire_count;
    board->expected = (uint16_t)(sequence + 1u);
    board->complained = false;
    board->requests++;
    return complaint;
}

const char *oracle_complaint(const uint8_t *heard, size_t heard_count, const uint8_t *said,
                             size_t said_count)
{
    static board_t board;
    static body_t frame;
    /* Its answer's bytes are written before they are read; to clear them costs more than the rest. */
    memset(&board, 0, offsetof(board_t, answer));
    board.at = said;
    board.end = said + said_count;
    size_t start = 0;
    for (size_t i = 0; i < heard_count; i++) {
        if (heard[i] != 0) {
            continue;
        }
        if (i > start) {
            wire_decode(heard + start, i - start, &frame);
            const char *complaint = hear(&board, &frame);
            if (complaint != NULL) {
                return complaint;
            }
        }
        start = i + 1;
    }
    while (board.at < board.end && *board.at == 0) {
        board.at++;
    }
    return board.at == board.end ? NULL : "the board said more than it was asked";
}
