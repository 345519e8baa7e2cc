#include "commands.h"

#include "crc32.h"
#include "messages.h"

#define CRC_BYTES 4u /* behind the values of an embedding */
#define COUNTERS_PER_LAYER_BYTES 12u
#define RANGE_REPLY_BYTES 4u /* first and count, in front of a list's entries */
#define SCORES_AT_ONCE 16u /* on the stack; a model with more is asked again */

static uint32_t refuse(int32_t *detail, uint32_t error, int32_t value)
{
    *detail = value;
    return error;
}

static uint32_t hello(const link_session_t *session, const uint8_t *nonce, link_writer_t *reply)
{
    const link_device_t *device = session->device;
    const sluice_info_t *info = &session->info;
    put_bytes(reply, nonce, 4);
    put_u16(reply, LINK_MAX_PAYLOAD);
    put_u16(reply, LINK_WINDOW);
    put_u32(reply, LINK_RECEIVE_BYTES);
    put_u32(reply, info->sample_rate);
    put_u16(reply, info->hop);
    put_u16(reply, info->bins);
    put_u16(reply, info->blocks);
    put_u16(reply, info->gates);
    put_u16(reply, info->layers);
    put_u16(reply, info->tensors);
    put_u16(reply, info->probes);
    put_u8(reply, device->counter_kind);
    put_u8(reply, device->counter_shift);
    put_u32(reply, device->counter_hz);
    put_u32(reply, session->tensor_bytes);
    put_u32(reply, info->dense_macs);
    put_u32(reply, info->arena_bytes);
    put_u32(reply, device->flash_bytes);
    put_u32(reply, device->ram_bytes);
    put_u32(reply, device->stack_bytes);
    put_bytes(reply, info->hash, sizeof info->hash);
    put_bytes(reply, device->build_id, sizeof device->build_id);
    put_string(reply, device->board);
    put_string(reply, info->preset);
    return LINK_ERROR_NONE;
}

static uint32_t put_scores(const link_session_t *session, link_writer_t *reply, int32_t *detail)
{
    int32_t scores[SCORES_AT_ONCE];
    const uint32_t probes = session->info.probes;
    for (uint32_t first = 0, count; first < probes; first += count) {
        count = probes - first < SCORES_AT_ONCE ? probes - first : SCORES_AT_ONCE;
        const int32_t status = sluice_probes(session->enhancer, first, count, scores);
        if (status < 0) {
            return refuse(detail, LINK_ERROR_ENHANCER, status);
        }
        for (uint32_t i = 0; i < count; i++) {
            put_u32(reply, (uint32_t)scores[i]);
        }
    }
    return LINK_ERROR_NONE;
}

/* Counters, probe scores and gates of the frame just processed. */
static uint32_t put_result(const link_session_t *session, link_writer_t *reply, int32_t *detail)
{
    const sluice_counters_t *counters = sluice_counters(session->enhancer);
    put_u32(reply, counters->executed_macs);
    put_u32(reply, counters->weight_bytes);
    put_u32(reply, counters->ticks);
    put_u32(reply, counters->analysis_ticks);
    put_u32(reply, counters->synthesis_ticks);
    const uint32_t error = put_scores(session, reply, detail);
    if (error != LINK_ERROR_NONE) {
        return error;
    }
    const size_t gate_bytes = (session->info.gates + 7u) / 8u;
    for (uint32_t i = 0; gate_bytes > 0 && i < session->info.blocks; i++) {
        uint8_t *bits = put_space(reply, gate_bytes);
        const int32_t status = bits == NULL ? SLUICE_OK : sluice_gates(session->enhancer, i, bits);
        if (status < 0) {
            return refuse(detail, LINK_ERROR_ENHANCER, status);
        }
    }
    return LINK_ERROR_NONE;
}

static uint32_t hop(link_session_t *session, const uint8_t *payload, size_t count,
                    link_writer_t *reply, int32_t *detail)
{
    const size_t samples = session->info.hop;
    if (count != 2 * samples || count > sizeof session->pcm) {
        return refuse(detail, LINK_ERROR_LENGTH, (int32_t)(2 * samples));
    }
    for (size_t i = 0; i < samples; i++) {
        session->pcm[i] = (int16_t)get_u16(payload + 2 * i);
    }
    session->device->work_begins();
    const int32_t status = sluice_process_hop(session->enhancer, session->pcm);
    session->device->work_ends();
    if (status < 0) {
        return refuse(detail, LINK_ERROR_ENHANCER, status);
    }
    const uint32_t error = put_result(session, reply, detail);
    for (size_t i = 0; i < samples; i++) {
        put_u16(reply, (uint16_t)session->pcm[i]);
    }
    return error;
}

static uint32_t frame(link_session_t *session, const uint8_t *payload, size_t count,
                      link_writer_t *reply, int32_t *detail)
{
    if (count != session->info.bins) {
        return refuse(detail, LINK_ERROR_LENGTH, session->info.bins);
    }
    session->device->work_begins();
    const int32_t status = sluice_process_frame(session->enhancer, (const int8_t *)payload);
    session->device->work_ends();
    if (status < 0) {
        return refuse(detail, LINK_ERROR_ENHANCER, status);
    }
    return put_result(session, reply, detail);
}

/* As many bytes of the output tensors, laid end to end, as fit from `offset`. */
static uint32_t tensors(const link_session_t *session, uint32_t offset, link_writer_t *reply,
                        int32_t *detail)
{
    if (offset >= session->tensor_bytes) {
        return refuse(detail, LINK_ERROR_RANGE, (int32_t)session->tensor_bytes);
    }
    put_u32(reply, offset);
    uint32_t start = 0; /* of the tensor at hand */
    for (uint32_t i = 0; i < session->info.tensors; i++) {
        sluice_tensor_t tensor;
        const int32_t status = sluice_tensor(session->enhancer, i, &tensor);
        if (status < 0) {
            return refuse(detail, LINK_ERROR_ENHANCER, status);
        }
        const uint32_t end = start + tensor.channels;
        if (offset < end) {
            const size_t room = reply->capacity - reply->count;
            const size_t left = end - offset;
            const size_t part = left < room ? left : room;
            put_bytes(reply, tensor.data + (offset - start), part);
            offset += (uint32_t)part;
        }
        start = end;
    }
    return LINK_ERROR_NONE;
}

static uint32_t layers(const link_session_t *session, uint16_t first, link_writer_t *reply,
                       int32_t *detail)
{
    if (first >= session->info.layers) {
        return refuse(detail, LINK_ERROR_RANGE, session->info.layers);
    }
    const uint32_t fitting = (LINK_MAX_PAYLOAD - RANGE_REPLY_BYTES) / COUNTERS_PER_LAYER_BYTES;
    const uint32_t left = (uint32_t)session->info.layers - first;
    const uint32_t count = left < fitting ? left : fitting;
    put_u16(reply, first);
    put_u16(reply, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        sluice_layer_counters_t counters;
        const char *name;
        const int32_t status = sluice_layer(session->enhancer, first + i, &name, &counters);
        if (status < 0) {
            return refuse(detail, LINK_ERROR_ENHANCER, status);
        }
        put_u32(reply, counters.executed_macs);
        put_u32(reply, counters.weight_bytes);
        put_u32(reply, counters.ticks);
    }
    return LINK_ERROR_NONE;
}

static int32_t put_description(const link_session_t *session, uint8_t kind, uint32_t index,
                               link_writer_t *reply)
{
    sluice_tensor_t tensor = {0};
    sluice_layer_counters_t counters;
    const char *name = NULL;
    int32_t status = SLUICE_OK;
    if (kind == LINK_DESCRIBE_TENSORS) {
        status = sluice_tensor(session->enhancer, index, &tensor);
        name = tensor.name;
    } else if (kind == LINK_DESCRIBE_LAYERS) {
        status = sluice_layer(session->enhancer, index, &name, &counters);
    } else {
        name = sluice_probe_name(session->model, index);
    }
    if (status < 0 || name == NULL) {
        return status < 0 ? status : SLUICE_ERROR_ARGUMENT;
    }
    put_string(reply, name);
    put_u16(reply, tensor.channels);
    put_u16(reply, (uint16_t)tensor.zero_point);
    return SLUICE_OK;
}

/* As many entries as fit, from `first`. */
static uint32_t describe(const link_session_t *session, uint8_t kind, uint16_t first,
                         link_writer_t *reply, int32_t *detail)
{
    const uint16_t totals[] = {session->info.tensors, session->info.layers, session->info.probes};
    if (kind >= sizeof totals / sizeof totals[0]) {
        return refuse(detail, LINK_ERROR_RANGE, (int32_t)(sizeof totals / sizeof totals[0]));
    }
    if (first >= totals[kind]) {
        return refuse(detail, LINK_ERROR_RANGE, totals[kind]);
    }
    put_u16(reply, first);
    uint8_t *count = put_space(reply, 2);
    set_u16(count, 0);
    for (uint32_t i = first; i < totals[kind]; i++) {
        const size_t before = reply->count;
        const int32_t status = put_description(session, kind, i, reply);
        if (status < 0) {
            return refuse(detail, LINK_ERROR_ENHANCER, status);
        }
        if (reply->overrun && i > first) {
            reply->overrun = false; /* the next request takes over from here */
            reply->count = before;
            break;
        }
        set_u16(count, (uint16_t)(i + 1u - first));
    }
    return LINK_ERROR_NONE;
}

static uint32_t stats(const link_session_t *session, link_writer_t *reply)
{
    put_u32(reply, session->device->stack_used());
    put_u32(reply, session->counts.requests);
    put_u32(reply, session->counts.repeated);
    put_u32(reply, session->counts.damaged);
    put_u32(reply, session->counts.out_of_sequence);
    put_u32(reply, session->device->overruns());
    return LINK_ERROR_NONE;
}

static uint32_t reset(link_session_t *session, int32_t *detail)
{
    const int32_t status = sluice_reset(session->enhancer);
    return status < 0 ? refuse(detail, LINK_ERROR_ENHANCER, status) : LINK_ERROR_NONE;
}

/* The values may have been damaged before they came to the host's link. */
static uint32_t set_embedding(link_session_t *session, const uint8_t *payload, size_t count,
                              link_writer_t *reply, int32_t *detail)
{
    const size_t dimensions = session->info.dimensions;
    if (dimensions == 0) {
        return refuse(detail, LINK_ERROR_ENHANCER, SLUICE_ERROR_EMBEDDING);
    }
    if (count != dimensions + CRC_BYTES) {
        return refuse(detail, LINK_ERROR_LENGTH, (int32_t)(dimensions + CRC_BYTES));
    }
    const uint32_t crc = link_crc32(payload, dimensions);
    if (crc != get_u32(payload + dimensions)) {
        return refuse(detail, LINK_ERROR_CHECKSUM, (int32_t)crc);
    }
    const int32_t status =
        sluice_set_embedding(session->enhancer, (const int8_t *)payload, dimensions);
    if (status < 0) {
        return refuse(detail, LINK_ERROR_ENHANCER, status);
    }
    put_u32(reply, crc);
    return LINK_ERROR_NONE;
}

static uint32_t get_embedding(const link_session_t *session, link_writer_t *reply)
{
    const uint8_t *values = (const uint8_t *)sluice_embedding(session->enhancer);
    const size_t dimensions = values != NULL ? session->info.dimensions : 0;
    put_u32(reply, dimensions > 0 ? link_crc32(values, dimensions) : 0);
    put_bytes(reply, values, dimensions);
    return LINK_ERROR_NONE;
}

/* Payload length of the requests whose length does not depend on the model. */
static bool fixed_length(uint8_t type, size_t *length)
{
    switch (type) {
    case LINK_HELLO:
    case LINK_TENSORS:
    case LINK_DESCRIBE:
        *length = 4;
        return true;
    case LINK_LAYERS:
        *length = 2;
        return true;
    case LINK_RESET:
    case LINK_STATS:
    case LINK_GET_EMBEDDING:
        *length = 0;
        return true;
    default:
        return false;
    }
}

uint32_t link_command(link_session_t *session, uint8_t type, const uint8_t *payload,
                      size_t count, link_writer_t *reply, int32_t *detail)
{
    size_t length = 0;
    if (fixed_length(type, &length) && count != length) {
        return refuse(detail, LINK_ERROR_LENGTH, (int32_t)length);
    }
    switch (type) {
    case LINK_HELLO:
        return hello(session, payload, reply);
    case LINK_RESET:
        return reset(session, detail);
    case LINK_HOP:
        return hop(session, payload, count, reply, detail);
    case LINK_FRAME_REQUEST:
        return frame(session, payload, count, reply, detail);
    case LINK_TENSORS:
        return tensors(session, get_u32(payload), reply, detail);
    case LINK_LAYERS:
        return layers(session, get_u16(payload), reply, detail);
    case LINK_DESCRIBE:
        return describe(session, payload[0], get_u16(payload + 2), reply, detail);
    case LINK_STATS:
        return stats(session, reply);
    case LINK_SET_EMBEDDING:
        return set_embedding(session, payload, count, reply, detail);
    case LINK_GET_EMBEDDING:
        return get_embedding(session, reply);
    default:
        return refuse(detail, LINK_ERROR_TYPE, type);
    }
}
