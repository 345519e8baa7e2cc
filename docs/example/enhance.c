/* Raw 16-bit mono PCM in, enhanced out: enhance < noisy.raw > enhanced.raw
 * docs/c-library.md says how to build it. The output lags by one hop. */
#include <stdio.h>

#include "sluice_model.h"

static _Alignas(16) uint8_t arena[SLUICE_ARENA_BYTES];
static sluice_t enhancer;
static int16_t pcm[SLUICE_HOP];

static void say_probes(void)
{
    const uint32_t probes = SLUICE_PROBES; /* may be 0 */
    int32_t scores[SLUICE_PROBES + 1];
    const int32_t status = sluice_probes(&enhancer, 0, probes, scores);
    for (uint32_t i = 0; status == SLUICE_OK && i < probes; i++) {
        fprintf(stderr, "%s %ld\n", sluice_probe_name(&sluice_model, i), (long)scores[i]);
    }
}

int main(void)
{
    unsigned long long hops = 0, macs = 0;
    int32_t status = sluice_init(&enhancer, &sluice_model, arena, sizeof arena);
    while (status == SLUICE_OK && fread(pcm, sizeof *pcm, SLUICE_HOP, stdin) == SLUICE_HOP) {
        status = sluice_process_hop(&enhancer, pcm);
        macs += sluice_counters(&enhancer)->executed_macs;
        hops++;
        if (fwrite(pcm, sizeof *pcm, SLUICE_HOP, stdout) != SLUICE_HOP) {
            return 1;
        }
    }
    fprintf(stderr, "hops %llu\nmacs %llu\n", hops, macs);
    say_probes();
    return status == SLUICE_OK ? 0 : 1;
}
