/* An enhancer for tests of a board's ports: a hop is a command, not sound. Sample
 * 0 says what to do, samples 1 and 2 are a number, low half first. It executes
 * instructions whose number is known, or commits a fault. */
#include "sluice_model.h"

enum { LOOP = 0, UNDEFINED, READ, RECURSE, FLOAT, VECTOR };

struct sluice_model {
    const char *preset;
};

const sluice_model_t sluice_model = {"port"};

int32_t sluice_info(const sluice_model_t *model, sluice_info_t *info)
{
    *info = (sluice_info_t){
        .preset = model->preset,
        .sample_rate = 16000,
        .hop = SLUICE_HOP,
        .bins = SLUICE_HOP + 1,
        .arena_bytes = SLUICE_ARENA_BYTES,
    };
    return SLUICE_OK;
}

int32_t sluice_init(sluice_t *instance, const sluice_model_t *model, void *arena,
                    size_t arena_bytes)
{
    (void)arena_bytes;
    *instance = (sluice_t){.model = model, .arena = arena};
    return SLUICE_OK;
}

int32_t sluice_set_clock(sluice_t *instance, uint32_t (*clock)(void))
{
    instance->clock = clock;
    return SLUICE_OK;
}

int32_t sluice_reset(sluice_t *instance)
{
    instance->frames = 0;
    return SLUICE_OK;
}

/* Two instructions a round, apart from what it takes to get here. */
__attribute__((noinline)) static uint32_t ticks_of_loop(uint32_t (*clock)(void), uint32_t rounds)
{
    const uint32_t begin = clock();
    __asm__ volatile("1: subs %0, #1\n"
                     "bne 1b\n"
                     : "+l"(rounds)
                     :
                     : "cc", "memory");
    return clock() - begin;
}

/* More than 64 bytes of stack a call. */
__attribute__((noinline)) static uint32_t depth_of(uint32_t calls)
{
    volatile uint32_t frame[16];
    frame[calls % 16u] = 1u;
    return calls == 0 ? 0u : depth_of(calls - 1u) + frame[calls % 16u];
}

static uint32_t four_times(uint32_t value)
{
#ifdef __ARM_FEATURE_MVE
    uint32_t sum;
    __asm__ volatile("vdup.32 q0, %1\n"
                     "vaddv.u32 %0, q0\n"
                     : "=Te"(sum)
                     : "r"(value)
                     : "q0");
    return sum;
#else
    return 4u * value;
#endif
}

int32_t sluice_process_hop(sluice_t *instance, int16_t *pcm)
{
    const uint32_t number = (uint16_t)pcm[1] | (uint32_t)(uint16_t)pcm[2] << 16;
    instance->frames++;
    instance->counters = (sluice_counters_t){0};
    switch (pcm[0]) {
    case LOOP:
        instance->counters.ticks = ticks_of_loop(instance->clock, number);
        break;
    case UNDEFINED:
        __asm__ volatile("port_undefined: udf #0");
        break;
    case READ: {
        uint32_t word;
        __asm__ volatile("port_read: ldr %0, [%1]" : "=l"(word) : "l"(number) : "memory");
        instance->counters.ticks = word;
        break;
    }
    case RECURSE:
        instance->counters.ticks = depth_of(number);
        break;
#ifdef __ARM_FP
    case FLOAT: {
        float root;
        __asm__ volatile("vsqrt.f32 %0, %1" : "=t"(root) : "t"((float)number));
        instance->counters.ticks = (uint32_t)root;
        break;
    }
#endif
    case VECTOR:
        instance->counters.ticks = four_times(number);
        break;
    default:
        return SLUICE_ERROR_ARGUMENT;
    }
    return SLUICE_OK;
}

int32_t sluice_process_frame(sluice_t *instance, const int8_t *features)
{
    (void)instance;
    (void)features;
    return SLUICE_ERROR_STATE;
}

int32_t sluice_tensor(const sluice_t *instance, uint32_t index, sluice_tensor_t *tensor)
{
    (void)instance;
    (void)index;
    (void)tensor;
    return SLUICE_ERROR_ARGUMENT;
}

int32_t sluice_gates(const sluice_t *instance, uint32_t block, uint8_t *bits)
{
    (void)instance;
    (void)block;
    (void)bits;
    return SLUICE_ERROR_ARGUMENT;
}

int32_t sluice_probes(const sluice_t *instance, uint32_t first, uint32_t count, int32_t *scores)
{
    (void)instance;
    (void)first;
    (void)count;
    (void)scores;
    return SLUICE_ERROR_ARGUMENT;
}

const char *sluice_probe_name(const sluice_model_t *model, uint32_t index)
{
    (void)model;
    (void)index;
    return NULL;
}

const sluice_counters_t *sluice_counters(const sluice_t *instance)
{
    return &instance->counters;
}

int32_t sluice_layer(const sluice_t *instance, uint32_t index, const char **name,
                     sluice_layer_counters_t *counters)
{
    (void)instance;
    (void)index;
    (void)name;
    (void)counters;
    return SLUICE_ERROR_ARGUMENT;
}

int32_t sluice_set_embedding(sluice_t *instance, const int8_t *values, size_t count)
{
    (void)instance;
    (void)values;
    (void)count;
    return SLUICE_ERROR_EMBEDDING;
}

const int8_t *sluice_embedding(const sluice_t *instance)
{
    (void)instance;
    return NULL;
}
