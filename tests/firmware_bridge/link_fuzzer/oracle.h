/* What a board must answer, by docs/protocol.md: its table "What a board does", and the fake
 * enhancer that numbers what it does. */
#ifndef ORACLE_H
#define ORACLE_H

#include <stddef.h>
#include <stdint.h>

/* NULL, or what is wrong with what the board `said` after it was started and `heard` this. */
const char *oracle_complaint(const uint8_t *heard, size_t heard_count, const uint8_t *said,
                             size_t said_count);

#endif
