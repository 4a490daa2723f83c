/// Whose gradients are summed with whose under data and expert parallelism.
public enum ReductionGroup: String, Sendable, Codable {
  /// The same on every rank: its gradient is averaged over all of them.
  case replicated
  /// Lives on the ranks that hold the expert: averaged only among that expert's replicas.
  case expert
}

/// What part of a model a parameter belongs to. The names are also the words for these parts in `finetune.*`.
public enum ParameterRole: String, Sendable, CaseIterable {
  /// What pixels and tokens become, positions and class token included; a tied head is one of them.
  case embeddings
  /// Projections of self-attention and cross-attention.
  case attention
  /// Every norm, wherever it is.
  case norms
  /// Dense MLPs and shared experts.
  case mlp
  /// Gates: over experts, and over the outputs of shared and routed experts.
  case router
  /// Routed experts.
  case experts
  /// What reads the last norm: classes, next tokens, the space in which images and texts are compared.
  case head
  /// Learned weights of the losses.
  case lossWeights = "loss_weights"
}

/// Which of a bank's experts live in this process, under their global numbers.
public struct ExpertShare: Sendable, Equatable {
  public let local: Range<Int>
  /// Experts of the whole bank.
  public let total: Int
  /// Those of the bank that the array is of: all, or neighbors of one width.
  public let stack: Range<Int>

  public init(local: Range<Int>, of total: Int, stack: Range<Int>? = nil) {
    self.local = local
    self.total = total
    self.stack = stack ?? 0..<total
  }
}

/// A trainable array, with all that others need to know about it from birth.
public final class Parameter {
  /// The path in the model, which is also its path in checkpoints: `blocks.3.moe.experts.fc1.weight`.
  public let path: String
  public let value: Tensor
  public let role: ParameterRole
  /// For stacked experts, those that the first axis holds.
  public let experts: ExpertShare?
  /// Whether weight decay applies: weights of two or more axes, except embeddings of single tokens.
  public let decays: Bool
  /// No optimizer step leaves a number larger than this; nil = any number. The bound is not part of the forward pass, so that
  /// a number that has reached it keeps its gradient and can fall again.
  public let largest: Float?
  /// A trained change that every product with this weight adds.
  public var adapter: LowRankAdapter?
  /// Whether it keeps its value in training: nothing computes its gradient, and the gradient takes no memory.
  public var isFrozen = false
  /// dLoss/dValue; meaningful while `hasGradient`, and only then does it have storage: between backward passes
  /// activations use it.
  public var gradient: Tensor {
    if let current { return current }
    let fresh = Tensor(uninitialized: value.shape)
    current = fresh
    return fresh
  }
  private var current: Tensor?
  /// False until a backward pass of this step has reached an operation that reads the parameter, and has written the
  /// gradient. A question of how operations are connected, not of values: experts without tokens have a gradient of zeros.
  public private(set) var hasGradient = false

  public init(
    path: String, role: ParameterRole, value: Tensor, experts: ExpertShare? = nil, decays: Bool, largest: Float? = nil
  ) {
    self.path = path
    self.role = role
    self.value = value
    self.experts = experts
    self.decays = decays
    self.largest = largest
  }

  public var reduction: ReductionGroup { experts == nil ? .replicated : .expert }
  public var shape: [Int] { value.shape }
  public var count: Int { value.count }

  /// Forgets the gradient; the next backward pass overwrites it, so nothing is filled with zeros.
  public func clearGradient() {
    hasGradient = false
    current = nil
  }

  fileprivate func gradientTarget() -> (pointer: UnsafeMutablePointer<Float>, beta: Float)? {
    guard !isFrozen else { return nil }
    let beta: Float = hasGradient ? 1 : 0
    hasGradient = true
    return (gradient.pointer, beta)
  }
}

/// A parameter as an operation on a tape reads it.
///
/// Adjoints can write gradients through this value alone, and making one tells the tape what is read. An operation
/// therefore cannot compute a gradient of a parameter that the tape does not know of.
public struct TapedParameter {
  private let parameter: Parameter

  fileprivate init(_ parameter: Parameter, on tape: Tape) {
    self.parameter = parameter
    tape.meet(parameter)
  }

  var path: String { parameter.path }
  public var value: Tensor { parameter.value }
  var shape: [Int] { parameter.shape }
  var count: Int { parameter.count }
  /// For `AdapterPass`, which reads its two parameters.
  var adapter: LowRankAdapter? { parameter.adapter }

  /// What a product multiplies by. How a weight is kept is asked here alone, so that another form of it (rounded once, or
  /// quantized by blocks) needs no operation to change.
  ///
  /// - Parameter dtype: of the product; the engine's when nil.
  func operand(_ engine: Engine, _ dtype: DType? = nil) -> Operand { engine.operand(value, dtype) }

  /// Where an adjoint writes, and whether it has to add (1) or may overwrite (0); nil where it is frozen.
  func gradientTarget() -> (pointer: UnsafeMutablePointer<Float>, beta: Float)? { parameter.gradientTarget() }

  /// Adds what `add` adds to the parameter's gradient, row-major; nothing where it is frozen. For the adjoints of operations
  /// outside of the package.
  public func addGradient(_ add: (UnsafeMutableBufferPointer<Float>) -> Void) {
    guard let target = gradientTarget() else { return }
    let gradient = UnsafeMutableBufferPointer(start: target.pointer, count: count)
    if target.beta == 0 { gradient.update(repeating: 0) }
    add(gradient)
  }
}

extension Tape {
  /// What an operation does first with every parameter that it is given.
  public func read(_ parameter: Parameter) -> TapedParameter { TapedParameter(parameter, on: self) }

  /// The same for a parameter that not every model has.
  func read(_ parameter: Parameter?) -> TapedParameter? { parameter.map { TapedParameter($0, on: self) } }
}
