/* Every way to call the interface wrongly, and the error that it must give. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice_model.h"

static int checks, failures;

static void expect(long long got, long long wanted, const char *call, int line)
{
    checks++;
    if (got != wanted) {
        failures++;
        printf("line %d: %s gives %lld, not %lld\n", line, call, got, wanted);
    }
}

#define EXPECT(call, wanted) expect((long long)(call), (wanted), #call, __LINE__)
#define ARGUMENT SLUICE_ERROR_ARGUMENT
#define STATE SLUICE_ERROR_STATE
#define ARENA SLUICE_ERROR_ARENA

static _Alignas(16) uint8_t arena[SLUICE_ARENA_BYTES + 16];
static int16_t pcm[SLUICE_HOP];
static int8_t features[SLUICE_BINS];

static uint32_t ticking(void)
{
    static uint32_t now = UINT32_MAX - 3; /* so that it wraps */
    return now++;
}

/* Of an instance that is not initialised nothing works and nothing is touched. */
static void expect_unusable(sluice_t *instance)
{
    sluice_tensor_t tensor;
    sluice_layer_counters_t counters;
    const char *name;
    int32_t score;
    uint8_t bits[SLUICE_GATES / 8 + 1];
    EXPECT(sluice_reset(instance), STATE);
    EXPECT(sluice_set_clock(instance, ticking), STATE);
    EXPECT(sluice_process_hop(instance, pcm), STATE);
    EXPECT(sluice_process_frame(instance, features), STATE);
    EXPECT(sluice_features(instance) == NULL, 1);
    EXPECT(sluice_tensor(instance, 0, &tensor), STATE);
    EXPECT(sluice_gates(instance, 0, bits), STATE);
    EXPECT(sluice_probe(instance, 0, &score), STATE);
    EXPECT(sluice_probes(instance, 0, 0, &score), STATE);
    EXPECT(sluice_counters(instance) == NULL, 1);
    EXPECT(sluice_layer(instance, 0, &name, &counters), STATE);
}

static void refused_inits(sluice_t *instance)
{
    const sluice_model_t *model = &sluice_model;
    EXPECT(sluice_init(NULL, model, arena, sizeof arena), ARGUMENT);
    EXPECT(sluice_init(instance, NULL, arena, sizeof arena), ARGUMENT);
    expect_unusable(instance);
    EXPECT(sluice_init(instance, model, NULL, sizeof arena), ARGUMENT);
    expect_unusable(instance);
    EXPECT(sluice_init(instance, model, arena, SLUICE_ARENA_BYTES - 1), ARENA);
    expect_unusable(instance);
    EXPECT(sluice_init(instance, model, arena, 0), ARENA);
    for (size_t shift = 1; shift < 16; shift++) {
        EXPECT(sluice_init(instance, model, arena + shift, SLUICE_ARENA_BYTES), ARENA);
    }
    expect_unusable(instance);
    EXPECT(sluice_init(instance, model, arena + 16, SLUICE_ARENA_BYTES), SLUICE_OK);
    /* One that worked does not outlive a later init that fails. */
    EXPECT(sluice_init(instance, model, NULL, 0), ARGUMENT);
    expect_unusable(instance);
}

static void null_arguments(sluice_t *instance)
{
    sluice_info_t info;
    sluice_tensor_t tensor;
    sluice_layer_counters_t counters;
    const char *name;
    int32_t score;
    uint8_t bits[SLUICE_GATES / 8 + 1];
    EXPECT(sluice_info(NULL, &info), ARGUMENT);
    EXPECT(sluice_info(&sluice_model, NULL), ARGUMENT);
    EXPECT(sluice_reset(NULL), ARGUMENT);
    EXPECT(sluice_set_clock(NULL, ticking), ARGUMENT);
    EXPECT(sluice_process_hop(NULL, pcm), ARGUMENT);
    EXPECT(sluice_process_hop(instance, NULL), ARGUMENT);
    EXPECT(sluice_process_frame(NULL, features), ARGUMENT);
    EXPECT(sluice_process_frame(instance, NULL), ARGUMENT);
    EXPECT(sluice_features(NULL) == NULL, 1);
    EXPECT(sluice_tensor(NULL, 0, &tensor), ARGUMENT);
    EXPECT(sluice_tensor(instance, 0, NULL), ARGUMENT);
    EXPECT(sluice_gates(NULL, 0, bits), ARGUMENT);
    EXPECT(sluice_gates(instance, 0, NULL), ARGUMENT);
    EXPECT(sluice_probe(NULL, 0, &score), ARGUMENT);
    EXPECT(sluice_probe(instance, 0, NULL), ARGUMENT);
    EXPECT(sluice_probes(NULL, 0, 0, &score), ARGUMENT);
    EXPECT(sluice_probes(instance, 0, 0, NULL), ARGUMENT);
    EXPECT(sluice_probe_name(NULL, 0) == NULL, 1);
    EXPECT(sluice_counters(NULL) == NULL, 1);
    EXPECT(sluice_layer(NULL, 0, &name, &counters), ARGUMENT);
    EXPECT(sluice_layer(instance, 0, NULL, &counters), ARGUMENT);
    EXPECT(sluice_layer(instance, 0, &name, NULL), ARGUMENT);
}

static void indices(sluice_t *instance)
{
    sluice_tensor_t tensor;
    sluice_layer_counters_t counters;
    const char *name;
    int32_t score;
    uint8_t bits[SLUICE_GATES / 8 + 1];
    for (uint32_t i = 0; i < SLUICE_TENSORS; i++) {
        EXPECT(sluice_tensor(instance, i, &tensor), SLUICE_OK);
        EXPECT((const uint8_t *)tensor.data >= arena, 1);
        EXPECT((const uint8_t *)tensor.data + tensor.channels <= arena + SLUICE_ARENA_BYTES, 1);
    }
    EXPECT(sluice_tensor(instance, SLUICE_TENSORS, &tensor), ARGUMENT);
    EXPECT(sluice_tensor(instance, UINT32_MAX, &tensor), ARGUMENT);
    EXPECT(sluice_gates(instance, 0, bits), SLUICE_GATES > 0 ? 0 : ARGUMENT);
    EXPECT(sluice_gates(instance, SLUICE_BLOCKS, bits), ARGUMENT);
    EXPECT(sluice_gates(instance, UINT32_MAX, bits), ARGUMENT);
    EXPECT(sluice_probe(instance, SLUICE_PROBES, &score), ARGUMENT);
    EXPECT(sluice_probe(instance, UINT32_MAX, &score), ARGUMENT);
    score = 12345;
    EXPECT(sluice_probes(instance, SLUICE_PROBES, 1, &score), ARGUMENT);
    EXPECT(sluice_probes(instance, 0, SLUICE_PROBES + 1, &score), ARGUMENT);
    EXPECT(sluice_probes(instance, 1, UINT32_MAX, &score), ARGUMENT);
    EXPECT(sluice_probes(instance, UINT32_MAX, 2, &score), ARGUMENT);
    EXPECT(sluice_probes(instance, SLUICE_PROBES, 0, &score), SLUICE_OK);
    EXPECT(score, 12345);
    EXPECT(sluice_probe_name(&sluice_model, SLUICE_PROBES) == NULL, 1);
    EXPECT(sluice_layer(instance, SLUICE_LAYERS - 1, &name, &counters), SLUICE_OK);
    EXPECT(strcmp(name, "back"), 0);
    EXPECT(sluice_layer(instance, SLUICE_LAYERS, &name, &counters), ARGUMENT);
    EXPECT(sluice_layer(instance, UINT32_MAX, &name, &counters), ARGUMENT);
}

static uint32_t layer_ticks(const sluice_t *instance)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < SLUICE_LAYERS; i++) {
        sluice_layer_counters_t counters;
        const char *name;
        EXPECT(sluice_layer(instance, i, &name, &counters), SLUICE_OK);
        sum += counters.ticks;
    }
    return sum;
}

/* The clock ticks once a reading, so each layer and stage takes one tick. */
static void ticks(sluice_t *instance)
{
    const sluice_counters_t *counters = sluice_counters(instance);
    EXPECT(sluice_process_hop(instance, pcm), SLUICE_OK);
    EXPECT(counters->ticks, 0);
    EXPECT(sluice_set_clock(instance, ticking), SLUICE_OK);
    EXPECT(sluice_process_hop(instance, pcm), SLUICE_OK);
    EXPECT(layer_ticks(instance), SLUICE_LAYERS);
    EXPECT(counters->analysis_ticks, 1);
    EXPECT(counters->synthesis_ticks, 1);
    EXPECT(counters->ticks, SLUICE_LAYERS + 4);
    EXPECT(sluice_process_frame(instance, features), SLUICE_OK);
    EXPECT(layer_ticks(instance), SLUICE_LAYERS);
    EXPECT(counters->analysis_ticks, 0);
    EXPECT(counters->synthesis_ticks, 0);
    EXPECT(counters->ticks, SLUICE_LAYERS + 2);
    EXPECT(sluice_reset(instance), SLUICE_OK);
    EXPECT(counters->ticks, 0);
    EXPECT(sluice_process_frame(instance, features), SLUICE_OK);
    EXPECT(layer_ticks(instance), SLUICE_LAYERS); /* a reset keeps the clock */
    EXPECT(sluice_set_clock(instance, NULL), SLUICE_OK);
    EXPECT(sluice_process_frame(instance, features), SLUICE_OK);
    EXPECT(layer_ticks(instance), 0);
}

int main(void)
{
    static sluice_t instance;
    expect_unusable(&instance);
    refused_inits(&instance);
    EXPECT(sluice_init(&instance, &sluice_model, arena, SLUICE_ARENA_BYTES), SLUICE_OK);
    EXPECT(sluice_features(&instance) == NULL, 1);
    null_arguments(&instance);
    indices(&instance);
    ticks(&instance);
    instance.frames = UINT32_MAX - 1; /* years later */
    EXPECT(sluice_process_frame(&instance, features), SLUICE_OK);
    EXPECT(sluice_process_frame(&instance, features), SLUICE_OK);
    EXPECT(sluice_features(&instance) != NULL, 1);
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
