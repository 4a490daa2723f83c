import MMoEModels
import MMoETensor

/// Finds where a step went wrong: the first tensor with NaN or infinities, in the order of computation.
///
/// Nothing is checked in ordinary steps but the loss and the gradient norm; only when one of them is not finite is
/// the step's forward pass replayed with every output searched.
enum NotFiniteSearch {
  /// - Parameter replay: runs the forward pass of the failed step again on the given tape.
  static func describe(
    model: any TrainableModel, engine: Engine, replay: (Tape) -> Void
  ) -> String {
    for parameter in model.parameters {
      if let index = parameter.value.firstNotFinite() {
        return "parameter \(parameter.path) (element \(index) is \(parameter.value.pointer[index]))"
      }
    }
    // The gradients first: the replay must not be taken for them.
    let gradient = model.parameters.last {
      $0.hasGradient && $0.gradient.firstNotFinite() != nil
    }
    let tape = Tape(engine, recording: false)
    tape.searchesNotFinite = true
    replay(tape)
    if let found = tape.firstNotFinite { return found }
    if let gradient { return "gradient of \(gradient.path), all values before it being finite" }
    return "no single tensor (their sum overflowed)"
  }
}
