#pragma once

#include "CPictures.h"

/// Writes a formatted message.
__attribute__((format(printf, 2, 3))) void mmoe_picture_say(char *message, const char *format, ...);

/// Checks a size against the limits and takes the memory for its pixels. Returns 0, or -1 with a message.
int mmoe_picture_allocate(mmoe_picture *picture, uint32_t width, uint32_t height, mmoe_picture_limits limits, char *message);

/// Whether a size is within the limits. Returns 0, or -1 with a message.
int mmoe_picture_check(uint32_t width, uint32_t height, mmoe_picture_limits limits, char *message);
