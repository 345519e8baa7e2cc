/* MLPerf Tiny's commands around an enhancer that says what the last frame holds: standard input
 * is the line, byte 0x01 in it a byte that was lost. */
#include "mlperf/commands.h"

#include <stdio.h>
#include <string.h>

static int32_t scores[SLUICE_PROBES];
static uint64_t frames, time_now;
static uint32_t lost_bytes;

int32_t sluice_reset(sluice_t *instance)
{
    (void)instance;
    memset(scores, 0, sizeof scores);
    return SLUICE_OK;
}

/* Scores add up over the frames, so that a missing reset or frame shows. */
int32_t sluice_process_frame(sluice_t *instance, const int8_t *features)
{
    (void)instance;
    for (uint32_t i = 0; i < SLUICE_PROBES; i++) {
        int32_t more;
        memcpy(&more, &features[4 * i], 4);
        scores[i] = (int32_t)((uint32_t)scores[i] + (uint32_t)more);
    }
    frames++;
    return SLUICE_OK;
}

int32_t sluice_probe(const sluice_t *instance, uint32_t index, int32_t *score)
{
    (void)instance;
    *score = scores[index];
    return SLUICE_OK;
}

static void write_bytes(const uint8_t *bytes, size_t count)
{
    fwrite(bytes, 1, count, stdout);
}

/* A thousand a frame, and the calls that a counter of 32 bits needs. */
static uint64_t microseconds(void)
{
    time_now = 5000000000u + 1000u * frames;
    return time_now;
}

static uint32_t lost(void)
{
    return lost_bytes;
}

int main(void)
{
    static sluice_t enhancer;
    static mlperf_t state;
    static const mlperf_host_t host = {&enhancer,   "host",       "0123", write_bytes,
                                       microseconds, lost};
    mlperf_start(&state, &host);
    for (int byte = getchar(); byte != EOF; byte = getchar()) {
        if (byte == 1) {
            lost_bytes++;
        } else if (mlperf_feed(&state, (uint8_t)byte)) {
            mlperf_execute(&state);
        }
    }
    return 0;
}
