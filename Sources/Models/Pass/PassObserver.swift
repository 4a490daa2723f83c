import MMoETensor

/// A state of the residual stream, numbered in the order of the network.
public struct StreamState: Hashable, Comparable, Sendable {
  /// 0 is what the blocks receive, 2 i + 1 block i's state after attention, 2 i + 2 its output.
  public let index: Int

  public init(index: Int) { self.index = index }

  public static let input = StreamState(index: 0)
  public static func afterAttention(_ block: Int) -> StreamState { StreamState(index: 2 * block + 1) }
  public static func output(_ block: Int) -> StreamState { StreamState(index: 2 * block + 2) }

  /// The state that a route into `block` starts from.
  public static func source(_ source: RouteSource, of block: Int) -> StreamState {
    let origin = block - source.blocksBack
    switch source.site {
    case .input: return output(origin - 1)
    case .afterAttention: return afterAttention(origin)
    case .output: return output(origin)
    }
  }

  /// All states of a model of so many blocks.
  public static func all(layers: Int) -> [StreamState] { (0...2 * layers).map(StreamState.init) }

  /// As arXiv 2404.05019 names them, blocks from 1: In, 1A, 1M, 2A, 2M …
  public var name: String { index == 0 ? "In" : "\((index + 1) / 2)\(index % 2 == 1 ? "A" : "M")" }

  public static func < (first: Self, second: Self) -> Bool { first.index < second.index }
}

/// One of the ways on which the network reads a state.
public enum StreamPath: Hashable, Sendable {
  /// The sum that the next state is.
  case residual
  case attention
  /// The dense MLP.
  case mlp
  case sharedExpert
  /// The gate of shared and routed outputs, where it reads the current state.
  case coefficient
  /// A gated call of the experts, gate included.
  case route(block: Int, index: Int, blocksBack: Int)

  /// `routed` for a route of the block's own state, `shortcut` for one of an earlier block's.
  public var name: String {
    switch self {
    case .residual: "residual"
    case .attention: "attention"
    case .mlp: "mlp"
    case .sharedExpert: "shared expert"
    case .coefficient: "coefficient gate"
    case .route(_, _, let blocksBack): blocksBack == 0 ? "routed" : "shortcut"
    }
  }
}

/// A gated call of the experts, as an observer sees it.
public struct ObservedCall {
  public let block: Int
  /// Place among the block's routes.
  public let route: Int
  public let source: StreamState
  /// What gate and experts read, `[T, d]`.
  public let normed: Tensor
  public let routing: Routing
  /// Added to the scores for the choice only; nil where there is none.
  public let selectionBias: [Float]?
}

/// Looks at a forward pass while it runs: analyses are observers, and the model has no code of theirs. A pass without an
/// observer does nothing for it.
public protocol PassObserver: AnyObject {
  /// A state exists.
  ///
  /// - Returns: what every reader of the state reads: `value`, or a tensor of its shape in its place.
  func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor
  /// A route's tokens have their experts.
  func routed(_ call: ObservedCall)
  /// A path is about to read a state.
  ///
  /// - Returns: what this path alone reads in place of `value`; nil: it reads the same tensor as all others. Norms
  ///   between the state and the path are then computed for the path alone, so that its gradient is apart from theirs.
  func view(of state: StreamState, _ value: Tensor, along path: StreamPath, _ tape: Tape) -> Tensor?
}

extension PassObserver {
  public func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor { value }
  public func routed(_ call: ObservedCall) {}
  public func view(of state: StreamState, _ value: Tensor, along path: StreamPath, _ tape: Tape) -> Tensor? { nil }
}

extension Tape {
  /// The same numbers as `x` with a gradient of their own, which goes on to `x`.
  ///
  /// - Parameter observe: receives that gradient, all of it; must not write to it, and copies what it wants to keep.
  public func tap(_ x: Tensor, _ observe: @escaping (_ gradient: Tensor) -> Void) -> Tensor {
    let view = Tensor(shape: x.shape, storage: x.storage, offset: x.offset)
    let slot = x.slot
    record("tap", view) { [self] gradient in
      observe(gradient)
      accumulate(gradient, into: slot)
    }
    return view
  }
}
