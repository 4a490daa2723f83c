import MMoEModels
import MMoEParallel
import MMoETensor

/// The arrays of a checkpoint in the order in which they are written: all parameters, their first moments, their second
/// ones, and the model's untrained state.
struct TrainingState: @unchecked Sendable {
  struct Array {
    /// Of `CheckpointLayout`.
    let group: String
    let parameter: Parameter
    /// The parameter's value or a moment of it; of stacked experts those that live here.
    let values: Tensor
  }

  let arrays: [Array]
  let buffers: [(path: String, value: Tensor)]

  /// The state as it is: its memory is the model's.
  ///
  /// - Parameter optimizer: nil = weights alone.
  init(_ model: any TrainableModel, _ optimizer: AdamW?) {
    let state = optimizer?.state(of: model.parameters) ?? []
    arrays =
      model.parameters.map { Array(group: CheckpointLayout.model, parameter: $0, values: $0.value) }
      + state.map { Array(group: CheckpointLayout.firstMoment, parameter: $0.parameter, values: $0.moments.first) }
      + state.map { Array(group: CheckpointLayout.secondMoment, parameter: $0.parameter, values: $0.moments.second) }
    buffers = model.buffers
  }

  private init(arrays: [Array], buffers: [(path: String, value: Tensor)]) {
    self.arrays = arrays
    self.buffers = buffers
  }

  /// A copy that later steps do not change, with the experts of all ranks on the first one; every rank must call.
  func copied(_ team: RankTeam?) -> TrainingState {
    TrainingState(
      arrays: arrays.map {
        let gathered = team?.gather($0.parameter, $0.values)
        return Array(group: $0.group, parameter: $0.parameter, values: gathered ?? $0.values.copy())
      },
      buffers: buffers.map { ($0.path, $0.value.copy()) })
  }
}

extension AdamW {
  /// The parameters that are trained, with their moments.
  func state(of parameters: [Parameter]) -> [(parameter: Parameter, moments: (first: Tensor, second: Tensor))] {
    zip(parameters, moments).compactMap { parameter, moments in moments.map { (parameter, $0) } }
  }
}
