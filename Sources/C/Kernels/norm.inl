void KERNEL(mmoe_layer_norm)(float *y, const float *x, const float *gamma, const float *beta,
                                 float *mean, float *rstd, float eps, long rows, long columns) {
  long whole = columns / 16 * 16, rest = columns - whole;
  for (long r = 0; r < rows; r++) {
    const float *in = x + r * columns;
    float *out = y + r * columns;
    f16 total = splat(0);
    for (long c = 0; c < whole; c += 16) total += load16(in + c);
    if (rest) total += load_tail(in + whole, rest, 0);
    float m = sum16(total) / (float)columns;
    // Two passes over a row that is in L1: no cancellation, unlike E[x^2] - mean^2.
    f16 square = splat(0);
    for (long c = 0; c < whole; c += 16) {
      f16 d = load16(in + c) - m;
      square += d * d;
    }
    if (rest) {
      f16 d = load_tail(in + whole, rest, m) - m;
      square += d * d;
    }
    float s = 1.0f / square_root(sum16(square) / (float)columns + eps);
    for (long c = 0; c < whole; c += 16)
      store16(out + c, (load16(in + c) - m) * s * load16(gamma + c) + load16(beta + c));
    for (long c = whole; c < columns; c++) out[c] = (in[c] - m) * s * gamma[c] + beta[c];
    mean[r] = m;
    rstd[r] = s;
  }
}

void KERNEL(mmoe_layer_norm_backward)(float *dx, const float *dy, const float *x,
                                          const float *gamma, const float *mean, const float *rstd,
                                          float *dGamma, float *dBeta, int accumulate, long rows,
                                          long columns) {
  long whole = columns / 16 * 16, rest = columns - whole;
  for (long c = 0; c < columns; c++) dGamma[c] = dBeta[c] = 0;
  for (long r = 0; r < rows; r++) {
    const float *in = x + r * columns, *g = dy + r * columns;
    float *out = dx + r * columns;
    float m = mean[r], s = rstd[r];
    f16 total = splat(0), product = splat(0);
    for (long c = 0; c < whole; c += 16) {
      f16 normed = (load16(in + c) - m) * s;
      f16 d = load16(g + c);
      store16(dGamma + c, load16(dGamma + c) + d * normed);
      store16(dBeta + c, load16(dBeta + c) + d);
      d *= load16(gamma + c);
      total += d;
      product += d * normed;
    }
    if (rest) {
      f16 normed = (load_tail(in + whole, rest, m) - m) * s;
      f16 d = load_tail(g + whole, rest, 0);
      store_tail(dGamma + whole, load_tail(dGamma + whole, rest, 0) + d * normed, rest);
      store_tail(dBeta + whole, load_tail(dBeta + whole, rest, 0) + d, rest);
      d *= load_tail(gamma + whole, rest, 0);
      total += d;
      product += d * normed;
    }
    float a = sum16(total) / (float)columns, b = sum16(product) / (float)columns;
    for (long c = 0; c < whole; c += 16) {
      f16 normed = (load16(in + c) - m) * s;
      f16 d = (load16(g + c) * load16(gamma + c) - a - normed * b) * s;
      store16(out + c, accumulate ? load16(out + c) + d : d);
    }
    for (long c = whole; c < columns; c++) {
      float normed = (in[c] - m) * s;
      float d = (g[c] * gamma[c] - a - normed * b) * s;
      out[c] = accumulate ? out[c] + d : d;
    }
  }
}

void KERNEL(mmoe_rms_norm)(float *y, const float *x, const float *gamma, float *rstd, float eps,
                           long rows, long columns) {
  long whole = columns / 16 * 16, rest = columns - whole;
  for (long r = 0; r < rows; r++) {
    const float *in = x + r * columns;
    float *out = y + r * columns;
    f16 square = splat(0);
    for (long c = 0; c < whole; c += 16) square += load16(in + c) * load16(in + c);
    if (rest) {
      f16 v = load_tail(in + whole, rest, 0);
      square += v * v;
    }
    float s = 1.0f / square_root(sum16(square) / (float)columns + eps);
    for (long c = 0; c < whole; c += 16)
      store16(out + c, load16(in + c) * s * load16(gamma + c));
    for (long c = whole; c < columns; c++) out[c] = in[c] * s * gamma[c];
    rstd[r] = s;
  }
}

void KERNEL(mmoe_rms_norm_backward)(float *dx, const float *dy, const float *x, const float *gamma,
                                    const float *rstd, float *dGamma, int accumulate, long rows,
                                    long columns) {
  long whole = columns / 16 * 16, rest = columns - whole;
  for (long c = 0; c < columns; c++) dGamma[c] = 0;
  for (long r = 0; r < rows; r++) {
    const float *in = x + r * columns, *g = dy + r * columns;
    float *out = dx + r * columns;
    float s = rstd[r];
    f16 product = splat(0);
    for (long c = 0; c < whole; c += 16) {
      f16 normed = load16(in + c) * s, d = load16(g + c);
      store16(dGamma + c, load16(dGamma + c) + d * normed);
      product += d * load16(gamma + c) * normed;
    }
    if (rest) {
      f16 normed = load_tail(in + whole, rest, 0) * s, d = load_tail(g + whole, rest, 0);
      store_tail(dGamma + whole, load_tail(dGamma + whole, rest, 0) + d * normed, rest);
      product += d * load_tail(gamma + whole, rest, 0) * normed;
    }
    float b = sum16(product) / (float)columns;
    for (long c = 0; c < whole; c += 16) {
      f16 d = (load16(g + c) * load16(gamma + c) - load16(in + c) * s * b) * s;
      store16(out + c, accumulate ? load16(out + c) + d : d);
    }
    for (long c = whole; c < columns; c++) {
      float d = (g[c] * gamma[c] - in[c] * s * b) * s;
      out[c] = accumulate ? out[c] + d : d;
    }
  }
}
