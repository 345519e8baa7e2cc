/* Little-endian numbers in byte buffers, and a writer that cannot run over. */
#ifndef LINK_BYTES_H
#define LINK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | (unsigned)bytes[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)get_u16(bytes) | (uint32_t)get_u16(bytes + 2) << 16;
}

static inline void set_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value & 0xffu);
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void set_u32(uint8_t *bytes, uint32_t value)
{
    set_u16(bytes, (uint16_t)(value & 0xffffu));
    set_u16(bytes + 2, (uint16_t)(value >> 16));
}

/* Appends to `bytes`; what does not fit is left out and `overrun` says so. */
typedef struct {
    uint8_t *bytes;
    size_t capacity;
    size_t count;
    bool overrun;
} link_writer_t;

/* Room for `count` more bytes, or NULL. */
static inline uint8_t *put_space(link_writer_t *writer, size_t count)
{
    if (count > writer->capacity - writer->count) {
        writer->overrun = true;
        return NULL;
    }
    uint8_t *space = writer->bytes + writer->count;
    writer->count += count;
    return space;
}

static inline void put_bytes(link_writer_t *writer, const void *bytes, size_t count)
{
    uint8_t *space = put_space(writer, count);
    if (space != NULL && count > 0) {
        memcpy(space, bytes, count);
    }
}

static inline void put_u8(link_writer_t *writer, uint8_t value)
{
    put_bytes(writer, &value, 1);
}

static inline void put_u16(link_writer_t *writer, uint16_t value)
{
    uint8_t bytes[2];
    set_u16(bytes, value);
    put_bytes(writer, bytes, sizeof bytes);
}

static inline void put_u32(link_writer_t *writer, uint32_t value)
{
    uint8_t bytes[4];
    set_u32(bytes, value);
    put_bytes(writer, bytes, sizeof bytes);
}

/* One byte of length, then the characters; at most 255 of them. */
static inline void put_string(link_writer_t *writer, const char *string)
{
    size_t length = 0;
    while (length < 255 && string[length] != '\0') {
        length++;
    }
    put_u8(writer, (uint8_t)length);
    put_bytes(writer, string, length);
}

#endif
