void KERNEL(mmoe_add)(float *y, const float *x, long n) {
  for (long i = 0; i < n; i++) y[i] += x[i];
}

void KERNEL(mmoe_sum)(float *y, const float *a, const float *b, long n) {
  for (long i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void KERNEL(mmoe_scale)(float *y, const float *x, float alpha, long n) {
  for (long i = 0; i < n; i++) y[i] = alpha * x[i];
}

void KERNEL(mmoe_axpy)(float *y, const float *x, float alpha, long n) {
  for (long i = 0; i < n; i++) y[i] += alpha * x[i];
}

double KERNEL(mmoe_sum_of_squares)(const float *x, long n) {
  // Float lanes over short runs, doubles across them: exact enough for a global norm, and fast.
  double total = 0;
  for (long start = 0; start < n; start += 4096) {
    long end = start + 4096 < n ? start + 4096 : n;
    f16 a = splat(0), b = splat(0);
    long i = start;
    for (; i + 32 <= end; i += 32) {
      f16 u = load16(x + i), v = load16(x + i + 16);
      a += u * u;
      b += v * v;
    }
    float tail = 0;
    for (; i < end; i++) tail += x[i] * x[i];
    total += (double)sum16(a + b) + (double)tail;
  }
  return total;
}

float KERNEL(mmoe_dot)(const float *x, const float *y, long n) {
  f16 a = splat(0);
  long i = 0;
  for (; i + 16 <= n; i += 16) a += load16(x + i) * load16(y + i);
  float tail = 0;
  for (; i < n; i++) tail += x[i] * y[i];
  return sum16(a) + tail;
}

long KERNEL(mmoe_first_not_finite)(const float *x, long n) {
  for (long start = 0; start < n; start += 1024) {
    long end = start + 1024 < n ? start + 1024 : n;
    // 0 * x is 0 for finite x and NaN otherwise: one cheap pass, the search only where needed.
    f16 probe = splat(0);
    long c = start;
    for (; c + 16 <= end; c += 16) probe += 0.0f * load16(x + c);
    if (c < end) probe += 0.0f * load_tail(x + c, end - c, 0);
    if (sum16(probe) != 0)
      for (long i = start; i < end; i++)
        if (!isfinite(x[i])) return i;
  }
  return -1;
}

void KERNEL(mmoe_bias_residual)(float *y, const float *bias, const float *residual, long rows,
                                    long columns) {
  for (long r = 0; r < rows; r++) {
    float *row = y + r * columns;
    if (bias && residual) {
      const float *res = residual + r * columns;
      for (long c = 0; c < columns; c++) row[c] = row[c] + bias[c] + res[c];
    } else if (bias) {
      for (long c = 0; c < columns; c++) row[c] += bias[c];
    } else if (residual) {
      const float *res = residual + r * columns;
      for (long c = 0; c < columns; c++) row[c] += res[c];
    }
  }
}

void KERNEL(mmoe_column_sums)(float *sums, const float *x, long rows, long columns, long ld,
                              int accumulate) {
  long c = 0;
  for (; c + 64 <= columns; c += 64) {
    f16 a = splat(0), b = splat(0), d = splat(0), e = splat(0);
    for (long r = 0; r < rows; r++) {
      const float *p = x + r * ld + c;
      a += load16(p);
      b += load16(p + 16);
      d += load16(p + 32);
      e += load16(p + 48);
    }
    float *s = sums + c;
    if (accumulate) {
      a += load16(s);
      b += load16(s + 16);
      d += load16(s + 32);
      e += load16(s + 48);
    }
    store16(s, a);
    store16(s + 16, b);
    store16(s + 32, d);
    store16(s + 48, e);
  }
  for (; c < columns; c++) {
    float total = 0;
    for (long r = 0; r < rows; r++) total += x[r * ld + c];
    sums[c] = accumulate ? sums[c] + total : total;
  }
}

void KERNEL(mmoe_scale_rows)(float *y, const float *x, const float *scale, long rows,
                                 long columns) {
  for (long r = 0; r < rows; r++)
    for (long c = 0; c < columns; c++) y[r * columns + c] = scale[r] * x[r * columns + c];
}
