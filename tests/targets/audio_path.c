/* The audio front end alone: hops of int16 from stdin through analysis, a mask (the
 * file given, int8 [bins]; none without an argument) and synthesis. Writes, per hop,
 * the spectrum (int32 pairs, before the mask), the int8 features and the PCM. */
#include <stdio.h>
#include <string.h>

#include "audio/analysis.h"
#include "audio/synthesis.h"
#include "runtime/model.h"
#include "sluice_model.h"

enum { LARGEST_HOP = 1024 };

int main(int count, char **arguments)
{
    static int16_t previous[LARGEST_HOP], pcm[LARGEST_HOP];
    static int32_t tail[LARGEST_HOP];
    static sluice_complex_t spectrum[LARGEST_HOP + 1];
    static int8_t features[LARGEST_HOP + 1], mask[LARGEST_HOP + 1];
    const sluice_audio_tables_t *audio = &sluice_model.audio;
    const size_t hop = audio->n_fft / 2u;
    if (count == 2) {
        FILE *file = fopen(arguments[1], "rb");
        if (file == NULL || fread(mask, 1, sizeof mask, file) != audio->bins) {
            return 2;
        }
        fclose(file);
    }
    while (fread(pcm, sizeof *pcm, hop, stdin) == hop) {
        sluice_spectrum(audio, previous, pcm, spectrum);
        memcpy(previous, pcm, sizeof pcm);
        sluice_quantise_features(audio, spectrum, features);
        fwrite(spectrum, sizeof *spectrum, hop + 1, stdout);
        fwrite(features, 1, audio->bins, stdout);
        if (count == 2) {
            sluice_apply_mask(audio, mask, spectrum);
        }
        sluice_synthesise(audio, spectrum, tail, pcm);
        fwrite(pcm, sizeof *pcm, hop, stdout);
    }
    return 0;
}
