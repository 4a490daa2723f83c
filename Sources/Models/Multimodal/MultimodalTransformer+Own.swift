import MMoETensor

// The model in a program outside of the package: what the package's own tasks take for granted is looked at.

extension PackedSequences.Sequence {
  /// - Parameters:
  ///   - segments: at least one, in the order in which they are read.
  ///   - task: what it is read for, where gates are told (`moe.task_routing`).
  /// - Throws: `ModelError` for a sequence of nothing, or an empty text.
  public init(of segments: [PackedSequences.Segment], for task: FusionConfig.Task = .caption) throws(ModelError) {
    guard !segments.isEmpty, !segments.contains(.text([])) else {
      throw ModelError(
        field: "a sequence", found: segments.isEmpty ? "without segments" : "one with an empty text",
        expected: "at least one sample or text, none empty")
    }
    self.init(segments, task: task.rawValue)
  }
}

extension PackedSequences {
  /// - Parameters:
  ///   - samples: by modality, `[n]` and the shape of a sample, normalized.
  ///   - sequences: each sample stands in exactly one of them.
  /// - Throws: `ModelError` for a sample that no sequence has, or that there is not, or that two places name.
  public init(samples: [String: Tensor], sequences: [Sequence]) throws(ModelError) {
    guard !sequences.isEmpty else {
      throw ModelError(field: "the number of sequences", found: "0", expected: "at least 1")
    }
    let named = sequences.flatMap(\.segments).compactMap { segment -> (name: String, index: Int)? in
      if case .sample(let name, let index) = segment { return (name, index) }
      return nil
    }
    for (name, own) in Dictionary(grouping: named, by: \.name).sorted(by: { $0.key < $1.key }) {
      let (numbers, count) = (own.map(\.index).sorted(), samples[name]?.shape.first ?? 0)
      guard numbers == Array(0..<count) else {
        throw ModelError(
          field: "the samples of \(name) in sequences", found: "\(numbers)", expected: "each of the \(count) once")
      }
    }
    if let name = samples.keys.sorted().first(where: { name in !named.contains { $0.name == name } }) {
      throw ModelError(field: "the samples of \(name) in sequences", found: "none", expected: "each of them once")
    }
    self.init(samples, sequences)
  }
}

extension MultimodalTransformer {
  /// Runs the blocks over packed sequences, for programs outside of the package.
  ///
  /// - Throws: `ModelError` for a modality that the model has not, samples of another shape, tokens beyond the vocabulary, and
  ///   texts beyond the context; what a router outside of the package throws.
  public func states(of batch: PackedSequences, pass: ForwardPass) throws -> PackedStates {
    for (name, values) in batch.samples.sorted(by: { $0.key < $1.key }) {
      guard let modality = config.sampledModalities.first(where: { $0.name == name }) else {
        throw ModelError(
          field: "a modality of samples", found: name,
          expected: config.sampledModalities.map(\.name).joined(separator: " or "))
      }
      let own = modality.shape(config)
      guard Array(values.shape.dropFirst()) == own else {
        throw ModelError(field: "samples of \(name)", found: "of shape \(values.shape)", expected: "[n] + \(own)")
      }
    }
    for text in batch.sequences.map(\.text) {
      guard text.count <= config.text.context else {
        throw ModelError(
          field: "the texts of a sequence", found: "\(text.count) tokens",
          expected: "at most the context, \(config.text.context)")
      }
      if let odd = text.first(where: { $0 < 0 || $0 >= config.text.vocabulary }) {
        throw ModelError(field: "a token", found: "\(odd)", expected: "0 to \(config.text.vocabulary - 1)")
      }
    }
    let states = self(batch, pass)
    try pass.tape.requireNoFailure()
    return states
  }

  /// Adds the mean cross-entropy of next tokens to the pass's objective.
  ///
  /// - Parameters:
  ///   - targets: of every sequence, as many as its texts have tokens: the next token at each, −1 where none counts.
  ///   - divisor: what the sum over the tokens is divided by; nil = how many targets count.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean loss over counted tokens, in nats.
  /// - Throws: `ModelError` for targets that do not fit.
  public func nextTokenLoss(
    of states: PackedStates, targets: [[Int32]], over divisor: Double? = nil, weight: Float = 1, pass: ForwardPass
  ) throws -> Double {
    let lengths = states.texts.map { $0.reduce(0) { $0 + $1.count } }
    guard targets.map(\.count) == lengths,
      targets.joined().allSatisfy({ $0 >= -1 && $0 < config.text.vocabulary })
    else {
      throw ModelError(
        field: "the targets of sequences with \(lengths) tokens", found: "\(targets.map(\.count)) numbers",
        expected: "as many, each from -1 to \(config.text.vocabulary - 1)")
    }
    return nextTokenLoss(states, targets: targets, over: divisor, weight: weight * pass.lossWeight, pass.tape).mean
  }

  /// Where samples of a modality are compared, `[n, embedding]`, not normalized; of `language` the texts of all
  /// sequences that have one.
  ///
  /// - Throws: `ModelError` for a modality that the pass has not, or several texts in a sequence.
  public func embeddings(of modality: String, in states: PackedStates, pass: ForwardPass) throws -> Tensor {
    if modality == LanguageModality.name {
      let written = states.texts.indices.filter { !states.texts[$0].isEmpty }
      guard !written.isEmpty, written.allSatisfy({ states.texts[$0].count == 1 }) else {
        throw ModelError(
          field: "the texts of sequences", found: "\(states.texts.map(\.count))",
          expected: "at most one in each, and one at all")
      }
      return textEmbeddings(states, of: written, pass.tape)
    }
    return embeddings(try pooled(modality, states, pass), of: modality, pass.tape)
  }

  /// Logits `[n, classes]` of a modality's samples; nil where they have no classes.
  ///
  /// - Throws: `ModelError` for a modality that the pass has not.
  public func classLogits(of modality: String, in states: PackedStates, pass: ForwardPass) throws -> Tensor? {
    classLogits(try pooled(modality, states, pass), of: modality, pass.tape)
  }

  /// Adds the contrastive loss of two modalities to the pass's objective.
  ///
  /// - Parameters:
  ///   - a, b: `[n, embedding]`; rows of one number belong together.
  ///   - weight: of this term in the objective.
  /// - Returns: the loss in nats, and the share of rows that find their own.
  /// - Throws: `ModelError` for other shapes.
  public func contrastiveLoss(
    between a: Tensor, _ b: Tensor, weight: Float = 1, pass: ForwardPass
  ) throws -> (loss: Double, accuracy: Double) {
    guard a.shape.count == 2, a.shape == b.shape else {
      throw ModelError(field: "what is compared", found: "of shapes \(a.shape) and \(b.shape)", expected: "one [n, d]")
    }
    return contrastiveLoss(a, b, weight: weight * pass.lossWeight, pass.tape)
  }

  private func pooled(_ modality: String, _ states: PackedStates, _ pass: ForwardPass) throws -> Tensor {
    guard let own = states.samples[modality], !own.ranges.isEmpty else {
      let known = states.samples.keys.sorted().joined(separator: ", ")
      throw ModelError(
        field: "a modality of the pass", found: modality, expected: known.isEmpty ? "one that has samples" : known)
    }
    return pooledRows(states, of: modality, pass.tape)
  }
}
