/* Which code an input has reached, from gcc's -fsanitize-coverage=trace-pc,trace-cmp. */
#ifndef COVERAGE_H
#define COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forget what the last input reached. */
void coverage_begin(void);

/* Whether this input reached what none before it did: a way from block to block, that way much
 * more often, or a comparison that came closer to equal. */
bool coverage_is_new(void);

/* Ways from block to block, and steps of comparisons, by all inputs. */
size_t coverage_edges(void);
size_t coverage_comparisons(void);

/* Whether the block at `address` was ever reached; give every value of 16 bits in turn. */
bool coverage_block(uint16_t address);

#endif
