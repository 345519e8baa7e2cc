#include "cobs.h"

#define LONGEST_RUN 254u

void link_cobs_write(const uint8_t *bytes, size_t count,
                     void (*write)(const uint8_t *bytes, size_t count))
{
    const uint8_t delimiter = 0;
    write(&delimiter, 1); /* ends what noise may have begun */
    size_t start = 0;
    for (;;) {
        size_t run = 0;
        while (run < LONGEST_RUN && start + run < count && bytes[start + run] != 0) {
            run++;
        }
        const uint8_t code = (uint8_t)(run + 1u);
        write(&code, 1);
        write(bytes + start, run);
        start += run;
        if (start == count) {
            break;
        }
        if (run < LONGEST_RUN) {
            start++; /* the zero that this group's code stands for */
        }
    }
    write(&delimiter, 1);
}
