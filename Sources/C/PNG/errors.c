#include "errors.h"

#include <stdarg.h>
#include <stdio.h>

void mmoe_png_say(char *message, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, MMOE_PNG_MESSAGE, format, arguments);
  va_end(arguments);
}

void mmoe_png_fail(png_structp png, png_const_charp text) {
  mmoe_png_say(png_get_error_ptr(png), "%s", text);
  png_longjmp(png, 1);
}

void mmoe_png_ignore(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}
