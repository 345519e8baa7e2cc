#include "wire.h"

uint32_t wire_crc(const uint8_t *bytes, size_t count)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; bit++) {
                value = (value & 1u) != 0 ? value >> 1 ^ 0xedb88320u : value >> 1;
            }
            table[i] = value;
        }
    }
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; i++) {
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xffu];
    }
    return crc ^ 0xffffffffu;
}

void wire_decode(const uint8_t *encoded, size_t count, body_t *body)
{
    size_t at = 0, out = 0;
    body->whole = true;
    while (at < count) {
        const unsigned code = encoded[at++];
        for (unsigned i = 1; i < code; i++) {
            if (at == count) {
                body->whole = false;
                break;
            }
            body->bytes[out++] = encoded[at++];
        }
        if (code != 255 && at < count) {
            body->bytes[out++] = 0;
        }
    }
    body->count = out;
    body->intact = false;
    if (body->whole && out >= 8 && out <= 8 + LINK_MAX_PAYLOAD) {
        const uint32_t crc = wire_crc(body->bytes, out - 4);
        body->intact = true;
        for (unsigned i = 0; i < 4; i++) {
            body->intact &= body->bytes[out - 4 + i] == (crc >> 8 * i & 0xffu);
        }
    }
}

size_t wire_seal(uint8_t *bytes, size_t count)
{
    const uint32_t crc = wire_crc(bytes, count);
    for (unsigned i = 0; i < 4; i++) {
        bytes[count + i] = (uint8_t)(crc >> 8 * i & 0xffu);
    }
    return count + 4;
}

size_t wire_encode(const uint8_t *bytes, size_t count, uint8_t *encoded)
{
    size_t code_at = 0, out = 1, at = 0;
    bool open = true; /* a group has begun at code_at */
    for (; at < count; at++) {
        if (!open) {
            code_at = out++;
            open = true;
        }
        if (bytes[at] == 0) {
            encoded[code_at] = (uint8_t)(out - code_at);
            code_at = out++;
            continue;
        }
        encoded[out++] = bytes[at];
        if (out - code_at == 255) {
            encoded[code_at] = 255;
            open = false;
        }
    }
    if (open) {
        encoded[code_at] = (uint8_t)(out - code_at);
    }
    return out;
}
