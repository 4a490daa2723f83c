// Color glyphs of a bitmap font: HarfBuzz turns a sequence of code points into one glyph, FreeType decodes its picture. And
// lines of text in a font of outlines.
//
// Both libraries speak in macros and opaque handles; behind these functions errors come back as a status and a message.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The size of the message buffers below, the closing zero included.
#define MMOE_GLYPH_MESSAGE 256

/// An open font; one thread at a time may use it.
typedef struct mmoe_font mmoe_font;

void mmoe_font_close(mmoe_font *font);

/// Opens a font and selects its one bitmap strike: fonts of color bitmaps have fixed sizes only. Returns null with a
/// message.
mmoe_font *mmoe_glyph_open(const char *path, char message[MMOE_GLYPH_MESSAGE]);

/// The glyph that a sequence of code points is drawn as. Returns 0, or -1 with a message: several glyphs, or none.
int mmoe_glyph_shape(mmoe_font *font, const uint32_t *codepoints, size_t count, uint32_t *glyph,
                     char message[MMOE_GLYPH_MESSAGE]);

/// Draws a glyph's picture over white into the middle of a square of `side` x `side` RGB pixels. Returns 0, or -1 with a
/// message: no color picture, or a larger one.
int mmoe_glyph_draw(mmoe_font *font, uint32_t glyph, uint8_t *rgb, int side,
                    char message[MMOE_GLYPH_MESSAGE]);

/// Opens a font of outlines at a size in pixels. Returns null with a message.
mmoe_font *mmoe_text_open(const char *path, int pixels, char message[MMOE_GLYPH_MESSAGE]);

/// Draws a line of UTF-8 into a mask of `width` x `height` bytes, 255 where a glyph covers the pixel, beginning at the left;
/// what is out of the mask is cut off. Without a mask nothing is drawn. Returns the line's width in pixels.
int mmoe_text_draw(mmoe_font *font, const char *text, size_t bytes, uint8_t *mask, int width, int height,
                   int baseline);
