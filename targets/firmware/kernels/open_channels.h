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

/* The entry behind the run of adjoining channels that begins at entry `first`. */
static inline uint32_t sluice_run_end(const sluice_open_channels_t *open, uint32_t first)
{
    uint32_t end = first + open->group;
    while (end < open->count &&
           open->channels[end] == open->channels[end - open->group] + open->group) {
        end += open->group;
    }
    return end;
}

#endif
