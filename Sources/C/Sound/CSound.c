#include "CSound.h"

#include <sndfile.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  const uint8_t *bytes;
  sf_count_t count;
  sf_count_t place;
} memory_file;

static sf_count_t length_of(void *file) { return ((memory_file *)file)->count; }

static sf_count_t place_of(void *file) { return ((memory_file *)file)->place; }

static sf_count_t seek(sf_count_t offset, int whence, void *data) {
  memory_file *file = data;
  sf_count_t place;
  if (whence == SEEK_CUR) offset += file->place;
  if (whence == SEEK_END) offset += file->count;
  place = offset < 0 ? 0 : offset > file->count ? file->count : offset;
  file->place = place;
  return place;
}

static sf_count_t read_some(void *into, sf_count_t wanted, void *data) {
  memory_file *file = data;
  const sf_count_t left = file->count - file->place;
  const sf_count_t count = wanted < 0 ? 0 : wanted < left ? wanted : left;
  memcpy(into, file->bytes + file->place, (size_t)count);
  file->place += count;
  return count;
}

static sf_count_t write_nothing(const void *bytes, sf_count_t count, void *data) {
  (void)bytes;
  (void)count;
  (void)data;
  return 0;
}

static SNDFILE *open_sound(memory_file *file, SF_INFO *info, char *message) {
  SF_VIRTUAL_IO calls = {length_of, seek, read_some, write_nothing, place_of};
  memset(info, 0, sizeof *info);
  SNDFILE *sound = sf_open_virtual(&calls, SFM_READ, info, file);
  if (sound == NULL) {
    snprintf(message, MMOE_SOUND_MESSAGE, "%s", sf_strerror(NULL));
    return NULL;
  }
  const int type = info->format & SF_FORMAT_TYPEMASK;
  if ((type != SF_FORMAT_WAV && type != SF_FORMAT_WAVEX) || info->channels < 1 || info->samplerate < 1 || info->frames < 0) {
    snprintf(message, MMOE_SOUND_MESSAGE, "%s", "not a WAV file");
    sf_close(sound);
    return NULL;
  }
  return sound;
}

int mmoe_sound_inspect(const uint8_t *bytes, size_t count, mmoe_sound_header *header, char message[MMOE_SOUND_MESSAGE]) {
  memory_file file = {bytes, (sf_count_t)count, 0};
  SF_INFO info;
  SNDFILE *sound = open_sound(&file, &info, message);
  if (sound == NULL) return -1;
  header->frames = (uint64_t)info.frames;
  header->channels = (uint32_t)info.channels;
  header->rate = (uint32_t)info.samplerate;
  sf_close(sound);
  return 0;
}

int64_t mmoe_sound_decode(const uint8_t *bytes, size_t count, mmoe_sound_header header, float *samples,
                          char message[MMOE_SOUND_MESSAGE]) {
  enum { part = 1024, most = 8 };
  float interleaved[part * most];
  memory_file file = {bytes, (sf_count_t)count, 0};
  SF_INFO info;
  SNDFILE *sound = open_sound(&file, &info, message);
  if (sound == NULL) return -1;
  const int channels = info.channels;
  if ((uint32_t)channels != header.channels || channels > most) {
    snprintf(message, MMOE_SOUND_MESSAGE, "%d channels", channels);
    sf_close(sound);
    return -1;
  }
  uint64_t done = 0;
  while (done < header.frames) {
    const uint64_t left = header.frames - done;
    const sf_count_t got = sf_readf_float(sound, interleaved, left < part ? (sf_count_t)left : part);
    if (got <= 0) break;
    for (sf_count_t i = 0; i < got; i++) {
      float sum = 0;
      for (int c = 0; c < channels; c++) sum += interleaved[i * channels + c];
      samples[done + (uint64_t)i] = sum / (float)channels;
    }
    done += (uint64_t)got;
  }
  sf_close(sound);
  return (int64_t)done;
}
