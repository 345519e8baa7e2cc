/* What the firmware wants to know of its model: see port_enhancer.c. */
#ifndef SLUICE_MODEL_DATA_H
#define SLUICE_MODEL_DATA_H

#include "sluice.h"

#define SLUICE_ARENA_BYTES 16
#define SLUICE_HOP 4
#define SLUICE_BLOCKS 0
#define SLUICE_GATES 0
#define SLUICE_PROBES 0

extern const sluice_model_t sluice_model;

#endif
