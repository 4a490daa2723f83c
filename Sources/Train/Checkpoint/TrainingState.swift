import MMoEModels
import MMoEParallel
import MMoETensor

/// The arrays of a checkpoint in the order in which they are written: all parameters, what the optimizer keeps for them, name
/// by name, and the model's untrained state.
package struct TrainingState: @unchecked Sendable {
  package struct Array {
    /// Of `CheckpointLayout`.
    package let group: String
    package let parameter: Parameter
    /// The parameter's value or an array of the optimizer's for it; of stacked experts those that live here, of sharded state this rank's slice.
    package let values: Tensor
    var isSlice = false

    /// All numbers here; every rank must call.
    package func whole(_ team: RankTeam?) -> Tensor {
      guard isSlice, let team else { return values }
      return team.assemble(values, of: parameter)
    }
  }

  package let arrays: [Array]
  package let buffers: [(path: String, value: Tensor)]

  /// The state as it is: its memory is the model's.
  ///
  /// - Parameter optimizer: nil = weights alone.
  package init(_ model: any TrainableModel, _ optimizer: Updater?) {
    let state = optimizer?.state(of: model.parameters) ?? []
    let isSlice = optimizer?.isSharded ?? false
    arrays =
      model.parameters.map { Array(group: CheckpointLayout.model, parameter: $0, values: $0.value) }
      + state.map {
        Array(
          group: CheckpointLayout.optimizer + "/" + $0.name, parameter: $0.parameter, values: $0.values,
          isSlice: isSlice)
      }
    buffers = model.buffers
  }

  private init(arrays: [Array], buffers: [(path: String, value: Tensor)]) {
    self.arrays = arrays
    self.buffers = buffers
  }

  /// The same with sharded state assembled; every rank must call.
  func assembled(_ team: RankTeam?) -> TrainingState {
    TrainingState(
      arrays: arrays.map { Array(group: $0.group, parameter: $0.parameter, values: $0.whole(team)) }, buffers: buffers)
  }

  /// A copy of what lives here, with sharded state assembled, that later steps do not change; every rank must call.
  func detached(_ team: RankTeam?) -> TrainingState {
    TrainingState(
      arrays: arrays.map {
        let whole = $0.whole(team)
        return Array(group: $0.group, parameter: $0.parameter, values: $0.isSlice ? whole : whole.copy())
      },
      buffers: buffers.map { ($0.path, $0.value.copy()) })
  }

  /// A copy that later steps do not change, with the experts of all ranks on the first one; every rank must call.
  package func copied(_ team: RankTeam?) -> TrainingState {
    TrainingState(
      arrays: arrays.map {
        let whole = $0.whole(team)
        let gathered = team?.gather($0.parameter, whole)
        return Array(group: $0.group, parameter: $0.parameter, values: gathered ?? ($0.isSlice ? whole : whole.copy()))
      },
      buffers: buffers.map { ($0.path, $0.value.copy()) })
  }
}
