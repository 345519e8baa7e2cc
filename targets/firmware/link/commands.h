/* What each request does; docs/protocol.md gives the layouts. */
#ifndef LINK_COMMANDS_H
#define LINK_COMMANDS_H

#include "bytes.h"
#include "session.h"

/* Execute a request and write its reply's payload. Gives an enum link_error, with
 * `detail` set if it is not LINK_ERROR_NONE. */
uint32_t link_command(link_session_t *session, uint8_t type, const uint8_t *payload,
                      size_t count, link_writer_t *reply, int32_t *detail);

#endif
