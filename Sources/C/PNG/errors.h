// How libpng's errors leave this target: as text in the caller's message buffer.
#pragma once

#include <png.h>
#include <setjmp.h>

#include "CPNG.h"

/// Writes a formatted message.
__attribute__((format(printf, 2, 3))) void mmoe_png_say(char *message, const char *format, ...);

/// libpng's error handler: keeps the text in the buffer given as the error pointer and jumps back.
void mmoe_png_fail(png_structp png, png_const_charp text) __attribute__((noreturn));

/// libpng's warning handler. Warnings concern parts of a file that do not change its pixels.
void mmoe_png_ignore(png_structp png, png_const_charp text);
