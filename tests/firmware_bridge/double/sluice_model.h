/* A test double of a compiled model: see counting_enhancer.c. */
#ifndef SLUICE_TEST_DOUBLE_H
#define SLUICE_TEST_DOUBLE_H

#include "sluice.h"

#define SLUICE_ARENA_BYTES 16
#define SLUICE_HOP 32
#define SLUICE_BLOCKS 3
#define SLUICE_GATES 12
#define SLUICE_PROBES 2

extern const sluice_model_t sluice_model;

#endif
