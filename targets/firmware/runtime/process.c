/* The two entry points that run: a hop of PCM, or a frame of features. */
#include "instance.h"

#include <string.h>

#include "../audio/analysis.h"
#include "../audio/synthesis.h"

static int32_t check(const sluice_t *instance, const void *data)
{
    if (instance == NULL || data == NULL) {
        return SLUICE_ERROR_ARGUMENT;
    }
    return instance->model != NULL ? SLUICE_OK : SLUICE_ERROR_STATE;
}

int32_t sluice_process_frame(sluice_t *instance, const int8_t *features)
{
    const int32_t status = check(instance, features);
    if (status < 0) {
        return status;
    }
    const sluice_model_t *model = instance->model;
    const uint32_t start = sluice_now(instance);
    memcpy(sluice_int8_at(instance, model->arena.features), features, model->info.bins);
    sluice_run_network(instance);
    instance->counters.analysis_ticks = 0;
    instance->counters.synthesis_ticks = 0;
    instance->counters.ticks = sluice_now(instance) - start;
    return SLUICE_OK;
}

int32_t sluice_process_hop(sluice_t *instance, int16_t *pcm)
{
    const int32_t status = check(instance, pcm);
    if (status < 0) {
        return status;
    }
    const sluice_model_t *model = instance->model;
    const sluice_audio_tables_t *audio = &model->audio;
    sluice_complex_t *spectrum = sluice_spectrum_of(instance);
    int16_t *previous = sluice_int16_at(instance, model->arena.previous);

    const uint32_t start = sluice_now(instance);
    sluice_spectrum(audio, previous, pcm, spectrum);
    memcpy(previous, pcm, model->info.hop * sizeof *pcm);
    sluice_quantise_features(audio, spectrum, sluice_int8_at(instance, model->arena.features));
    const uint32_t analysed = sluice_now(instance);
    sluice_run_network(instance);
    const uint32_t masked = sluice_now(instance);
    sluice_apply_mask(audio, sluice_int8_at(instance, model->arena.mask), spectrum);
    sluice_synthesise(audio, spectrum, sluice_int32_at(instance, model->arena.tail), pcm);
    const uint32_t end = sluice_now(instance);

    instance->counters.analysis_ticks = analysed - start;
    instance->counters.synthesis_ticks = end - masked;
    instance->counters.ticks = end - start;
    return SLUICE_OK;
}
