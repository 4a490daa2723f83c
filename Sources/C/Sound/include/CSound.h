// WAV files in memory to samples, through libsndfile's virtual files.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The size of the message buffers below, the closing zero included.
#define MMOE_SOUND_MESSAGE 256

/// What a file's header says.
typedef struct {
  /// Samples of each channel.
  uint64_t frames;
  uint32_t channels;
  /// Frames per second.
  uint32_t rate;
} mmoe_sound_header;

/// Reads the header of a WAV file (RIFF or its extensible form) of any encoding that libsndfile knows. Returns 0, or -1 with
/// a message.
int mmoe_sound_inspect(const uint8_t *bytes, size_t count, mmoe_sound_header *header, char message[MMOE_SOUND_MESSAGE]);

/// Decodes all frames of a file whose header was inspected, the mean of its channels: `header.frames` numbers, those of whole
/// numbers in -1...1. Returns the frames that were there, or -1 with a message.
int64_t mmoe_sound_decode(const uint8_t *bytes, size_t count, mmoe_sound_header header, float *samples,
                          char message[MMOE_SOUND_MESSAGE]);
