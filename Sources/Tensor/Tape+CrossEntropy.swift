import CKernels

/// What a classification loss reports beside its gradient.
public struct CrossEntropyResult: Sendable {
  /// Mean loss over the rows that count, in nats.
  public let loss: Double
  /// Loss of every row.
  public let losses: [Float]
  /// How many logits beat the target's, 0 = correct; −1 for an ignored row.
  public let ranks: [Int32]

  /// The share of rows whose target is among the best `k`.
  public func accuracy(top k: Int32) -> Double {
    let counted = ranks.lazy.filter { $0 >= 0 }
    return Double(counted.filter { $0 < k }.count) / Double(max(counted.count, 1))
  }
}

extension Tape {
  /// Mean softmax cross-entropy as a loss term. Consumes the logits: their buffer becomes the gradient.
  ///
  /// - Parameters:
  ///   - logits: `[N, C]`.
  ///   - targets: N class numbers; negative ones are ignored.
  ///   - smoothing: label smoothing ε, the target distribution is (1 − ε) one-hot + ε / C.
  ///   - weight: of this term in the objective.
  public func crossEntropy(
    _ logits: Tensor, targets: [Int32], smoothing: Float = 0, weight: Float = 1
  ) -> CrossEntropyResult {
    let (rows, classes) = (logits.rows, logits.columns)
    precondition(rows == targets.count, "crossEntropy: \(logits.shape), \(targets.count) targets")
    let counted = targets.lazy.filter { $0 >= 0 }.count
    var losses = [Float](repeating: 0, count: rows)
    var ranks = [Int32](repeating: 0, count: rows)
    timed("cross-entropy") {
      mmoe_cross_entropy(
        logits.pointer, targets, &losses, &ranks, weight / Float(max(counted, 1)), smoothing, rows,
        classes)
    }
    let total = losses.reduce(0.0) { $0 + Double($1) }
    let loss = total / Double(max(counted, 1))
    recordLoss("cross-entropy", value: loss, weight: weight) { [self] in
      accumulate(logits, into: logits)
    }
    return CrossEntropyResult(loss: loss, losses: losses, ranks: ranks)
  }
}

/// Fixed-order inner product.
@inline(__always)
func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ n: Int) -> Float {
  mmoe_dot(a, b, n)
}
