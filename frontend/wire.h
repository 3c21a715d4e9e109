/* Reading protobuf messages from hostile bytes. See wire.c. */
#ifndef FRONTEND_WIRE_H
#define FRONTEND_WIRE_H

#include "base/arena.h"
#include "base/status.h"
#include "onnx.pb-c.h"

/* Check data strictly, then unpack it as a desc message into arena. Raw tensor bytes above a few KB are not copied:
 * their TensorProto has raw_at and raw_len instead, an offset into data. max_bytes bounds the memory of the
 * message (0: in proportion to n). file is for messages. */
ftl_status ftl_wire_unpack(ftl_arena *arena, const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t n,
			   size_t max_bytes, const char *file, ftl_diag *d, ProtobufCMessage **out);

#endif
