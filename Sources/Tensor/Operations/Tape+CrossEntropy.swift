import CKernels

/// What a classification loss reports beside its gradient.
public struct CrossEntropyResult: Sendable {
  /// Sum of the counted rows' losses over `divisor`, in nats.
  public let loss: Double
  /// Loss of every row.
  public let losses: [Float]
  /// How many logits beat the target's, 0 = correct; −1 for an ignored row, the largest number for one with NaN.
  public let ranks: [Int32]
  /// What sums over rows are divided by.
  let divisor: Double

  /// How many rows are not ignored.
  public var counted: Int { ranks.count { $0 >= 0 } }

  /// How many rows have their target among the best `k`; NaN where a logit is.
  public func correct(top k: Int32) -> Double {
    ranks.contains(.max) ? .nan : Double(ranks.count { 0..<k ~= $0 })
  }

  /// Rows whose target is among the best `k`, over `divisor`: a share where the pass is the whole batch, a part's contribution
  /// to it otherwise. NaN where a logit is.
  public func accuracy(top k: Int32) -> Double { divisor > 0 ? correct(top: k) / divisor : 0 }
}

extension Tape {
  /// Mean softmax cross-entropy as a loss term. Consumes the logits: their buffer becomes the gradient.
  ///
  /// - Parameters:
  ///   - logits: `[N, C]`.
  ///   - targets: N class numbers; negative ones are ignored.
  ///   - divisor: what the sum over rows is divided by; nil = the targets that count here, where the pass is the whole
  ///     batch. One of several parts divides by the mean number of a part's targets: the mean of the parts' losses is then
  ///     the loss of the whole batch, however unevenly targets are spread.
  ///   - smoothing: label smoothing ε, the target distribution is (1 − ε) one-hot + ε / C.
  ///   - weight: of this term in the objective.
  package func crossEntropy(
    _ logits: Tensor, targets: [Int32], over divisor: Double? = nil, smoothing: Float = 0, weight: Float = 1
  ) -> CrossEntropyResult {
    let (rows, classes) = (logits.rows, logits.columns)
    precondition(rows == targets.count, "crossEntropy: \(logits.shape), \(targets.count) targets")
    let divisor = divisor ?? Double(targets.count { $0 >= 0 })
    var losses = [Float](repeating: 0, count: rows)
    var ranks = [Int32](repeating: 0, count: rows)
    timed("cross-entropy") {
      mmoe_cross_entropy(
        logits.pointer, targets, &losses, &ranks, divisor > 0 ? weight / Float(divisor) : 0, smoothing, rows,
        classes)
    }
    let total = losses.reduce(0.0) { $0 + Double($1) }
    let loss = divisor > 0 ? total / divisor : 0
    recordLoss("cross-entropy", value: loss, weight: weight) { [self] in
      accumulate(logits, into: logits)
    }
    return CrossEntropyResult(loss: loss, losses: losses, ranks: ranks, divisor: divisor)
  }
}

/// Fixed-order inner product.
@inline(__always)
func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ n: Int) -> Float {
  mmoe_dot(a, b, n)
}
