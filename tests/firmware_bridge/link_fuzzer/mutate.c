#include "mutate.h"

#include <stdbool.h>
#include <string.h>

#include "wire.h"

#define MOST_FRAMES 64u

static uint64_t state;

void chance_seed(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15u + 0x1234567u;
}

uint32_t chance(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * below >> 32);
}

static uint8_t telling_byte(void)
{
    static const uint8_t telling[] = {0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff};
    return chance(2) != 0 ? telling[chance(sizeof telling)] : (uint8_t)chance(256);
}

/* Replace `old` bytes at `at` by `count` others; does nothing where they do not fit. */
static void replace(input_t *input, size_t at, size_t old, const uint8_t *bytes, size_t count)
{
    if (input->count - old + count > INPUT_ROOM) {
        return;
    }
    memmove(input->bytes + at + count, input->bytes + at + old, input->count - at - old);
    memcpy(input->bytes + at, bytes, count);
    input->count = input->count - old + count;
}

/* A part of the input: its start, and its length in `count`, up to `most`. */
static size_t part(const input_t *input, size_t most, size_t *count)
{
    const size_t at = chance((uint32_t)input->count + 1);
    const size_t left = input->count - at;
    *count = chance((uint32_t)(left < most ? left : most) + 1);
    return at;
}

static void change_bytes(input_t *input, const input_t *other)
{
    static uint8_t piece[INPUT_ROOM];
    size_t count = 0;
    const bool large = chance(16) == 0; /* rarely: what is long takes its time */
    const size_t at = part(input, large ? 700 : 8, &count);
    switch (chance(8)) {
    case 0:
        if (at < input->count) {
            input->bytes[at] ^= (uint8_t)(1u << chance(8));
        }
        break;
    case 1:
        if (at < input->count) {
            input->bytes[at] = telling_byte();
        }
        break;
    case 2:
        replace(input, at, count, piece, 0);
        break;
    case 3:
        for (size_t i = 0; i < 8; i++) {
            piece[i] = telling_byte();
        }
        replace(input, at, 0, piece, 1 + chance(8));
        break;
    case 4:
        memset(piece, telling_byte(), sizeof piece);
        replace(input, at, 0, piece, 1 + chance(large ? 900 : 8));
        break;
    case 5:
        memcpy(piece, input->bytes + at, count);
        replace(input, chance((uint32_t)input->count + 1), 0, piece, count);
        break;
    case 6:
        {
            size_t theirs = 0;
            const size_t from = part(other, large ? INPUT_ROOM : 64, &theirs);
            replace(input, at, count, other->bytes + from, theirs);
            break;
        }
    default:
        input->count = at; /* nothing follows */
        break;
    }
}

typedef struct {
    size_t start, count;
} span_t;

static size_t find_frames(const input_t *input, span_t *frames)
{
    size_t found = 0, start = 0;
    for (size_t i = 0; i <= input->count; i++) {
        if (i < input->count && input->bytes[i] != 0) {
            continue;
        }
        if (i > start && found < MOST_FRAMES) {
            frames[found++] = (span_t){start, i - start};
        }
        start = i + 1;
    }
    return found;
}

static void put_number(uint8_t *bytes, uint32_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i & 0xffu);
    }
}

static uint32_t telling_number(void)
{
    static const uint32_t telling[] = {0,   1,   2,    3,    59,   60,   99,    100,       101,
                                       639, 640, 2363, 2364, 2399, 2400, 65535, 0xffffffff};
    const uint32_t value = telling[chance(sizeof telling / sizeof telling[0])];
    return chance(4) == 0 ? value + chance(9) - 4 : value;
}

/* Another request: header and payload in `bytes`; gives their new count. */
static size_t change_request(uint8_t *bytes, size_t count)
{
    static const uint16_t lengths[] = {0, 1, 2, 3, 4, 5, 8, 9, 246, 247, 639, 640, 641, 700};
    switch (chance(8)) {
    case 0:
        bytes[1] = (uint8_t)chance(chance(4) == 0 ? 256 : 12);
        break;
    case 1:
        bytes[0] = (uint8_t)(chance(4) == 0 ? chance(256) : 1 + chance(2));
        break;
    case 2:
        put_number(bytes + 2, (uint32_t)bytes[2] + 256u * bytes[3] + chance(7) - 3, 2);
        break;
    case 3:
        put_number(bytes + 2, telling_number(), 2);
        break;
    case 4:
        {
            const size_t length = lengths[chance(chance(8) == 0 ? sizeof lengths / sizeof lengths[0] : 8)];
            if (4 + length > count) {
                memset(bytes + count, telling_byte(), 4 + length - count);
            }
            return 4 + length;
        }
    case 5:
        if (count >= 8) {
            put_number(bytes + 4 + chance((uint32_t)count - 7), telling_number(), 2 + 2 * chance(2));
        }
        break;
    case 6:
        if (count > 4) {
            bytes[4 + chance((uint32_t)count - 4)] = telling_byte();
        }
        break;
    default: /* what this type takes */
        {
            static const uint8_t takes[] = {0, 4, 0, 8, 5, 4, 2, 4, 0, 8, 0};
            bytes[1] = (uint8_t)(1 + chance(10));
            put_number(bytes + 4, telling_number(), 4);
            put_number(bytes + 8, telling_number(), 4);
            if (bytes[1] == 9 && chance(4) != 0) {
                wire_seal(bytes + 4, 4); /* an embedding has a CRC of its own */
            }
            return 4u + takes[bytes[1]];
        }
    }
    return count;
}

/* Decode a frame, change it, close it with the right CRC and put it back, or beside itself. */
static void change_frame(input_t *input, const span_t *frame)
{
    static body_t body;
    static uint8_t encoded[BODY_ROOM + BODY_ROOM / 254 + 8];
    wire_decode(input->bytes + frame->start, frame->count, &body);
    size_t count = body.count > 8 ? body.count - 4 : 4;
    if (body.count < 4) {
        memcpy(body.bytes, (const uint8_t[]){1, 1, 0, 0}, 4);
    }
    count = change_request(body.bytes, count);
    count = wire_seal(body.bytes, count);
    encoded[0] = 0;
    count = 1 + wire_encode(body.bytes, count, encoded + 1);
    encoded[count++] = 0;
    const size_t replaced = chance(3) == 0 ? 0 : frame->count;
    replace(input, frame->start, replaced, encoded, count);
}

/* Number the frames from the first one's number on, as a host does. */
static void renumber(input_t *input)
{
    static body_t body;
    static input_t output;
    static uint8_t encoded[BODY_ROOM + BODY_ROOM / 254 + 8];
    span_t frames[MOST_FRAMES];
    const size_t found = find_frames(input, frames);
    uint32_t next = telling_number();
    output.count = 0;
    for (size_t i = 0; i < found; i++) {
        wire_decode(input->bytes + frames[i].start, frames[i].count, &body);
        if (body.count < 8) {
            continue;
        }
        put_number(body.bytes + 2, next++, 2);
        const size_t count = wire_seal(body.bytes, body.count - 4);
        encoded[0] = 0;
        replace(&output, output.count, 0, encoded, 1 + wire_encode(body.bytes, count, encoded + 1));
    }
    if (output.count < INPUT_ROOM) {
        output.bytes[output.count++] = 0;
    }
    memcpy(input, &output, sizeof output);
}

static void move_frame(input_t *input, const span_t *frames, size_t found)
{
    static uint8_t piece[INPUT_ROOM + 2];
    const span_t *from = &frames[chance((uint32_t)found)], *to = &frames[chance((uint32_t)found)];
    piece[0] = 0;
    memcpy(piece + 1, input->bytes + from->start, from->count);
    piece[from->count + 1] = 0;
    if (chance(4) == 0) {
        replace(input, from->start, from->count, piece, 0);
    } else {
        replace(input, to->start, 0, piece, from->count + 2);
    }
}

void mutate(input_t *input, const input_t *other)
{
    for (uint32_t left = 1u << chance(5); left > 0; left--) {
        span_t frames[MOST_FRAMES];
        const size_t found = chance(3) == 0 ? 0 : find_frames(input, frames);
        const uint32_t what = chance(10);
        if (found == 0) {
            change_bytes(input, other);
        } else if (what == 0) {
            renumber(input);
        } else if (what < 3) {
            move_frame(input, frames, found);
        } else {
            change_frame(input, &frames[chance((uint32_t)found)]);
        }
    }
}
