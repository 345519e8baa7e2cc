/* The channels of a layer that run in this frame. */
#ifndef SLUICE_OPEN_CHANNELS_H
#define SLUICE_OPEN_CHANNELS_H

#include <stdint.h>

/* Open channels in ascending order. They come in whole gate groups, so entry
 * k * group starts the k-th open group: a kernel that works on groups steps
 * through the list by `group`. Where a kernel takes a pointer to this, NULL
 * means that every channel runs. */
typedef struct {
    const uint16_t *channels;
    uint16_t count; /* entries of `channels`, a multiple of `group` */
    uint16_t group; /* channels a gate: 1, 4 or 8 */
} sluice_open_channels_t;

#endif
