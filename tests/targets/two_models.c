/* Two models in one program, by turns: raw PCM from stdin, each hop through both.
 * Writes what the first makes of it, then the second. */
#include <stdio.h>
#include <string.h>

#include "gated_model.h"
#include "static_model.h"

_Static_assert(GATED_HOP == STATIC_HOP, "both take the same hops");

static _Alignas(16) uint8_t first_arena[GATED_ARENA_BYTES], second_arena[STATIC_ARENA_BYTES];

int main(void)
{
    static sluice_t first, second;
    int16_t pcm[GATED_HOP], copy[GATED_HOP];
    if (sluice_init(&first, &gated_model, first_arena, sizeof first_arena) < 0 ||
        sluice_init(&second, &static_model, second_arena, sizeof second_arena) < 0) {
        return 1;
    }
    while (fread(pcm, sizeof pcm, 1, stdin) == 1) {
        memcpy(copy, pcm, sizeof pcm);
        if (sluice_process_hop(&first, pcm) < 0 || sluice_process_hop(&second, copy) < 0) {
            return 1;
        }
        fwrite(pcm, sizeof pcm, 1, stdout);
        fwrite(copy, sizeof copy, 1, stdout);
    }
    return 0;
}
