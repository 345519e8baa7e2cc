/* CRC-32 as in IEEE 802.3 and zlib: reflected 0x04C11DB7. */
#ifndef CRC32_H
#define CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of `count` bytes; of "123456789" it is 0xCBF43926. */
uint32_t link_crc32(const uint8_t *bytes, size_t count);

#endif
