/// An operator of the backbone that a route's exchange can hide behind.
public struct WindowOperator: Sendable, Hashable {
  public enum Kind: String, CaseIterable, Sendable, Hashable {
    case attention, mlp
    case shared = "shared expert"
  }
  public let block: Int
  public let kind: Kind

  public init(block: Int, kind: Kind) {
    self.block = block
    self.kind = kind
  }
}

/// One operation of a model: its sizes, and everything that is counted of it. All numbers are those of one sample (an image, a
/// window of text, a pair) unless they say otherwise.
public struct ModelOperation: Sendable {
  /// Numbers that move: for each row, for each passage of a row, and once per step however many rows there are.
  struct Amount: Sendable, Equatable {
    var row = 0.0
    var passage = 0.0
    var once = 0.0
  }

  /// Every array that is read or written, once.
  struct Traffic: Sendable, Equatable {
    /// In the type that products read.
    var operands = Amount()
    /// In float32.
    var floats = Amount()
  }

  /// A call of a bank of experts: the block, and which of its routes.
  package struct CallID: Sendable, Hashable {
    package let block: Int
    package let route: Int
  }

  /// The name under which the tape times it.
  package let name: String
  /// Rows of the input.
  package let rows: Int
  /// How many numbers a row has, before and after.
  package let inner, outer: Int
  /// Sets of weights among which rows are divided: experts; 1 elsewhere.
  package internal(set) var groups = 1
  /// For what runs once for each choice: how often a row passes on average, k where the router gives every token as many. Nil = every row passes once. A capacity or identity experts
  /// may leave choices without a product.
  package internal(set) var choices: Double?
  /// Number of the block; nil before and after the blocks.
  package internal(set) var block: Int?
  /// The call that it is a part of.
  package internal(set) var call: CallID?
  /// The operator of the backbone that it is a part of; nil = none that an exchange can hide behind.
  package internal(set) var window: WindowOperator?
  /// The calls whose exchange is under way while it runs.
  package internal(set) var inShadowOf: [CallID] = []

  /// Trainable numbers that it brings to the model; 0 where it shares those of an operation before it.
  package internal(set) var parameters = 0
  /// Of its trainable numbers those that a token meets, every choice counted.
  package internal(set) var activeParameters = 0
  /// Multiply-adds of the forward pass, every choice counted.
  package internal(set) var multiplyAdds = 0.0
  /// Products of the backward pass for each of the forward pass: 2, or 1 where nothing differentiates by the input.
  package internal(set) var backwardProducts = 2.0
  /// Whether gradients are computed within the forward pass.
  package internal(set) var differentiatesAtOnce = false
  /// Numbers that a recorded forward pass keeps for the backward pass, dropless routing.
  package internal(set) var kept = 0.0
  /// Numbers per token of context that generation keeps.
  package internal(set) var cached = 0
  var forward = Traffic()
  /// Beyond `forward` where the pass is recorded.
  var recorded = Traffic()
  var backward = Traffic()

  init(_ name: String, rows: Int, in inner: Int, out outer: Int) {
    (self.name, self.rows, self.inner, self.outer) = (name, rows, inner, outer)
  }
}

extension ModelOperation {
  /// Arithmetic of matrix products, and the least memory traffic.
  package struct Work: Equatable, Sendable {
    package var flops = 0.0
    package var bytes = 0.0

    package init() {}

    package static func += (sum: inout Work, other: Work) {
      sum.flops += other.flops
      sum.bytes += other.bytes
    }
  }

  /// Work of a pass.
  ///
  /// - Parameters:
  ///   - samples: of the batch.
  ///   - operandBytes: of a number that products read.
  ///   - computed: share of the choices that an expert computes: the others were dropped, or are an identity's.
  /// - Returns: of the forward part, and of the backward part of a recorded pass, nil where it has none.
  package func work(samples: Int, recorded isRecorded: Bool, operandBytes: Double, computed: Double)
    -> (forward: Work, backward: Work?)
  {
    let rows = Double(samples * self.rows)
    let share = choices == nil ? 1 : computed
    let passages = rows * (choices ?? 1) * share
    func count(_ amount: Amount) -> Double { amount.row * rows + amount.passage * passages + amount.once }
    func bytes(_ traffic: Traffic) -> Double { operandBytes * count(traffic.operands) + 4 * count(traffic.floats) }
    var (ahead, back) = (Work(), Work())
    ahead.flops = 2 * multiplyAdds * Double(samples) * share
    ahead.bytes = bytes(forward)
    guard isRecorded else { return (ahead, nil) }
    ahead.bytes += bytes(recorded)
    (back.flops, back.bytes) = (backwardProducts * ahead.flops, bytes(backward))
    guard differentiatesAtOnce else { return (ahead, backward == Traffic() ? nil : back) }
    ahead += back
    return (ahead, nil)
  }

  /// FLOPs of the forward pass of one passage of one row.
  package var passageFLOPs: Double { 2 * multiplyAdds / Double(rows) / (choices ?? 1) }
}
