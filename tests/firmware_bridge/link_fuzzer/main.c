/* Coverage-guided fuzzing of the firmware's link: every input starts a board, the board's answers
 * are held to the page (oracle.c), and after it a greeting must be answered as if nothing had been.
 *
 *     link_fuzzer INPUTS SEED CORPUS FINDING     inputs; the corpus' first ones are in a file
 *     link_fuzzer run FINDING                    one input again
 *
 * CORPUS: u32 length and bytes, again and again. An input that makes a sanitizer, the oracle or the
 * clock complain is written to FINDING, and the program ends with a signal. Otherwise it
 * prints a line of JSON. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "coverage.h"
#include "fake_enhancer.h"
#include "link/session.h"
#include "mutate.h"
#include "oracle.h"
#include "wire.h"

#define MOST_KEPT 8192u
#define SAID_ROOM (1u << 20)
#define HANG_SECONDS 10 /* of the processor: a busy machine is no hang */

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "abort_on_error=1:detect_leaks=0:handle_abort=0";
}

const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

static uint8_t said[SAID_ROOM];
static size_t said_count;
static sluice_t enhancer, fresh_enhancer;
static link_session_t session, fresh_session;
static input_t current; /* with its epilogue in `heard` */
static uint8_t heard[INPUT_ROOM + 64];
static const char *finding = "finding";

static void wire_write(const uint8_t *bytes, size_t count)
{
    if (count > SAID_ROOM - said_count) {
        fprintf(stderr, "the board says more than any input asks for\n");
        abort();
    }
    memcpy(said + said_count, bytes, count);
    said_count += count;
}

static void nothing(void)
{
}

static uint32_t zero(void)
{
    return 0;
}

static const link_device_t device = {
    .board = "fuzzed-board",
    .write = wire_write,
    .work_begins = nothing,
    .work_ends = nothing,
    .stack_used = zero,
    .overruns = zero,
};

static void write_finding(int number)
{
    FILE *file = fopen(finding, "wb");
    if (file != NULL) {
        fwrite(current.bytes, 1, current.count, file);
        fclose(file);
    }
    if (number == SIGVTALRM) {
        fprintf(stderr, "an input takes longer than %d s of processor time\n", HANG_SECONDS);
    }
    signal(number, SIG_DFL);
    raise(number);
}

/* From now on there are HANG_SECONDS. */
static void watch(void)
{
    const struct itimerval left = {.it_value = {.tv_sec = HANG_SECONDS}};
    (void)setitimer(ITIMER_VIRTUAL, &left, NULL);
}

/* After any input: a zero, a greeting and a request, both to be answered. */
static size_t add_epilogue(uint8_t *at)
{
    static uint8_t epilogue[64];
    static size_t count;
    if (count == 0) {
        uint8_t hello[12] = {1, 1, 0x34, 0x12, 9, 9, 9, 9}, stats[8] = {1, 8, 0x35, 0x12};
        count = 1;
        count += wire_encode(hello, wire_seal(hello, 8), epilogue + count) + 1;
        count += wire_encode(stats, wire_seal(stats, 4), epilogue + count) + 1;
    }
    memcpy(at, epilogue, count);
    return count;
}

static void run_current(void)
{
    memcpy(heard, current.bytes, current.count);
    const size_t count = current.count + add_epilogue(heard + current.count);
    session = fresh_session;
    enhancer = fresh_enhancer;
    (void)sluice_reset(&enhancer);
    said_count = 0;
    coverage_begin();
    for (size_t i = 0; i < count; i++) {
        link_session_feed(&session, heard[i]);
    }
    const char *complaint = oracle_complaint(heard, count, said, said_count);
    if (complaint != NULL) {
        fprintf(stderr, "%s\n", complaint);
        abort();
    }
}

static input_t *corpus[MOST_KEPT];
static size_t corpus_count, seeds;

static void keep(const input_t *input)
{
    size_t slot = corpus_count;
    if (corpus_count < MOST_KEPT) {
        corpus[corpus_count++] = malloc(sizeof *input);
    } else {
        slot = seeds + chance((uint32_t)(MOST_KEPT - seeds));
    }
    if (corpus[slot] == NULL) {
        abort();
    }
    memcpy(corpus[slot], input, sizeof *input);
}

/* Half of the time one of the newest, which lead on; most of the time the shorter of two. */
static const input_t *choose(void)
{
    const input_t *chosen = NULL;
    for (uint32_t left = chance(4) == 0 ? 1 : 2; left > 0; left--) {
        const size_t newest = corpus_count < 64 ? corpus_count : 64;
        const size_t index = chance(2) != 0 ? corpus_count - 1 - chance((uint32_t)newest)
                                            : chance((uint32_t)corpus_count);
        if (chosen == NULL || corpus[index]->count < chosen->count) {
            chosen = corpus[index];
        }
    }
    return chosen;
}

static bool read_input(FILE *file, size_t count)
{
    current.count = count;
    return count <= INPUT_ROOM && fread(current.bytes, 1, count, file) == count;
}

static int run_one(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 2;
    }
    current.count = fread(current.bytes, 1, INPUT_ROOM, file);
    fclose(file);
    watch();
    run_current();
    return 0;
}

static bool run_seeds(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t length[4];
    if (file == NULL) {
        return false;
    }
    watch();
    while (fread(length, 1, 4, file) == 4) {
        if (!read_input(file, (size_t)length[0] + 256u * length[1])) {
            break;
        }
        run_current();
        (void)coverage_is_new();
        keep(&current);
    }
    fclose(file);
    seeds = corpus_count;
    return seeds > 0;
}

static void print_figures(uint64_t inputs, double seconds)
{
    printf("{\"inputs\": %" PRIu64 ", \"seconds\": %.1f, \"edges\": %zu, \"comparisons\": %zu, "
           "\"kept\": %zu, \"blocks\": [", inputs, seconds, coverage_edges(),
           coverage_comparisons(), corpus_count);
    const char *comma = "";
    for (uint32_t address = 0; address < 65536; address++) {
        if (coverage_block((uint16_t)address)) {
            printf("%s%" PRIu32, comma, address);
            comma = ", ";
        }
    }
    printf("]}\n");
}

int main(int count, char **words)
{
    enhancer.model = &fake_model;
    (void)sluice_reset(&enhancer);
    fresh_enhancer = enhancer;
    if (link_session_init(&session, &device, &enhancer, &fake_model) < 0) {
        return 2;
    }
    fresh_session = session;
    if (count == 3 && strcmp(words[1], "run") == 0) {
        return run_one(words[2]);
    }
    if (count != 5) {
        fprintf(stderr, "see the top of main.c\n");
        return 2;
    }
    finding = words[4];
    signal(SIGABRT, write_finding);
    signal(SIGVTALRM, write_finding);
    const uint64_t inputs = strtoull(words[1], NULL, 10);
    chance_seed(strtoull(words[2], NULL, 10));
    const clock_t began = clock();
    if (!run_seeds(words[3])) {
        fprintf(stderr, "no corpus in %s\n", words[3]);
        return 2;
    }
    for (uint64_t i = 0; i < inputs; i++) {
        if (i % 256 == 0) {
            watch();
        }
        const input_t *from = choose();
        current.count = from->count;
        memcpy(current.bytes, from->bytes, from->count);
        mutate(&current, choose());
        run_current();
        if (coverage_is_new()) {
            keep(&current);
        }
    }
    print_figures(inputs, (double)(clock() - began) / CLOCKS_PER_SEC);
    return 0;
}
