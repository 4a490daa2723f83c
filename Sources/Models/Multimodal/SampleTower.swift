import MMoETensor

/// The transformer of one modality's samples in late fusion, with its own experts.
struct SampleTower {
  let modality: any SampledModality
  let config: ModelConfig
  /// Rows of a sample.
  let rows: Int
  private let shape: [Int]
  let parameters: [Parameter]
  let backbone: Backbone
  private let encoder: any SampleEncoder
  private let norm: Norm

  /// - Parameter first: number of its first block.
  init(
    _ store: ParameterStore, _ modality: any SampledModality, of model: ModelConfig, first: Int,
    dispatcher: any Dispatcher
  ) throws {
    self.modality = modality
    config = model.tower(of: modality)
    (rows, shape) = (modality.rows(model), modality.shape(model))
    let before = store.parameters.count
    encoder = try modality.makeEncoder(store, config)
    backbone = try Backbone(store, config: config, causal: false, dispatcher: dispatcher, first: first)
    norm = Norm(store, "\(modality.sample)_norm", config)
    parameters = Array(store.parameters[before...])
  }

  /// - Parameters:
  ///   - samples: `[n]` and the shape of a sample.
  ///   - tasks: of each sample.
  /// - Returns: `[n · rows, d]`.
  func callAsFunction(_ samples: Tensor, tasks: [Int32], _ places: BatchPlaces?, _ pass: ForwardPass) -> Tensor {
    let tags = TokenTags(tasks: tasks.flatMap { Array(repeating: $0, count: rows) }, places: places)
    return norm(backbone(encode(samples, pass.tape), sequence: rows, tags: tags, pass), pass.tape)
  }

  private func encode(_ samples: Tensor, _ tape: Tape) -> Tensor {
    encoder.encode(samples, rows: rows, width: config.width, tape)
  }

  /// Reads a sample of zeros that counts nowhere.
  func blank(_ pass: ForwardPass) -> PackedStates.Samples {
    let values = Tensor.zeros([1] + shape)
    var tags = TokenTags(tasks: Array(repeating: 0, count: rows))
    tags.isBlank = true
    let states = norm(backbone(encode(values, pass.tape), sequence: rows, tags: tags, pass), pass.tape)
    return PackedStates.Samples(rows: states, ranges: [])
  }

  /// Reads the samples of packed sequences.
  ///
  /// - Parameter places: of the sequences in the whole batch.
  func callAsFunction(
    _ samples: Tensor, in batch: PackedSequences, places: [UInt64], _ pass: ForwardPass
  ) -> PackedStates.Samples {
    let holders = batch.holders(of: modality.name)
    let own = BatchPlaces(
      // Further samples of one sequence draw numbers of their own.
      holders.map { places[$0.sequence] &+ UInt64($0.turn) << 40 }, lengths: holders.map { _ in rows }, longest: rows)
    let states = self(samples, tasks: holders.map { batch.sequences[$0.sequence].task }, own, pass)
    return PackedStates.Samples(rows: states, ranges: holders.indices.map { $0 * rows..<($0 + 1) * rows })
  }
}
