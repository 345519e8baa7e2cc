/* A test double of the enhancer: it gives away whether a hop was lost, processed
 * twice or out of turn. Sample 0 of a hop's output is the number of the hop; the
 * rest is the input of the hop before. It enhances nothing and is no reference. */
#include "sluice_model.h"

#include <string.h>

enum { HOP = SLUICE_HOP, BINS = HOP + 1, LAYERS = 100, TENSORS = 60, WIDE = 40 };

struct sluice_model {
    int unused;
};

const sluice_model_t sluice_model = {0};

static int16_t previous[HOP];
static int8_t tensor_bytes[WIDE];

int32_t sluice_info(const sluice_model_t *model, sluice_info_t *info)
{
    (void)model;
    *info = (sluice_info_t){
        .preset = "counting",
        .hash = {0x12, 0x34},
        .sample_rate = 16000,
        .hop = HOP,
        .bins = BINS,
        .blocks = SLUICE_BLOCKS,
        .gates = SLUICE_GATES,
        .layers = LAYERS,
        .tensors = TENSORS,
        .probes = SLUICE_PROBES,
        .arena_bytes = SLUICE_ARENA_BYTES,
        .dense_macs = 4321,
    };
    return SLUICE_OK;
}

int32_t sluice_init(sluice_t *instance, const sluice_model_t *model, void *arena,
                    size_t arena_bytes)
{
    instance->model = model;
    instance->arena = arena;
    return arena_bytes < SLUICE_ARENA_BYTES ? SLUICE_ERROR_ARENA : sluice_reset(instance);
}

int32_t sluice_reset(sluice_t *instance)
{
    instance->frames = 0;
    memset(previous, 0, sizeof previous);
    return SLUICE_OK;
}

int32_t sluice_set_clock(sluice_t *instance, uint32_t (*clock)(void))
{
    instance->clock = clock;
    return SLUICE_OK;
}

static void count(sluice_t *instance)
{
    const uint32_t start = instance->clock != NULL ? instance->clock() : 0;
    /* Long enough to pass a wrap of a 24-bit clock at 3.2 ticks an instruction. */
    if (instance->frames == 1) {
        for (volatile uint32_t i = 0; i < 2000000; i++) {
        }
    }
    instance->frames++;
    memset(tensor_bytes, (int)instance->frames, sizeof tensor_bytes);
    instance->counters = (sluice_counters_t){
        .executed_macs = 1000 + instance->frames,
        .weight_bytes = 2000 + instance->frames,
        .ticks = (instance->clock != NULL ? instance->clock() : 0) - start,
    };
}

int32_t sluice_process_hop(sluice_t *instance, int16_t *pcm)
{
    int16_t input[HOP];
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

const int8_t *sluice_features(const sluice_t *instance)
{
    (void)instance;
    return NULL;
}

int32_t sluice_tensor(const sluice_t *instance, uint32_t index, sluice_tensor_t *tensor)
{
    static const char *const names[] = {"mask", "gate0_logits", "a_name_of_some_length"};
    (void)instance;
    *tensor = (sluice_tensor_t){names[index % 3], tensor_bytes, WIDE, (int16_t)(index - 128)};
    return SLUICE_OK;
}

int32_t sluice_gates(const sluice_t *instance, uint32_t block, uint8_t *bits)
{
    const uint32_t pattern = (instance->frames + block) & 0xfffu;
    bits[0] = (uint8_t)(pattern & 0xffu);
    bits[1] = (uint8_t)(pattern >> 8);
    return 1;
}

int32_t sluice_probe(const sluice_t *instance, uint32_t index, int32_t *score)
{
    *score = index == 0 ? (int32_t)instance->frames : -(int32_t)instance->frames;
    return SLUICE_OK;
}

const char *sluice_probe_name(const sluice_model_t *model, uint32_t index)
{
    (void)model;
    return index == 0 ? "vad" : "minus";
}

const sluice_counters_t *sluice_counters(const sluice_t *instance)
{
    return &instance->counters;
}

int32_t sluice_layer(const sluice_t *instance, uint32_t index, const char **name,
                     sluice_layer_counters_t *counters)
{
    static const char *const names[] = {"front", "block0.up", "back"};
    *name = names[index % 3];
    *counters = (sluice_layer_counters_t){instance->frames, index, 7};
    return SLUICE_OK;
}
