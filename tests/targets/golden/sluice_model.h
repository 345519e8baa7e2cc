/* Compiled from a .tflite by `python -m targets compile`. Do not edit. */
#ifndef SLUICE_MODEL_DATA_H
#define SLUICE_MODEL_DATA_H

#include "sluice.h"

#define SLUICE_PRESET "tiny-hidden-8-5"
#define SLUICE_MODEL_HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SLUICE_ARENA_BYTES 1440
#define SLUICE_SAMPLE_RATE 16000
#define SLUICE_HOP 32
#define SLUICE_BINS 33
#define SLUICE_BLOCKS 2
#define SLUICE_GATES 4
#define SLUICE_LAYERS 12
#define SLUICE_TENSORS 7
#define SLUICE_PROBES 9

#ifdef __cplusplus
extern "C" {
#endif

extern const sluice_model_t sluice_model;

#ifdef __cplusplus
}
#endif
#endif
