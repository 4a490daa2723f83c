import MMoEModels
import MMoETensor

/// Finds where a step went wrong: the first tensor with NaN or infinities, in the order of computation.
///
/// Nothing is checked in ordinary steps but the loss and the gradient norm; only when one of them is not finite is
/// the step's forward pass replayed with every output searched.
enum NotFiniteSearch {
  /// - Parameter replay: runs the forward pass of the failed step again on the given tape; nil where it was not the step
  ///   that failed. With several ranks all replay it, since they compute it together.
  /// - Returns: the tensor in words, and its place in the order of computation.
  static func describe(
    model: any TrainableModel, engine: Engine, replay: ((Tape) throws -> Void)?
  ) -> (place: String, position: Int) {
    let parameter = badParameter(model)
    // The gradients first: the replay must not be taken for them.
    let gradient = model.parameters.last {
      $0.hasGradient && $0.gradient.firstNotFinite() != nil
    }
    let tape = Tape(engine, recording: false)
    tape.searchesNotFinite = true
    // What it throws is no news: the step itself did not.
    try? replay?(tape)
    if let parameter { return (parameter, 0) }
    if replay == nil { return ("none of the parameters", .max) }
    if let found = tape.firstNotFinite { return (found, tape.inspectedOutputs) }
    if let gradient {
      return ("gradient of \(gradient.path), all values before it being finite", .max - 1)
    }
    return ("no single tensor (their sum overflowed)", .max)
  }

  /// The first parameter or buffer with NaN or infinities, in words.
  static func badParameter(_ model: any TrainableModel) -> String? {
    for parameter in model.parameters {
      if let index = parameter.value.firstNotFinite() {
        return "parameter \(parameter.path) (element \(index) is \(parameter.value.pointer[index]))"
      }
    }
    for (path, value) in model.buffers {
      if let index = value.firstNotFinite() { return "\(path) (element \(index) is \(value.pointer[index]))" }
    }
    return nil
  }
}
