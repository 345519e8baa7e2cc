/* The gate's average over the last frames, by a running sum. */
#ifndef SLUICE_MOVING_AVERAGE_H
#define SLUICE_MOVING_AVERAGE_H

#include <stdint.h>

/* average[c] = the mean of the last `frames` frames, x included, rounded to
 * nearest with halves away from zero: equal bit for bit to AVERAGE_POOL_2D over
 * the window, because the sum is exact.
 *
 * sums: of the frames - 1 frames before x; on return, of the frames - 1 frames
 * that end with x. |sum| <= 255 * 128, so int16 holds it for up to 256 frames.
 * oldest: the frame that leaves; x takes its place in the ring. frames: 2 .. 256. */
void sluice_moving_average(const int8_t *x, uint32_t channels, int32_t frames, int16_t *sums,
                           int8_t *oldest, int8_t *average);

#endif
