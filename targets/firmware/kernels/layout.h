/* How a layer's weights are stored; the compiler chooses for the core. */
#ifndef SLUICE_LAYOUT_H
#define SLUICE_LAYOUT_H

/* ROWS and TILES fill up inputs with zeros to a multiple of 8, TILES outputs too. */
typedef enum {
    SLUICE_LAYOUT_PLAIN,  /* [outputs][inputs], for the portable kernels */
    SLUICE_LAYOUT_ROWS,   /* kernels/dsp.h, rows of their own */
    SLUICE_LAYOUT_TILES,  /* kernels/dsp.h, 8 outputs interleaved */
    SLUICE_LAYOUT_FOLDED, /* kernels/dsp.h, a depthwise with its zero point in the bias */
} sluice_layout_t;

enum { SLUICE_STORED_MULTIPLE = 8 };

#endif
