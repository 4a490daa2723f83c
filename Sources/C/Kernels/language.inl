// What language models add: rotary positions, cross-entropy over slices of a vocabulary, products
// with few rows.

// Rotates pairs (i, i + width/2) of every head by position * base^(-2i/width) (RoFormer, arXiv
// 2104.09864, in the half-split layout of Llama's published weights). `angles` holds cosines
// [half], then sines [half], of one position. sign = -1 turns back.
void KERNEL(mmoe_rotary)(float *x, const float *angles, float sign, long heads, long width) {
  long half = width / 2;
  const float *cosine = angles, *sine = angles + half;
  for (long h = 0; h < heads; h++) {
    float *a = x + h * width, *b = a + half;
    for (long i = 0; i < half; i++) {
      float s = sign * sine[i], c = cosine[i], u = a[i], v = b[i];
      a[i] = u * c - v * s;
      b[i] = v * c + u * s;
    }
  }
}

// `out` is the logits' own place, or bfloat16 where `half` is set; a constant at both uses.
INLINE void exp_slice(const float *logits, long ld, void *out, long ldOut, int half, const int32_t *targets,
                      long firstClass, float *maxima, float *sums, float *targetLogits, long rows,
                      long columns) {
  long whole = columns / 16 * 16, rest = columns - whole;
  for (long r = 0; r < rows; r++) {
    const float *row = logits + r * ld;
    float *exact = (float *)out + r * ldOut;
    uint16_t *rounded = (uint16_t *)out + r * ldOut;
    long target = targets[r] - firstClass;
    if (targets[r] >= 0 && target >= 0 && target < columns) targetLogits[r] = row[target];
    f16 top = splat(-INFINITY);
    for (long c = 0; c < whole; c += 16) top = max16(top, load16(row + c));
    if (rest) top = max16(top, load_tail(row + whole, rest, -INFINITY));
    float m = maximum16(top);
    f16 total = splat(0);
    for (long c = 0; c < whole; c += 16) {
      f16 e = exp16(load16(row + c) - m);
      half ? store16_bf16(rounded + c, e) : store16(exact + c, e);
      total += e;
    }
    float tail = 0;
    if (rest) {
      f16 e = exp16(load_tail(row + whole, rest, m) - m);
      half ? store_tail_bf16(rounded + whole, e, rest) : store_tail(exact + whole, e, rest);
      for (long i = 0; i < rest; i++) tail += e[i];
    }
    float sum = sum16(total) + tail;
    maxima[r] = m;
    sums[r] = sum;
    // The maximum does not see a NaN, and all of the row depends on it.
    if (sum != sum) {
      maxima[r] = sum;
      for (long c = 0; c < columns; c++) {
        if (half) rounded[c] = 0x7FC0;
        else exact[c] = sum;
      }
    }
  }
}

void KERNEL(mmoe_exp_slice)(float *logits, long ld, const int32_t *targets, long firstClass,
                            float *maxima, float *sums, float *targetLogits, long rows,
                            long columns) {
  exp_slice(logits, ld, logits, ld, 0, targets, firstClass, maxima, sums, targetLogits, rows, columns);
}

void KERNEL(mmoe_exp_slice_bf16)(uint16_t *exponentials, long ld, const float *logits, const int32_t *targets,
                                 long firstClass, float *maxima, float *sums, float *targetLogits,
                                 long rows, long columns) {
  exp_slice(logits, columns, exponentials, ld, 1, targets, firstClass, maxima, sums, targetLogits, rows, columns);
}

void KERNEL(mmoe_scale_bf16)(uint16_t *x, float alpha, long n) {
  long i = 0;
  for (; i + 16 <= n; i += 16) store16_bf16(x + i, load16_bf16(x + i) * alpha);
  if (i < n) store_tail_bf16(x + i, load_tail_bf16(x + i, n - i) * alpha, n - i);
}

// Bound by reading W from memory. One row after the other, so that there is one stream to fetch ahead of: 17 to 20 GB/s
// on two cores, four rows at a time 13 to 16.
void KERNEL(mmoe_gemv)(float *y, const float *w, const float *x, long ld, long out, long inner) {
  long whole = inner / 32 * 32;
  for (long o = 0; o < out; o++) {
    const float *p = w + o * ld;
    f16 a = splat(0), b = splat(0);
    for (long i = 0; i < whole; i += 32) {
      __builtin_prefetch(p + i + 512, 0, 0);
      __builtin_prefetch(p + i + 528, 0, 0);
      a += load16(p + i) * load16(x + i);
      b += load16(p + i + 16) * load16(x + i + 16);
    }
    float total = sum16(a + b);
    for (long i = whole; i < inner; i++) total += p[i] * x[i];
    y[o] = total;
  }
}
