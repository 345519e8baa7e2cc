/* An enhancer for tests of the link: it gives away whether a hop was lost, done
 * twice or out of turn. Sample 0 of a hop's output is the number of the hop, the
 * rest is the input of the hop before. It enhances nothing and is no reference. */
#include "fake_enhancer.h"

#include <stdio.h>
#include <string.h>

enum { WIDE = 40, LAYERS = 100, TENSORS = 60 };

struct sluice_model {
    int unused;
};

const sluice_model_t fake_model = {0};
uint16_t fake_gates = 10;
uint16_t fake_probes = 2;
uint16_t fake_dimensions = FAKE_DIMENSIONS;
uint32_t fake_processed;
uint32_t fake_resets;

static int16_t previous[FAKE_HOP];
static int8_t tensors[TENSORS][WIDE];
static int8_t embedding[FAKE_DIMENSIONS];
static char name[16];

int32_t sluice_info(const sluice_model_t *model, sluice_info_t *info)
{
    (void)model;
    *info = (sluice_info_t){
        .preset = "fake",
        .sample_rate = 16000,
        .hop = FAKE_HOP,
        .bins = FAKE_HOP + 1,
        .blocks = 2,
        .gates = fake_gates,
        .layers = LAYERS,
        .tensors = TENSORS,
        .probes = fake_probes,
        .dimensions = fake_dimensions,
        .arena_bytes = 0x3333,
        .dense_macs = 0x2222,
    };
    for (uint8_t i = 0; i < sizeof info->hash; i++) {
        info->hash[i] = i;
    }
    return SLUICE_OK;
}

int32_t sluice_reset(sluice_t *instance)
{
    instance->frames = 0;
    memset(previous, 0, sizeof previous);
    fake_resets++;
    return SLUICE_OK;
}

/* Of a model and not of an instance, so that a board that starts anew forgets it here. */
void fake_forget(void)
{
    memset(embedding, 0, sizeof embedding);
}

int32_t sluice_set_embedding(sluice_t *instance, const int8_t *values, size_t count)
{
    (void)instance;
    for (size_t i = 0; i < count; i++) {
        if (values[i] == -128) {
            return SLUICE_ERROR_VALUE;
        }
    }
    memcpy(embedding, values, count);
    return SLUICE_OK;
}

const int8_t *sluice_embedding(const sluice_t *instance)
{
    (void)instance;
    return fake_dimensions > 0 ? embedding : NULL;
}

/* One more frame has been processed. */
static void count(sluice_t *instance)
{
    const uint32_t n = ++instance->frames;
    fake_processed++;
    for (uint32_t i = 0; i < TENSORS; i++) {
        for (uint32_t j = 0; j < WIDE; j++) {
            tensors[i][j] = (int8_t)((n + 3 * i + j) & 0x7fu);
        }
    }
    instance->counters = (sluice_counters_t){1000 + n, 2000 + n, 3000 + n, 400 + n, 500 + n};
}

int32_t sluice_process_hop(sluice_t *instance, int16_t *pcm)
{
    int16_t input[FAKE_HOP];
    memcpy(input, pcm, sizeof input);
    count(instance);
    memcpy(pcm, previous, sizeof previous);
    pcm[0] = (int16_t)instance->frames;
    memcpy(previous, input, sizeof input);
    return SLUICE_OK;
}

int32_t sluice_process_frame(sluice_t *instance, const int8_t *features)
{
    if (features[0] == -128) {
        return SLUICE_ERROR_STATE; /* so that a test can see a refusal */
    }
    count(instance);
    return SLUICE_OK;
}

int32_t sluice_tensor(const sluice_t *instance, uint32_t index, sluice_tensor_t *tensor)
{
    (void)instance;
    snprintf(name, sizeof name, "tensor%u", (unsigned)index);
    *tensor = (sluice_tensor_t){name, tensors[index], WIDE, (int16_t)(index - 128)};
    return SLUICE_OK;
}

int32_t sluice_gates(const sluice_t *instance, uint32_t block, uint8_t *bits)
{
    const uint32_t pattern = (instance->frames + 0x155u * block) & 0x3ffu;
    bits[0] = (uint8_t)(pattern & 0xffu);
    bits[1] = (uint8_t)(pattern >> 8);
    return 1;
}

int32_t sluice_probes(const sluice_t *instance, uint32_t first, uint32_t count, int32_t *scores)
{
    if (first + count > fake_probes) {
        return SLUICE_ERROR_ARGUMENT;
    }
    for (uint32_t i = 0; i < count; i++) {
        const int32_t frames = (int32_t)instance->frames, factor = (int32_t)(first + i);
        scores[i] = factor == 0 ? frames : -factor * frames;
    }
    return SLUICE_OK;
}

const char *sluice_probe_name(const sluice_model_t *model, uint32_t index)
{
    (void)model;
    if (index < 2) {
        return index == 0 ? "vad" : "minus";
    }
    snprintf(name, sizeof name, "probe%u", (unsigned)index);
    return name;
}

const sluice_counters_t *sluice_counters(const sluice_t *instance)
{
    return &instance->counters;
}

int32_t sluice_layer(const sluice_t *instance, uint32_t index, const char **layer,
                     sluice_layer_counters_t *counters)
{
    snprintf(name, sizeof name, "layer%u", (unsigned)index);
    *layer = name;
    *counters = (sluice_layer_counters_t){instance->frames, index, 7 * index};
    return SLUICE_OK;
}
