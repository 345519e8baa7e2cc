#include "pointwise.h"

#include <arm_mve.h>
#include <stddef.h>
#include <string.h>

#include "helium.h"

enum { OCTET = SLUICE_HELIUM_OCTET, ROWS = SLUICE_HELIUM_ROWS, INPUTS = SLUICE_HELIUM_INPUTS };
enum { CONSTANT_WORDS_OF_OCTET = 18, HELD_INPUTS = 128 };

_Static_assert(offsetof(sluice_pointwise_t, constants) == 4, "as the assembly has it");
_Static_assert(offsetof(sluice_pointwise_t, inputs) == 8, "as the assembly has it");
_Static_assert(offsetof(sluice_pointwise_t, outputs) == 10, "as the assembly has it");
_Static_assert(offsetof(sluice_pointwise_t, output_zero_point) == 14, "as the assembly has it");

typedef void octets_t(const sluice_pointwise_t *layer, const sluice_helium_inputs_t *inputs,
                      int8_t *y, const int8_t *y_end);
typedef void octets_of_open_t(const sluice_pointwise_t *layer, const int8_t *x,
                              const uint16_t *open, const uint16_t *open_end, int8_t *y);

static uint32_t row_bytes(const sluice_pointwise_t *layer)
{
    return sluice_filled_up(layer->inputs, INPUTS);
}

/* `count` outputs from output `first`; whole octets. */
static void run_from(octets_t *octets, const sluice_pointwise_t *layer,
                     const sluice_helium_inputs_t *inputs, uint32_t first, uint32_t count,
                     int8_t *y)
{
    sluice_pointwise_t from = *layer;
    from.weights += (size_t)first * row_bytes(layer);
    from.constants += (size_t)first / OCTET * CONSTANT_WORDS_OF_OCTET;
    octets(&from, inputs, y, y + count);
}

/* Those octets of which some output is open. Networks close outputs or inputs of a
 * layer, so this is for others. */
static void run_some(octets_t *octets, const sluice_pointwise_t *layer,
                     const sluice_helium_inputs_t *inputs, const sluice_open_channels_t *open,
                     int8_t *y)
{
    if (open->group == OCTET) {
        for (uint32_t k = 0, end = 0; k < open->count; k = end) {
            const uint32_t first = open->channels[k];
            end = sluice_run_end(open, k);
            run_from(octets, layer, inputs, first, end - k, y + first);
        }
        return;
    }
    for (uint32_t k = 0; k < open->count;) {
        const uint32_t first = open->channels[k] / OCTET * OCTET;
        int8_t octet[OCTET];
        run_from(octets, layer, inputs, first, OCTET, octet);
        for (; k < open->count && open->channels[k] < first + OCTET; k++) {
            y[open->channels[k]] = octet[open->channels[k] - first];
        }
    }
}

static inline void run_all(octets_t *octets, const sluice_pointwise_t *layer,
                           const sluice_helium_inputs_t *inputs, int8_t *y)
{
    const uint32_t whole = layer->outputs / OCTET * OCTET;
    if (whole > 0) {
        octets(layer, inputs, y, y + whole);
    }
    if (whole < layer->outputs) { /* of what fills up the last octet nothing is stored */
        int8_t last[OCTET];
        run_from(octets, layer, inputs, whole, OCTET, last);
        memcpy(y + whole, last, layer->outputs - whole);
    }
}

/* By whether 128 inputs are stored, and whether the output is -128 and more. */
static octets_t *const octets_of[2][2] = {
    {sluice_helium_octets, sluice_helium_octets_relu},
    {sluice_helium_octets_128, sluice_helium_octets_128_relu},
};
static octets_of_open_t *const octets_of_open_of[2][2] = {
    {sluice_helium_octets_of_open, sluice_helium_octets_of_open_relu},
    {sluice_helium_octets_128_of_open, sluice_helium_octets_128_of_open_relu},
};

static void run_octets(const sluice_pointwise_t *layer, const int8_t *x,
                       const sluice_open_channels_t *outputs, int8_t *y)
{
    const bool held = row_bytes(layer) == HELD_INPUTS;
    const bool relu = layer->output_zero_point == INT8_MIN;
    if (outputs == NULL) {
        const sluice_helium_inputs_t inputs = {x, x + row_bytes(layer), 0};
        run_all(octets_of[held][relu], layer, &inputs, y);
    } else if (outputs->count > 0) {
        octets_of_open_of[held][relu](layer, x, outputs->channels,
                                      outputs->channels + outputs->count, y);
    }
}

/* x + 128 as bytes from 0 to 255, and their sum; what is not valid is 0. */
static inline uint8x16_t offset_vector(uint8x16_t x, mve_pred16_t valid, uint32_t *sum)
{
    const uint8x16_t offset = veorq_m_u8(vdupq_n_u8(0), x, vdupq_n_u8(0x80), valid);
    *sum = vaddvaq_u8(*sum, offset);
    return offset;
}

static sluice_helium_inputs_t offset_all(const sluice_pointwise_t *layer, const int8_t *x,
                                         int8_t *scratch)
{
    int8_t *to = scratch;
    uint32_t sum = 0;
    for (int32_t left = layer->inputs; left > 0; left -= INPUTS, x += INPUTS, to += INPUTS) {
        const mve_pred16_t valid = vctp8q((uint32_t)left);
        const uint8x16_t values = vldrbq_z_u8((const uint8_t *)x, valid);
        vstrbq_u8((uint8_t *)to, offset_vector(values, valid, &sum));
    }
    return (sluice_helium_inputs_t){scratch, to, -128 * (int32_t)sum};
}

/* Open inputs, four at a time: each list entry k * 4 begins a run of four channels. */
static sluice_helium_inputs_t offset_open(const sluice_open_channels_t *open, const int8_t *x,
                                          int8_t *scratch)
{
    const uint16_t *channels = open->channels;
    const uint32x4_t fours = vidupq_n_u32(0, 8); /* bytes of four entries */
    int8_t *to = scratch;
    uint32_t sum = 0;
    for (int32_t left = open->count / 4; left > 0; left -= 4, to += 2 * INPUTS) {
        const mve_pred16_t valid = vctp32q((uint32_t)left);
        const uint32x4_t first = vldrhq_gather_offset_z_u32(channels, fours, valid);
        const uint32x4_t values =
            vldrwq_gather_offset_z_u32((const uint32_t *)(const void *)x, first, valid);
        vstrbq_u8((uint8_t *)to, offset_vector(vreinterpretq_u8_u32(values), valid, &sum));
        /* In an octet's weights, 16 inputs are 7 * 16 bytes further than in x. */
        const uint32x4_t block = vbicq_n_u32(first, INPUTS - 1);
        vstrwq_u32((uint32_t *)(void *)(to + INPUTS), vmlaq_n_u32(first, block, OCTET - 1));
        channels += INPUTS;
    }
    return (sluice_helium_inputs_t){scratch, to, -128 * (int32_t)sum};
}

static void run_offset_octets(const sluice_pointwise_t *layer, const int8_t *x, int8_t *scratch,
                              const sluice_open_channels_t *outputs,
                              const sluice_open_channels_t *open, int8_t *y)
{
    const sluice_helium_inputs_t inputs =
        open != NULL ? offset_open(open, x, scratch) : offset_all(layer, x, scratch);
    octets_t *octets =
        open != NULL ? sluice_helium_octets_of_open_inputs : sluice_helium_offset_octets;
    if (outputs != NULL) {
        run_some(octets, layer, &inputs, outputs, y);
    } else {
        run_all(octets, layer, &inputs, y);
    }
}

static void run_rows(const sluice_pointwise_t *layer, const int8_t *x,
                     const sluice_open_channels_t *outputs, int8_t *y)
{
    const uint16_t *open = outputs->channels, *end = open + outputs->count;
    const uint32_t whole = outputs->count / ROWS * ROWS;
    if (whole > 0) {
        sluice_helium_rows(layer, x, open, open + whole, y);
    }
    if (whole < outputs->count) { /* the last one in place of the missing ones */
        uint16_t rest[ROWS];
        for (uint32_t i = 0; i < ROWS; i++) {
            rest[i] = open + whole + i < end ? open[whole + i] : end[-1];
        }
        sluice_helium_rows(layer, x, rest, rest + ROWS, y);
    }
}

void sluice_pointwise(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y)
{
    const uint32_t layout = layer->layout;
    if (sluice_is_layout(layout, SLUICE_LAYOUT_OCTETS)) {
        run_octets(layer, x, outputs, y);
    } else if (sluice_is_layout(layout, SLUICE_LAYOUT_OFFSET_OCTETS)) {
        run_offset_octets(layer, x, (int8_t *)scratch, outputs, inputs, y);
    } else if (sluice_is_layout(layout, SLUICE_LAYOUT_LONE_ROWS)) {
        run_rows(layer, x, outputs, y);
    } else if (sluice_is_layout(layout, SLUICE_LAYOUT_PLAIN)) {
        sluice_pointwise_plain(layer, x, scratch, outputs, inputs, y);
    }
}
