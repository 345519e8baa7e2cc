#include "mlperf/commands.h"

#include <string.h>

#define BYTES_A_LINE 8u
#define DEFAULT_INFERENCES 1u
#define DEFAULT_WARMUPS 10u

static void say(const mlperf_t *state, const char *text)
{
    state->host->write((const uint8_t *)text, strlen(text));
}

static void say_number(const mlperf_t *state, uint64_t value)
{
    char digits[21];
    uint32_t at = sizeof digits - 1u;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value > 0);
    say(state, &digits[at]);
}

/* `text` may hold one '#', which stands for the number. */
static void say_line(const mlperf_t *state, const char *text, uint64_t number)
{
    const char *mark = strchr(text, '#');
    if (mark != NULL) {
        state->host->write((const uint8_t *)text, (size_t)(mark - text));
        say_number(state, number);
        text = mark + 1;
    }
    say(state, text);
    say(state, "\r\n");
}

static void say_timestamp(const mlperf_t *state)
{
    say_line(state, "m-lap-us-#", state->host->microseconds());
}

static void forget_data(mlperf_t *state)
{
    state->expected = 0;
    state->loaded = 0;
}

/* The next word, which it ends with a zero; NULL if there is none. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \r\n");
    char *end = word + strcspn(word, " \r\n");
    if (end == word) {
        return NULL;
    }
    *rest = *end != '\0' ? end + 1 : end;
    *end = '\0';
    return word;
}

/* Decimal digits alone, at most nine of them; else -1. */
static int32_t number_of(const char *word)
{
    int32_t value = 0;
    const size_t digits = strlen(word);
    if (digits == 0 || digits > 9 || strspn(word, "0123456789") != digits) {
        return -1;
    }
    for (; *word != '\0'; word++) {
        value = 10 * value + (*word - '0');
    }
    return value;
}

static int32_t digit_of(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

static void load(mlperf_t *state, char **rest)
{
    const char *word = next_word(rest);
    forget_data(state);
    if (word == NULL) {
        say(state, "e-[Command 'db load' requires the # of bytes]\r\n");
        return;
    }
    const int32_t bytes = number_of(word);
    if (bytes <= 0) {
        say(state, "e-[Command 'db load' must be >0 bytes]\r\n");
    } else if (bytes > MLPERF_DATA_BYTES) {
        say_line(state, "e-[Too much data: there is room for # bytes]", MLPERF_DATA_BYTES);
    } else if (bytes % SLUICE_BINS != 0) {
        say_line(state, "e-[No whole frames: a frame has # bytes]", SLUICE_BINS);
    } else {
        state->expected = (uint32_t)bytes;
        say_line(state, "m-[Expecting # bytes]", state->expected);
    }
}

/* A damaged part spoils the whole: what is missing in the middle cannot be sent again. */
static void take(mlperf_t *state, const char *hex)
{
    const size_t digits = strlen(hex);
    if (state->expected == 0) {
        say(state, "e-[No data expected: 'db load' comes first]\r\n");
        return;
    }
    if (digits % 2 != 0) {
        say(state, "e-[Insufficent number of hex digits]\r\n");
        forget_data(state);
        return;
    }
    if (digits / 2 > state->expected - state->loaded) {
        say_line(state, "e-[Too much data: # bytes were announced]", state->expected);
        forget_data(state);
        return;
    }
    for (; *hex != '\0'; hex += 2) {
        const int32_t high = digit_of(hex[0]);
        const int32_t low = digit_of(hex[1]);
        if (high < 0 || low < 0) {
            const char wrong[] = {hex[0], hex[1], '\0'};
            say(state, "e-[Invalid hex digit '");
            say(state, wrong);
            say(state, "']\r\n");
            forget_data(state);
            return;
        }
        state->data[state->loaded++] = (int8_t)(uint8_t)(16 * high + low);
    }
    if (state->loaded == state->expected) {
        say(state, "m-load-done\r\n");
    }
}

static void print_data(const mlperf_t *state)
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < state->loaded; i++) {
        const bool ends = (i + 1) % BYTES_A_LINE == 0 || i + 1 == state->loaded;
        const uint8_t byte = (uint8_t)state->data[i];
        const char text[] = {digits[byte >> 4], digits[byte & 15], ends ? '\0' : '-', '\0'};
        if (i % BYTES_A_LINE == 0) {
            say(state, "m-buffer-");
        }
        say(state, text);
        if (ends) {
            say(state, "\r\n");
        }
    }
}

static void data_command(mlperf_t *state, char **rest)
{
    const char *word = next_word(rest);
    if (word == NULL) {
        say(state, "e-[Command 'db' requires a subcommand]\r\n");
    } else if (strcmp(word, "load") == 0) {
        load(state, rest);
    } else if (strcmp(word, "print") == 0) {
        print_data(state);
    } else {
        take(state, word);
    }
}

static void say_results(const mlperf_t *state)
{
    uint16_t thousandths[MLPERF_CLASSES];
    if (!state->has_results) {
        say(state, "e-[No results: 'infer' comes first]\r\n");
        return;
    }
    mlperf_probabilities(state->scores, thousandths);
    say(state, "m-results-");
    for (uint32_t i = 0; i < MLPERF_CLASSES; i++) {
        const uint32_t value = thousandths[i];
        const char text[] = {i == 0 ? '[' : ',',
                             (char)('0' + value / 1000),
                             '.',
                             (char)('0' + value / 100 % 10),
                             (char)('0' + value / 10 % 10),
                             (char)('0' + value % 10),
                             '\0'};
        say(state, text);
    }
    say(state, "]\r\n");
}

/* One inference: the loaded frames from a cold start; the scores are those of the last. */
static void infer_once(mlperf_t *state)
{
    sluice_t *enhancer = state->host->enhancer;
    sluice_reset(enhancer);
    for (uint32_t at = 0; at < state->loaded; at += SLUICE_BINS) {
        sluice_process_frame(enhancer, &state->data[at]);
        (void)state->host->microseconds(); /* its counter must be read before it wraps */
    }
    for (uint32_t i = 0; i < MLPERF_CLASSES; i++) {
        state->scores[i] = 0;
        if (mlperf_rows[i] >= 0) {
            sluice_probe(enhancer, (uint32_t)mlperf_rows[i], &state->scores[i]);
        }
    }
    state->has_results = true;
}

static void infer(mlperf_t *state, char **rest)
{
    const char *first = next_word(rest);
    const char *second = first != NULL ? next_word(rest) : NULL;
    const int32_t inferences = first != NULL ? number_of(first) : (int32_t)DEFAULT_INFERENCES;
    const int32_t warmups = second != NULL ? number_of(second) : (int32_t)DEFAULT_WARMUPS;
    if (inferences <= 0) {
        say(state, "e-[Inference iterations must be >0]\r\n");
        return;
    }
    if (warmups < 0) {
        say(state, "e-[Inference warmup must be >=0]\r\n");
        return;
    }
    if (state->expected == 0 || state->loaded != state->expected) {
        say_line(state, "e-[No data: # bytes are missing, 'db load' comes first]",
                 state->expected - state->loaded);
        return;
    }
    say_line(state, "m-warmup-start-#", (uint32_t)warmups);
    for (int32_t i = 0; i < warmups; i++) {
        infer_once(state);
    }
    say(state, "m-warmup-done\r\n");
    say_line(state, "m-infer-start-#", (uint32_t)inferences);
    say_timestamp(state);
    for (int32_t i = 0; i < inferences; i++) {
        infer_once(state);
    }
    say_timestamp(state);
    say(state, "m-infer-done\r\n");
    say_results(state);
}

static void say_profile(const mlperf_t *state)
{
    say(state, "m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\n"
               "m-model-[" MLPERF_MODEL "]\r\n"
               "m-build-[");
    say(state, state->host->build_id);
    say(state, "]\r\n");
}

static void execute(mlperf_t *state)
{
    char *rest = state->command;
    const char *word = next_word(&rest);
    if (word == NULL) {
        word = "";
    }
    if (strcmp(word, "name") == 0) {
        say(state, "m-name-dut-[");
        say(state, state->host->name);
        say(state, "]\r\n");
    } else if (strcmp(word, "profile") == 0) {
        say_profile(state);
    } else if (strcmp(word, "timestamp") == 0) {
        say_timestamp(state);
    } else if (strcmp(word, "db") == 0) {
        data_command(state, &rest);
    } else if (strcmp(word, "infer") == 0) {
        infer(state, &rest);
    } else if (strcmp(word, "results") == 0) {
        say_results(state);
    } else {
        say(state, "e-[Unknown command: ");
        say(state, word);
        say(state, "]\r\n");
    }
}

void mlperf_start(mlperf_t *state, const mlperf_host_t *host)
{
    memset(state, 0, sizeof *state);
    state->host = host;
    say(state, "m-timestamp-mode-performance\r\n");
    say_timestamp(state);
    say(state, "m-init-done\r\nm-ready\r\n");
}

bool mlperf_feed(mlperf_t *state, uint8_t byte)
{
    if (byte == '%') {
        return true;
    }
    if (state->length < MLPERF_COMMAND_CHARACTERS) {
        state->command[state->length] = (char)byte;
    }
    /* One beyond the limit tells that it was passed; more must not wrap. */
    state->length += state->length <= MLPERF_COMMAND_CHARACTERS ? 1u : 0u;
    return false;
}

void mlperf_execute(mlperf_t *state)
{
    const uint32_t lost = state->host->lost();
    const uint32_t length = state->length;
    state->length = 0;
    if (lost != state->lost) {
        /* The protocol has no checksum: a byte that is gone would be a wrong result. */
        say_line(state, "e-[Bytes lost on the way: #; load again]", lost - state->lost);
        state->lost = lost;
        forget_data(state);
    } else if (length > MLPERF_COMMAND_CHARACTERS) {
        say_line(state, "e-[Command longer than # characters]", MLPERF_COMMAND_CHARACTERS);
        forget_data(state);
    } else {
        state->command[length] = '\0';
        execute(state);
    }
    say(state, "m-ready\r\n");
}
