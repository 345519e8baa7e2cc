/* RP2350: the IMAGE_DEF block without which the boot ROM does not start an image (datasheet,
 * section "Bootrom", "Minimum Arm IMAGE_DEF"). It must begin in the first 4 KB of the flash,
 * where the linker script puts it behind the vectors; those are at the image's start, which
 * is where the boot ROM takes stack pointer and entry from. */
#include <stdint.h>

#define MARKER_START 0xFFFFDED3u
#define MARKER_END 0xAB123579u
#define IMAGE_TYPE 0x42u      /* the item, of one word */
#define EXECUTABLE 0x0001u
#define SECURE 0x0020u
#define CHIP_RP2350 0x1000u   /* and CPU, bits 10:8, is 0: Arm */
#define LAST_ITEM 0x000001FFu /* the items before it have one word */
#define ONLY_BLOCK 0u         /* offset of the next one: this one again */

extern const uint32_t image_block[5];

__attribute__((section(".image_block"), used)) const uint32_t image_block[5] = {
    MARKER_START,
    (EXECUTABLE | SECURE | CHIP_RP2350) << 16 | 1u << 8 | IMAGE_TYPE,
    LAST_ITEM,
    ONLY_BLOCK,
    MARKER_END,
};
