/* Standard input to the board, what it says to standard output. Built with
 * sanitizers: whatever comes in, nothing may be read or written out of bounds. */
#include <stdio.h>

#include "fake_board.h"

int main(void)
{
    uint8_t bytes[256];
    size_t count;
    board_power_on();
    while ((count = fread(bytes, 1, sizeof bytes, stdin)) > 0) {
        const uint8_t *reply;
        board_feed(bytes, count);
        const size_t length = board_take(&reply);
        fwrite(reply, 1, length, stdout);
    }
    return 0;
}
