INLINE long limit_of(long row, long columns, int causal, long firstRow) {
  long limit = firstRow + row + 1;
  return causal && limit < columns ? limit : columns;
}

void KERNEL(mmoe_softmax_rows)(float *x, float *logSumExp, long rows, long columns, long ld,
                                   int causal, long firstRow) {
  for (long r = 0; r < rows; r++) {
    float *row = x + r * ld;
    long n = limit_of(r, columns, causal, firstRow), whole = n / 16 * 16, rest = n - whole;
    f16 top = splat(-INFINITY);
    for (long c = 0; c < whole; c += 16) top = max16(top, load16(row + c));
    if (rest) top = max16(top, load_tail(row + whole, rest, -INFINITY));
    float m = maximum16(top);
    f16 total = splat(0);
    for (long c = 0; c < whole; c += 16) {
      f16 e = exp16(load16(row + c) - m);
      store16(row + c, e);
      total += e;
    }
    float tail = 0;
    if (rest) {
      f16 e = exp16(load_tail(row + whole, rest, m) - m);
      store_tail(row + whole, e, rest);
      for (long c = whole; c < n; c++) tail += row[c];
    }
    float sum = sum16(total) + tail, inverse = 1.0f / sum;
    for (long c = 0; c < n; c++) row[c] *= inverse;
    for (long c = n; c < columns; c++) row[c] = 0;
    logSumExp[r] = m + logarithm(sum);
  }
}

void KERNEL(mmoe_softmax_recompute)(float *x, const float *logSumExp, long rows, long columns,
                                        long ld, int causal, long firstRow) {
  for (long r = 0; r < rows; r++) {
    float *row = x + r * ld;
    long n = limit_of(r, columns, causal, firstRow), whole = n / 16 * 16, rest = n - whole;
    float m = logSumExp[r];
    for (long c = 0; c < whole; c += 16) store16(row + c, exp16(load16(row + c) - m));
    if (rest) store_tail(row + whole, exp16(load_tail(row + whole, rest, m) - m), rest);
    for (long c = n; c < columns; c++) row[c] = 0;
  }
}

void KERNEL(mmoe_softmax_backward)(float *dP, const float *p, const float *D, long rows,
                                       long columns, long ld) {
  for (long r = 0; r < rows; r++) {
    float *g = dP + r * ld;
    const float *q = p + r * ld;
    float d = D[r];
    for (long c = 0; c < columns; c++) g[c] = q[c] * (g[c] - d);
  }
}

void KERNEL(mmoe_row_dots)(float *D, const float *a, const float *b, long rows, long columns,
                               long lda, long ldb) {
  for (long r = 0; r < rows; r++) {
    f16 total = splat(0);
    const float *u = a + r * lda, *v = b + r * ldb;
    long c = 0;
    for (; c + 16 <= columns; c += 16) total += load16(u + c) * load16(v + c);
    float tail = 0;
    for (; c < columns; c++) tail += u[c] * v[c];
    D[r] = sum16(total) + tail;
  }
}

void KERNEL(mmoe_cross_entropy)(float *logits, const int32_t *targets, float *losses,
                                    int32_t *ranks, float scale, float smoothing, long rows,
                                    long columns) {
  for (long r = 0; r < rows; r++) {
    float *row = logits + r * columns;
    if (targets[r] < 0) {
      losses[r] = 0;
      ranks[r] = -1;
      for (long c = 0; c < columns; c++) row[c] = 0;
      continue;
    }
    float target = row[targets[r]];
    long whole = columns / 16 * 16, rest = columns - whole;
    f16 top = splat(-INFINITY);
    for (long c = 0; c < whole; c += 16) top = max16(top, load16(row + c));
    if (rest) top = max16(top, load_tail(row + whole, rest, -INFINITY));
    float m = maximum16(top);
    int32_t rank = 0;
    for (long c = 0; c < targets[r]; c++) rank += row[c] >= target;
    for (long c = targets[r]; c < columns; c++) rank += row[c] > target;
    // Summed in double, which logits cannot overflow, and only where asked for: 0 times infinity would be NaN.
    double mean = 0;
    for (long c = 0; c < columns && smoothing != 0; c++) mean += row[c];
    mean /= (double)columns;
    f16 total = splat(0);
    for (long c = 0; c < whole; c += 16) {
      f16 e = exp16(load16(row + c) - m);
      store16(row + c, e);
      total += e;
    }
    float tail = 0;
    for (long c = whole; c < columns; c++) {
      row[c] = exponential(row[c] - m);
      tail += row[c];
    }
    float sum = sum16(total) + tail, logSum = m + logarithm(sum);
    losses[r] = logSum - (1 - smoothing) * target - smoothing * (float)mean;
    // Nothing is larger than NaN: such a target would be the first.
    ranks[r] = sum == sum ? rank : INT32_MAX;
    float factor = scale / sum, uniform = scale * smoothing / (float)columns;
    for (long c = 0; c < columns; c++) row[c] = row[c] * factor - uniform;
    row[targets[r]] -= scale * (1 - smoothing);
  }
}
