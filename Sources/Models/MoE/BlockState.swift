import MMoETensor

/// A state of the residual stream, with its normed form where a dense MLP has already computed it.
public struct BlockState {
  public let value: Tensor
  public let normed: Tensor?
  /// The second norm of the block that the state belongs to; nil for the embedding's output.
  let norm: Norm?
  let place: StreamState
}

extension ForwardPass {
  func reached(_ state: StreamState, _ value: Tensor) -> Tensor {
    observer?.reached(state, value, tape) ?? value
  }

  /// What a path reads of a state.
  func value(of state: BlockState, along path: StreamPath) -> Tensor {
    observer?.view(of: state.place, state.value, along: path, tape) ?? state.value
  }

  /// The state as a path reads it, with its norm.
  func view(of state: BlockState, along path: StreamPath) -> BlockState {
    guard let view = observer?.view(of: state.place, state.value, along: path, tape) else { return state }
    return BlockState(
      value: view, normed: state.normed == nil ? nil : state.norm?(view, tape), norm: state.norm, place: state.place)
  }
}
