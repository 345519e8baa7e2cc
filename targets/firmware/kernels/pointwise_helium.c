#include "pointwise.h"

#include <arm_mve.h>
#include <stddef.h>
#include <string.h>

#include "helium.h"

enum { OCTET = SLUICE_HELIUM_OCTET, ROWS = SLUICE_HELIUM_ROWS, INPUTS = SLUICE_HELIUM_INPUTS };

typedef void octets_t(const sluice_helium_layer_t *layer, int8_t *y, const int8_t *y_end);

static sluice_helium_layer_t over(const sluice_pointwise_t *layer, const int8_t *x)
{
    const uint32_t row_bytes = sluice_filled_up(layer->inputs, INPUTS);
    return (sluice_helium_layer_t){.weights = layer->weights,
                                   .constants = layer->constants,
                                   .x = x,
                                   .x_end = x + row_bytes,
                                   .zero_point = layer->output_zero_point,
                                   .row_bytes = row_bytes};
}

/* All outputs; of what fills up the last octet nothing is stored. */
static void run_all(octets_t *octets, const sluice_helium_layer_t *layer, uint32_t outputs,
                    int8_t *y)
{
    const uint32_t whole = outputs / OCTET * OCTET;
    if (whole > 0) {
        octets(layer, y, y + whole);
    }
    if (whole < outputs) {
        int8_t last[OCTET];
        sluice_helium_layer_t rest = *layer;
        rest.weights += (size_t)whole * layer->row_bytes;
        rest.constants += (size_t)whole / 4u * 9u;
        octets(&rest, last, last + OCTET);
        memcpy(y + whole, last, outputs - whole);
    }
}

static void run_octets(const sluice_pointwise_t *layer, const int8_t *x,
                       const sluice_open_channels_t *outputs, int8_t *y)
{
    const bool relu = layer->output_zero_point == INT8_MIN;
    const sluice_helium_layer_t octets = over(layer, x);
    if (outputs == NULL) {
        run_all(relu ? sluice_helium_octets_relu : sluice_helium_octets, &octets, layer->outputs,
                y);
    } else if (outputs->count > 0) {
        (relu ? sluice_helium_octets_of_open_relu : sluice_helium_octets_of_open)(
            &octets, outputs->channels, outputs->channels + outputs->count, y);
    }
}

/* The inputs plus 128 and, for open ones, where their weights are; gives their end. */
static int8_t *offset_inputs(const sluice_pointwise_t *layer, const int8_t *x,
                             const sluice_open_channels_t *inputs, int8_t *offset,
                             uint32_t *sum)
{
    const uint8x16_t flip = vdupq_n_u8(0x80);
    if (inputs == NULL) {
        int32_t left = layer->inputs;
        for (; left > 0; left -= INPUTS, x += INPUTS, offset += INPUTS) {
            const mve_pred16_t valid = vctp8q((uint32_t)left);
            const uint8x16_t value = veorq_x_u8(vldrbq_z_u8((const uint8_t *)x, valid), flip, valid);
            const uint8x16_t kept = vpselq_u8(value, vdupq_n_u8(0), valid);
            vstrbq_u8((uint8_t *)offset, kept);
            *sum = vaddvaq_u8(*sum, kept);
        }
        return offset;
    }
    const uint16_t *channels = inputs->channels;
    const uint32x4_t fours = vmulq_n_u32(vidupq_n_u32(0, 1), 4 * sizeof *channels);
    int32_t left = (int32_t)inputs->count / 4; /* runs of four channels */
    for (; left > 0; left -= 4, channels += INPUTS, offset += 2 * INPUTS) {
        const mve_pred16_t valid = vctp32q((uint32_t)left);
        const uint32x4_t first = vldrhq_gather_offset_z_u32(channels, fours, valid);
        const uint32x4_t bytes = vldrwq_gather_offset_z_u32((const uint32_t *)(const void *)x, first, valid);
        const uint8x16_t flipped = veorq_m_u8(vreinterpretq_u8_u32(bytes), vreinterpretq_u8_u32(bytes), flip, valid);
        /* Blocks of 16 inputs are 128 bytes apart. */
        const uint32x4_t block = vbicq_n_u32(first, 15);
        vstrbq_u8((uint8_t *)offset, flipped);
        vstrwq_u32((uint32_t *)(void *)(offset + INPUTS), vmlaq_n_u32(first, block, OCTET - 1));
        *sum = vaddvaq_u8(*sum, flipped);
    }
    return offset;
}

static void run_offset_octets(const sluice_pointwise_t *layer, const int8_t *x, int8_t *scratch,
                              const sluice_open_channels_t *inputs, int8_t *y)
{
    uint32_t sum = 0;
    sluice_helium_layer_t octets = over(layer, scratch);
    octets.x_end = offset_inputs(layer, x, inputs, scratch, &sum);
    octets.correction = -128 * (int32_t)sum;
    run_all(inputs != NULL ? sluice_helium_octets_of_open_inputs : sluice_helium_offset_octets,
            &octets, layer->outputs, y);
}

static void run_rows(const sluice_pointwise_t *layer, const int8_t *x,
                     const sluice_open_channels_t *outputs, int8_t *y)
{
    const uint32_t count = outputs->count;
    if (count == 0) {
        return;
    }
    sluice_helium_layer_t rows = over(layer, x);
    rows.outputs = layer->outputs;
    if (count < ROWS) {
        const uint16_t last = outputs->channels[count - 1u];
        const uint16_t some[ROWS] = {outputs->channels[0], outputs->channels[count / 2u], last, last};
        sluice_helium_rows(&rows, some, some + ROWS, y);
        return;
    }
    const uint32_t whole = count / ROWS * ROWS;
    const uint16_t *end = outputs->channels + count;
    sluice_helium_rows(&rows, outputs->channels, outputs->channels + whole, y);
    if (whole < count) { /* some of the last ones again */
        sluice_helium_rows(&rows, end - ROWS, end, y);
    }
}

void sluice_pointwise(const sluice_pointwise_t *layer, const int8_t *x, int16_t *scratch,
                      const sluice_open_channels_t *outputs,
                      const sluice_open_channels_t *inputs, int8_t *y)
{
    switch (layer->layout) {
    case SLUICE_LAYOUT_OCTETS:
        run_octets(layer, x, outputs, y);
        break;
    case SLUICE_LAYOUT_OFFSET_OCTETS:
        run_offset_octets(layer, x, (int8_t *)scratch, inputs, y);
        break;
    case SLUICE_LAYOUT_LONE_ROWS:
        run_rows(layer, x, outputs, y);
        break;
    default:
        sluice_pointwise_plain(layer, x, scratch, outputs, inputs, y);
        break;
    }
}
