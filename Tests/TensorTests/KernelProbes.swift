import KernelLevels

/// One kernel with small inputs, whose widths reach the wide loops and what is left over after them.
struct KernelProbe: Sendable, CustomStringConvertible {
  typealias Arrays = [String: [Float]]

  let kernel: String
  /// What tells apart the probes of one kernel.
  var form = ""
  /// Every number that the kernel reads, settings included, by the names of CKernels.h.
  let inputs: Arrays
  /// Inputs whose infinity has a finite limit: the exponential of minus infinity is 0, and beyond 88 it is that of 88 (of a
  /// row with infinity the forward pass has stored NaN).
  var mayBe: [String: [Float]] = [:]
  /// Runs the kernel; what it writes or returns, bfloat16 and bytes decoded.
  let run: @Sendable (kernel_table, Arrays) -> Arrays

  var description: String { form.isEmpty ? kernel : "\(kernel) (\(form))" }
}

private let random = CounterNumbers()

/// Numbers between −1 and 1 without zeros, the same in every run.
private struct CounterNumbers: Sendable {
  func callAsFunction(_ count: Int, seed: Int) -> [Float] {
    (0..<count).map { i in
      let mixed = UInt32(truncatingIfNeeded: (i + 1) &* 2_654_435_761 &+ seed &* 40_503) >> 8
      return Float(mixed) / Float(1 << 23) - 1 + 0x1p-25
    }
  }
}

private func bf16(_ values: [Float]) -> [UInt16] {
  // Of a NaN the upper half alone could be infinity.
  values.map { $0.isNaN ? 0x7FC0 : UInt16($0.bitPattern >> 16) }
}

private func float(_ values: [UInt16]) -> [Float] { values.map { Float(bitPattern: UInt32($0) << 16) } }

private let (rows, columns) = (3, 37)
private let elements = random(75, seed: 1)
private let matrix = random(rows * columns, seed: 2)
private let other = random(rows * columns, seed: 3)
private let perRow = random(rows, seed: 4)
private let perColumn = random(columns, seed: 5)

private let elementwise: [KernelProbe] = [
  KernelProbe(kernel: "mmoe_add", inputs: ["y": elements, "x": random(75, seed: 9)]) { k, v in
    var y = v["y"]!
    k.mmoe_add(&y, v["x"]!, y.count)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_sum", inputs: ["a": elements, "b": random(75, seed: 9)]) { k, v in
    var y = [Float](repeating: 0, count: 75)
    k.mmoe_sum(&y, v["a"]!, v["b"]!, y.count)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_scale", inputs: ["x": elements, "alpha": [0.5]]) { k, v in
    var y = [Float](repeating: 0, count: 75)
    k.mmoe_scale(&y, v["x"]!, v["alpha"]![0], y.count)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_axpy", inputs: ["y": elements, "x": random(75, seed: 9), "alpha": [0.5]]) { k, v in
    var y = v["y"]!
    k.mmoe_axpy(&y, v["x"]!, v["alpha"]![0], y.count)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_sum_of_squares", inputs: ["x": elements]) { k, v in
    ["sum": [Float(k.mmoe_sum_of_squares(v["x"]!, 75))]]
  },
  KernelProbe(kernel: "mmoe_dot", inputs: ["x": elements, "y": random(75, seed: 9)]) { k, v in
    ["dot": [k.mmoe_dot(v["x"]!, v["y"]!, 75)]]
  },
  KernelProbe(kernel: "mmoe_first_not_finite", inputs: ["x": elements]) { k, v in
    // Its answer to a NaN is where it stands.
    let (x, index) = (v["x"]!, k.mmoe_first_not_finite(v["x"]!, 75))
    return ["found": [index < 0 ? x.reduce(0, +) : x[index]]]
  },
  KernelProbe(
    kernel: "mmoe_bias_residual", inputs: ["y": matrix, "bias": perColumn, "residual": other]
  ) { k, v in
    var y = v["y"]!
    k.mmoe_bias_residual(&y, v["bias"]!, v["residual"]!, rows, columns)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_column_sums", inputs: ["sums": random(85, seed: 1), "x": random(170, seed: 2)]) { k, v in
    var sums = v["sums"]!
    k.mmoe_column_sums(&sums, v["x"]!, 2, 85, 85, 1)
    return ["sums": sums]
  },
  KernelProbe(kernel: "mmoe_scale_rows", inputs: ["x": matrix, "scale": perRow]) { k, v in
    var y = [Float](repeating: 0, count: rows * columns)
    k.mmoe_scale_rows(&y, v["x"]!, v["scale"]!, rows, columns)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_gemv", inputs: ["w": random(225, seed: 1), "x": elements]) { k, v in
    var y = [Float](repeating: 0, count: 3)
    k.mmoe_gemv(&y, v["w"]!, v["x"]!, 75, 3, 75)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_rotary", inputs: ["x": elements, "angles": random(10, seed: 2), "sign": [1]]) { k, v in
    var x = v["x"]!
    k.mmoe_rotary(&x, v["angles"]!, v["sign"]![0], 7, 10)
    return ["x": x]
  },
  KernelProbe(
    kernel: "mmoe_adamw",
    inputs: [
      "p": elements, "g": random(75, seed: 2), "m": random(75, seed: 3), "v": random(75, seed: 4).map { $0 * $0 },
      "gradScale": [0.5], "lr": [0.1], "decay": [0.1], "beta1": [0.9], "beta2": [0.95], "eps": [1e-3],
      "correction1": [0.5], "correction2": [0.25],
    ]
  ) { k, v in
    var (p, m, second) = (v["p"]!, v["m"]!, v["v"]!)
    k.mmoe_adamw(
      &p, v["g"]!, &m, &second, v["gradScale"]![0], v["lr"]![0], v["decay"]![0], v["beta1"]![0], v["beta2"]![0],
      v["eps"]![0], v["correction1"]![0], v["correction2"]![0], p.count)
    return ["p": p, "m": m, "v": second]
  },
]

private let wire: [KernelProbe] = [
  KernelProbe(kernel: "mmoe_encode_bf16", inputs: ["x": elements]) { k, v in
    var y = [UInt16](repeating: 0, count: 75)
    k.mmoe_encode_bf16(&y, v["x"]!, y.count)
    return ["y": float(y)]
  },
  KernelProbe(kernel: "mmoe_decode_bf16", inputs: ["x": elements]) { k, v in
    var y = [Float](repeating: 0, count: 75)
    k.mmoe_decode_bf16(&y, bf16(v["x"]!), y.count)
    return ["y": y]
  },
  KernelProbe(kernel: "mmoe_scale_bf16", inputs: ["x": elements, "alpha": [0.5]]) { k, v in
    var x = bf16(v["x"]!)
    k.mmoe_scale_bf16(&x, v["alpha"]![0], x.count)
    return ["x": float(x)]
  },
  KernelProbe(kernel: "mmoe_encode_int8", inputs: ["x": matrix]) { k, v in
    var bytes = [UInt8](repeating: 0, count: rows * 44)
    k.mmoe_encode_int8(&bytes, v["x"]!, rows, columns)
    return [
      "y": (0..<rows).flatMap { r in
        let scale = bytes[r * 44..<r * 44 + 4].withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
        return bytes[r * 44 + 4..<r * 44 + 4 + columns].map { scale * Float(Int8(bitPattern: $0)) }
      }
    ]
  },
  KernelProbe(kernel: "mmoe_decode_int8", inputs: ["scale": perRow]) { k, v in
    let bytes = v["scale"]!.flatMap { scale in
      withUnsafeBytes(of: scale) { Array($0) } + (0..<40).map { UInt8(truncatingIfNeeded: $0 * 7) }
    }
    var y = [Float](repeating: 0, count: rows * columns)
    k.mmoe_decode_int8(&y, bytes, rows, columns)
    return ["y": y]
  },
]

private let norms: [KernelProbe] = [
  KernelProbe(
    kernel: "mmoe_layer_norm", inputs: ["x": matrix, "gamma": perColumn, "beta": perColumn, "eps": [1e-3]]
  ) { k, v in
    var (y, mean, rstd) = (matrix, perRow, perRow)
    k.mmoe_layer_norm(&y, v["x"]!, v["gamma"]!, v["beta"]!, &mean, &rstd, v["eps"]![0], rows, columns)
    return ["y": y, "mean": mean, "rstd": rstd]
  },
  KernelProbe(
    kernel: "mmoe_layer_norm_backward",
    inputs: ["dx": other, "dy": matrix, "x": other, "gamma": perColumn, "mean": perRow, "rstd": [1, 2, 3]]
  ) { k, v in
    var (dx, dGamma, dBeta) = (v["dx"]!, perColumn, perColumn)
    k.mmoe_layer_norm_backward(
      &dx, v["dy"]!, v["x"]!, v["gamma"]!, v["mean"]!, v["rstd"]!, &dGamma, &dBeta, 1, rows, columns)
    return ["dx": dx, "dGamma": dGamma, "dBeta": dBeta]
  },
  KernelProbe(kernel: "mmoe_rms_norm", inputs: ["x": matrix, "gamma": perColumn, "eps": [1e-3]]) { k, v in
    var (y, rstd) = (matrix, perRow)
    k.mmoe_rms_norm(&y, v["x"]!, v["gamma"]!, &rstd, v["eps"]![0], rows, columns)
    return ["y": y, "rstd": rstd]
  },
  KernelProbe(
    kernel: "mmoe_rms_norm_backward",
    inputs: ["dx": other, "dy": matrix, "x": other, "gamma": perColumn, "rstd": [1, 2, 3]]
  ) { k, v in
    var (dx, dGamma) = (v["dx"]!, perColumn)
    k.mmoe_rms_norm_backward(&dx, v["dy"]!, v["x"]!, v["gamma"]!, v["rstd"]!, &dGamma, 1, rows, columns)
    return ["dx": dx, "dGamma": dGamma]
  },
]

private let activations: [KernelProbe] = [MMOE_GELU, MMOE_GELU_ERF, MMOE_QUICK_GELU, MMOE_SWIGLU].flatMap { kind in
  // Backward goes by blocks of 64 and 16 columns and the rest.
  let (rows, hidden) = (2, 85)
  let width = kind == MMOE_SWIGLU ? 2 * hidden : hidden
  let form = "\(["GELU", "GELU with erf", "quick GELU", "SwiGLU"][Int(kind.rawValue)])"
  let pre = random(rows * width, seed: 6)
  let gradient = random(rows * hidden, seed: 7)
  return [
    KernelProbe(kernel: "mmoe_activate", form: form, inputs: ["pre": pre, "bias": random(width, seed: 8)]) { k, v in
      var (pre, activated) = (v["pre"]!, gradient)
      k.mmoe_activate(kind, &pre, v["bias"]!, &activated, rows, hidden)
      return ["pre": pre, "activated": activated]
    },
    KernelProbe(kernel: "mmoe_activate_bf16", form: form, inputs: ["pre": pre, "bias": random(width, seed: 8)]) {
      k, v in
      var (kept, activated) = (bf16(pre), bf16(gradient))
      k.mmoe_activate_bf16(kind, v["pre"]!, v["bias"]!, &kept, &activated, rows, hidden)
      return ["kept": float(kept), "activated": float(activated)]
    },
    KernelProbe(kernel: "mmoe_activate_backward", form: form, inputs: ["pre": pre, "grad": gradient]) { k, v in
      var (pre, activated, sums) = (v["pre"]!, gradient, [Float](repeating: 0, count: width))
      k.mmoe_activate_backward(kind, &pre, v["grad"]!, &activated, &sums, rows, hidden)
      return ["pre": pre, "activated": activated, "columnSums": sums]
    },
    KernelProbe(kernel: "mmoe_activate_backward_bf16", form: form, inputs: ["pre": pre, "grad": gradient]) { k, v in
      var (pre, activated, sums) = (bf16(v["pre"]!), bf16(gradient), [Float](repeating: 0, count: width))
      k.mmoe_activate_backward_bf16(kind, &pre, v["grad"]!, &activated, &sums, rows, hidden)
      return ["pre": float(pre), "activated": float(activated), "columnSums": sums]
    },
  ]
}

private let softmax: [KernelProbe] =
  [false, true].map { isCausal in
    KernelProbe(
      kernel: "mmoe_softmax_rows", form: isCausal ? "causal" : "", inputs: ["x": matrix], mayBe: ["x": [-.infinity]]
    ) { k, v in
      var (x, logSumExp) = (v["x"]!, perRow)
      k.mmoe_softmax_rows(&x, &logSumExp, rows, columns, columns, isCausal ? 1 : 0, 20)
      return ["x": x, "logSumExp": logSumExp]
    }
  } + [
    KernelProbe(
      kernel: "mmoe_softmax_recompute", inputs: ["x": matrix, "logSumExp": perRow],
      mayBe: ["x": [.infinity, -.infinity], "logSumExp": [.infinity, -.infinity]]
    ) { k, v in
      var x = v["x"]!
      k.mmoe_softmax_recompute(&x, v["logSumExp"]!, rows, columns, columns, 1, 20)
      return ["x": x]
    },
    KernelProbe(kernel: "mmoe_softmax_backward", inputs: ["dP": matrix, "p": other, "D": perRow]) { k, v in
      var dP = v["dP"]!
      k.mmoe_softmax_backward(&dP, v["p"]!, v["D"]!, rows, columns, columns)
      return ["dP": dP]
    },
    KernelProbe(kernel: "mmoe_row_dots", inputs: ["a": matrix, "b": other]) { k, v in
      var dots = perRow
      k.mmoe_row_dots(&dots, v["a"]!, v["b"]!, rows, columns, columns, columns)
      return ["D": dots]
    },
    KernelProbe(
      kernel: "mmoe_cross_entropy", inputs: ["logits": matrix, "scale": [0.5], "smoothing": [0.1]],
      mayBe: ["logits": [-.infinity]]
    ) { k, v in
      var (logits, losses, ranks) = (v["logits"]!, perRow, [Int32](repeating: 0, count: rows))
      k.mmoe_cross_entropy(
        &logits, [0, -1, 36], &losses, &ranks, v["scale"]![0], v["smoothing"]![0], rows, columns)
      return ["logits": logits, "losses": losses]
    },
    KernelProbe(kernel: "mmoe_exp_slice", inputs: ["logits": matrix], mayBe: ["logits": [-.infinity]]) { k, v in
      var (logits, maxima, sums, targets) = (v["logits"]!, perRow, perRow, perRow)
      k.mmoe_exp_slice(&logits, columns, [100, 136, 137], 100, &maxima, &sums, &targets, rows, columns)
      return ["logits": logits, "maxima": maxima, "sums": sums, "targetLogits": targets]
    },
    KernelProbe(kernel: "mmoe_exp_slice_bf16", inputs: ["logits": matrix], mayBe: ["logits": [-.infinity]]) { k, v in
      var (out, maxima, sums, targets) = (bf16(matrix), perRow, perRow, perRow)
      k.mmoe_exp_slice_bf16(
        &out, columns, v["logits"]!, [100, 136, 137], 100, &maxima, &sums, &targets, rows, columns)
      return ["exponentials": float(out), "maxima": maxima, "sums": sums, "targetLogits": targets]
    },
  ]

/// Five tokens, six experts, two choices each; the last token may not take expert 5.
private let (tokens, experts, choices) = (5, 6, 2)
private let pairs: [Int32] = [0, 3, 5, 1, 2, 4, 4, 0, 1, 2]
private let gates: [Float] = random(10, seed: 3).map(abs)

private let routing: [KernelProbe] =
  [false, true].flatMap { renormalizes -> [KernelProbe] in
    let form = renormalizes ? "renormalized" : ""
    let flag: Int32 = renormalizes ? 1 : 0
    return [
      KernelProbe(
        kernel: "mmoe_route", form: form,
        inputs: ["logits": random(30, seed: 1), "selectionBias": random(6, seed: 2).map { $0 / 4 }],
        mayBe: ["logits": [-.infinity]]
      ) { k, v in
        var (p, chosen, g) = (v["logits"]!, [Int32](repeating: 0, count: 10), gates)
        var logSumExp = [Float](repeating: 0, count: tokens)
        k.mmoe_route(
          v["logits"]!, v["selectionBias"]!, [-1, -1, -1, -1, 5], &p, &chosen, &g, &logSumExp, tokens, experts,
          choices, flag)
        return ["probabilities": p, "gates": g, "logSumExp": logSumExp]
      },
      KernelProbe(
        kernel: "mmoe_route_backward", form: form,
        inputs: [
          "dLogits": random(30, seed: 1), "probabilities": random(30, seed: 2).map(abs), "gates": gates,
          "dGates": random(10, seed: 4), "dProbabilities": random(30, seed: 5), "dLogSumExp": random(5, seed: 6),
        ]
      ) { k, v in
        var d = v["dLogits"]!
        k.mmoe_route_backward(
          &d, v["probabilities"]!, pairs, v["gates"]!, v["dGates"]!, v["dProbabilities"]!, v["dLogSumExp"]!, tokens,
          experts, choices, flag)
        return ["dLogits": d]
      },
    ]
  } + [
    KernelProbe(kernel: "mmoe_gather_rows", inputs: ["x": matrix]) { k, v in
      var y = [Float](repeating: 1, count: 4 * columns)
      k.mmoe_gather_rows(&y, v["x"]!, [2, -1, 0, 1], 4, columns)
      return ["y": y]
    },
    KernelProbe(
      kernel: "mmoe_combine_rows",
      inputs: ["y": matrix, "x": random(5 * columns, seed: 6), "weight": random(6, seed: 7)]
    ) { k, v in
      var y = v["y"]!
      k.mmoe_combine_rows(&y, v["x"]!, [0, 4, 3, -1, 1, 2], v["weight"]!, 1, rows, choices, columns)
      return ["y": y]
    },
    KernelProbe(
      kernel: "mmoe_combine_backward",
      inputs: ["dy": matrix, "x": random(5 * columns, seed: 6), "weight": random(6, seed: 7)]
    ) { k, v in
      var (dx, dWeight) = ([Float](repeating: 0, count: 5 * columns), [Float](repeating: 0, count: 6))
      k.mmoe_combine_backward(
        &dx, &dWeight, v["dy"]!, v["x"]!, [0, 4, 3, -1, 1, 2], v["weight"]!, rows, choices, columns)
      return ["dx": dx, "dWeight": dWeight]
    },
    KernelProbe(
      kernel: "mmoe_identity_rows", inputs: ["y": matrix, "x": other, "gates": [0.5, 0.25, 0.125, 0.5, 0.25, 0.75]]
    ) { k, v in
      var y = v["y"]!
      k.mmoe_identity_rows(&y, v["x"]!, [4, 0, 1, 5, 4, 5], v["gates"]!, 4, rows, choices, columns)
      return ["y": y]
    },
    KernelProbe(
      kernel: "mmoe_identity_backward",
      inputs: ["dy": matrix, "x": other, "gates": [0.5, 0.25, 0.125, 0.5, 0.25, 0.75]]
    ) { k, v in
      var (dx, dGates) = ([Float](repeating: 0, count: rows * columns), [Float](repeating: 0, count: 6))
      k.mmoe_identity_backward(
        &dx, &dGates, v["dy"]!, v["x"]!, [4, 0, 1, 5, 4, 5], v["gates"]!, 4, rows, choices, columns)
      return ["dx": dx, "dGates": dGates]
    },
  ]

extension KernelProbe {
  /// At least one of every kernel.
  static let all = elementwise + wire + norms + activations + softmax + routing
}
