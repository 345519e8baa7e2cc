/* What the tests can set and see of fake_enhancer.c, besides sluice.h. */
#ifndef FAKE_ENHANCER_H
#define FAKE_ENHANCER_H

#include "sluice.h"

#define FAKE_HOP 4
#define FAKE_DIMENSIONS 4

extern const sluice_model_t fake_model;
extern uint16_t fake_gates;     /* a block; 10, or 0 for a static network */
extern uint16_t fake_probes;    /* 2, or as many as a test wants */
extern uint16_t fake_dimensions; /* FAKE_DIMENSIONS, or 0 for a model that takes no embedding */
extern uint32_t fake_processed; /* hops and frames since the program began */
extern uint32_t fake_resets;

/* What a board forgets that starts anew. */
void fake_forget(void);

#endif
