/* MLPerf Tiny's serial protocol: text commands, ended by '%', on one enhancer (docs/mlperf.md).
 *
 * Nothing of a board is in here: the application gives what to write with and a clock. */
#ifndef MLPERF_COMMANDS_H
#define MLPERF_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "mlperf_config.h"
#include "sluice.h"
#include "sluice_model.h"

#define MLPERF_COMMAND_CHARACTERS 80
#define MLPERF_DATA_BYTES (MLPERF_FRAMES * SLUICE_BINS)

typedef struct {
    sluice_t *enhancer; /* initialised, of the model that mlperf_config.h was made for */
    const char *name;
    const char *build_id; /* hex */
    void (*write)(const uint8_t *bytes, size_t count);
    /* Time spent in commands since the start; called between them at least once a frame. */
    uint64_t (*microseconds)(void);
    uint32_t (*lost)(void); /* received bytes that had no room, since the start */
} mlperf_host_t;

typedef struct {
    const mlperf_host_t *host;
    uint32_t lost;
    uint32_t length; /* of the command so far; beyond the limit it is only counted */
    uint32_t expected; /* bytes that `db load` announced; 0: nothing is being loaded */
    uint32_t loaded;
    bool has_results;
    int32_t scores[MLPERF_CLASSES];
    char command[MLPERF_COMMAND_CHARACTERS + 1];
    int8_t data[MLPERF_DATA_BYTES];
} mlperf_t;

/* Forget everything, and say that the board has started. */
void mlperf_start(mlperf_t *state, const mlperf_host_t *host);

/* Take one received byte; true if it ends a command, which mlperf_execute() must follow. */
bool mlperf_feed(mlperf_t *state, uint8_t byte);

/* Execute the command, and say `m-ready`. */
void mlperf_execute(mlperf_t *state);

/* Integer softmax of scores at the model's scale, in thousandths, each rounded to the nearest. */
void mlperf_probabilities(const int32_t scores[MLPERF_CLASSES],
                          uint16_t thousandths[MLPERF_CLASSES]);

#endif
