void KERNEL(mmoe_encode_bf16)(uint16_t *y, const float *x, long n) {
  long i = 0;
  for (; i + 16 <= n; i += 16) store16_bf16(y + i, load16(x + i));
  if (i < n) store_tail_bf16(y + i, load_tail(x + i, n - i, 0), n - i);
}

void KERNEL(mmoe_decode_bf16)(float *y, const uint16_t *x, long n) {
  long i = 0;
  for (; i + 16 <= n; i += 16) store16(y + i, load16_bf16(x + i));
  if (i < n) store_tail(y + i, load_tail_bf16(x + i, n - i), n - i);
}

static inline long KERNEL(int8_row)(long columns) { return 4 + (columns + 3) / 4 * 4; }

void KERNEL(mmoe_encode_int8)(uint8_t *y, const float *x, long rows, long columns) {
  for (long r = 0; r < rows; r++) {
    const float *in = x + r * columns;
    uint8_t *out = y + r * KERNEL(int8_row)(columns);
    // Integer comparison of magnitudes: NaN and infinity are larger than every number.
    int32_t largest = 0;
    for (long c = 0; c < columns; c++) {
      int32_t bits;
      memcpy(&bits, in + c, 4);
      bits &= 0x7FFFFFFF;
      largest = bits > largest ? bits : largest;
    }
    float top;
    memcpy(&top, &largest, 4);
    int finite = largest < 0x7F800000;
    float scale = finite ? top / 127.0f : NAN;
    float inverse = finite && scale > 0 ? 1.0f / scale : 0.0f;
    // The smallest magnitudes have no finite inverse; they round to zero.
    if (!(inverse <= 3.0e38f)) inverse = 0;
    memcpy(out, &scale, 4);
    int8_t *bytes = (int8_t *)(out + 4);
    if (!finite) {
      memset(bytes, 0, (size_t)columns);
      continue;
    }
    for (long c = 0; c < columns; c++) {
      float v = in[c] * inverse;
      bytes[c] = (int8_t)(int32_t)(v + (v >= 0 ? 0.5f : -0.5f));
    }
  }
}

void KERNEL(mmoe_decode_int8)(float *y, const uint8_t *x, long rows, long columns) {
  for (long r = 0; r < rows; r++) {
    const uint8_t *in = x + r * KERNEL(int8_row)(columns);
    float scale;
    memcpy(&scale, in, 4);
    const int8_t *bytes = (const int8_t *)(in + 4);
    float *out = y + r * columns;
    for (long c = 0; c < columns; c++) out[c] = scale * (float)bytes[c];
  }
}
