import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// Fills a new model from weights that exist: what matches is loaded, the rest starts fresh.
struct WeightTransfer {
  /// The new model's configuration, and what its input and output stand for.
  struct Target {
    let model: ModelConfig
    let classes: [String]?
    let tokenizer: (any Tokenizer)?
  }

  let source: any WeightSource
  let rules: TransferRules
  let target: Target
  /// Of the noise on copies, as a share of the weights' root mean square.
  let noise: Double
  let seed: UInt64
  private let arrays: SourceArrays
  private let sourceTokenizer: (any Tokenizer)?

  /// - Throws: `WeightsError` when source and target are different kinds of models and no rules say what to take; what is
  ///   wrong with the source's tokenizer.
  init(_ source: any WeightSource, rules: TransferRules, target: Target, noise: Double, seed: UInt64) throws {
    self.source = source
    self.rules = rules
    self.target = target
    self.noise = noise
    self.seed = seed
    arrays = SourceArrays(source.arrays)
    sourceTokenizer = try source.tokenizer()
    guard source.model.kind == target.model.kind || !rules.isEmpty else {
      throw WeightsError(
        "--init-from \(source.path)", found: "a model of kind \(source.model.kind.rawValue)",
        expected: "\(target.model.kind.rawValue)", remedy: "name what to take from it with --map 'TARGET = SOURCE'")
    }
    let lora = source.model.lora
    guard lora.rank == 0 || lora == target.model.lora else {
      throw WeightsError(
        "--init-from \(source.path)",
        found:
          "trained with adapters, lora.rank \(lora.rank), which this run (lora.rank \(target.model.lora.rank)) would lose",
        remedy: "merge them first with `mmoe checkpoint merge-lora`")
    }
  }

  /// Fills parameters and buffers; of stacked experts those that live here.
  ///
  /// - Returns: what became of every array of both models.
  /// - Throws: `WeightsError` when nothing fits; what is wrong with the source.
  func fill(_ model: any TrainableModel) throws -> TransferReport {
    var report = TransferReport(source: source.path)
    var used: Set<String> = []
    let targets = Set(model.parameters.flatMap { CheckpointLayout.pieces(of: $0).map(\.name) })
    func fill(_ name: String, _ shape: [Int], _ values: UnsafeMutablePointer<Float>) throws {
      guard let found = sourceOf(name) else {
        report.add(.missing, name, shape)
        return
      }
      try requireWholeAdapters(name, found, targets: targets)
      let fresh = Array(UnsafeBufferPointer(start: values, count: shape.reduce(1, *)))
      used.formUnion(found.names)
      switch try fit(name, shape, found, fresh: fresh) {
      case .asItIs:
        put(try combined(found), into: values, noisyFrom: found.isShared ? 0 : nil, name)
        report.add(found.names == [name] ? .loaded : .copied, name, shape, note: note(found, name))
      case .resized(let resized, let firstCopy):
        put(resized.values, into: values, noisyFrom: firstCopy, name)
        report.add(.resized, name, shape, note: resized.note)
      case .unfit(let reason): report.add(.missing, name, shape, note: reason)
      }
    }
    for parameter in model.parameters {
      for piece in CheckpointLayout.pieces(of: parameter) {
        try fill(piece.name, piece.shape, parameter.value.pointer + piece.offset)
      }
    }
    for (path, value) in model.buffers { try fill(path, value.shape, value.pointer) }
    for (name, shape) in source.arrays where !used.contains(name) { report.add(.skipped, name, shape) }
    try report.requireSomething()
    return report
  }

  /// Checks that a weight does not lose its adapter: the mean of products B · A is not the product of the means, and a new
  /// weight without an adapter has no place for one.
  ///
  /// - Throws: `WeightsError` naming the weight.
  private func requireWholeAdapters(_ name: String, _ found: DerivedSource, targets: Set<String>) throws {
    func adapter(of weight: String) -> String? { weight.hasSuffix(".weight") ? weight.dropLast(6) + "lora_a" : nil }
    guard let adapted = found.names.first(where: { adapter(of: $0).map(arrays.contains) ?? false }) else { return }
    let hasOwn = adapter(of: name).map(targets.contains) ?? false
    guard found.names.count > 1 || !hasOwn else { return }
    throw WeightsError(
      "--init-from \(source.path)",
      found:
        "\(name) is made from \(found.names.count > 1 ? "the mean of \(found.names.count) arrays such as " : "")\(adapted), whose adapter it would lose",
      remedy: "merge them first with `mmoe checkpoint merge-lora`")
  }

  /// Whether experts and their gates are copies of others that nothing tells apart.
  var hasEqualExperts: Bool {
    let block = source.arrays.lazy.compactMap { PathPattern("*.moe.experts.*").captures(in: $0.name)?[0] }.first
    let own = block.map(arrays.experts) ?? 0
    return noise == 0 && rules.isEmpty && own > 0 && target.model.moe.variant != "dense"
      && target.model.moe.experts > own
  }

  private func sourceOf(_ name: String) -> DerivedSource? {
    switch rules.answer(for: name) {
    case .fresh: return nil
    case .from(let other):
      return arrays.contains(other) ? DerivedSource(names: [other], isShared: false) : nil
    case nil:
      guard source.model.kind == target.model.kind else { return nil }
      return DerivedSource.find(for: name, experts: target.model.moe.experts, in: arrays)
    }
  }

  private func combined(_ found: DerivedSource) throws -> [Float] {
    var sum = try source.floats(found.names[0])
    guard found.names.count > 1 else { return sum }
    for name in found.names.dropFirst() {
      for (i, value) in try source.floats(name).enumerated() { sum[i] += value }
    }
    let scale = 1 / Float(found.names.count)
    for i in sum.indices { sum[i] *= scale }
    return sum
  }

  private func note(_ found: DerivedSource, _ name: String) -> String? {
    if found.names == [name] { return nil }
    return found.names.count > 1 ? "mean of \(found.names.count), \(found.names[0]) …" : "from \(found.names[0])"
  }

  /// Puts values in place, with noise on those from `noisyFrom` on: copies that should differ.
  private func put(
    _ values: [Float], into place: UnsafeMutablePointer<Float>, noisyFrom first: Int?, _ name: String
  ) {
    values.withUnsafeBufferPointer { place.update(from: $0.baseAddress!, count: values.count) }
    guard noise > 0, let first else { return }
    let squares = values.reduce(0.0) { $0 + Double($1) * Double($1) }
    let scale = Float(noise * (squares / Double(max(values.count, 1))).squareRoot())
    let random = CounterRandom(seed: seed, purpose: .initialization, a: CounterRandom.hash("noise " + name))
    for i in first..<max(first, values.count) { place[i] += scale * random.normal(UInt64(i)) }
  }

  /// How a found array goes into the new one.
  private enum Fit {
    case asItIs
    /// - firstCopy: index of the first number that is a copy of another.
    case resized(ArrayResizing.Result, firstCopy: Int? = nil)
    case unfit(String)
  }

  private func fit(_ name: String, _ shape: [Int], _ found: DerivedSource, fresh: [Float]) throws -> Fit {
    if let resized = try ends(name, shape, found, fresh: fresh) { return resized }
    if let other = found.names.first(where: { arrays.shape($0) != shape }) {
      return .unfit("\(other) is \(arrays.shape(other) ?? [])")
    }
    return .asItIs
  }

  /// An array that follows the input, the output or the number of experts, where these differ; nil for any other.
  private func ends(_ name: String, _ shape: [Int], _ found: DerivedSource, fresh: [Float]) throws -> Fit? {
    guard source.model.kind == target.model.kind, found.names == [name], let old = arrays.shape(name),
      old.count == shape.count, old.dropFirst() == shape.dropFirst()
    else { return nil }
    func values() throws -> [Float] { try source.floats(name) }
    switch (name, target.model.kind) {
    case ("position_embedding", .vit), ("patch_positions", .multimodal):
      let (from, to) = (source.model.vision, target.model.vision)
      guard from.tokens != to.tokens || from.classToken != to.classToken else { return nil }
      return .resized(ArrayResizing.grid(try values(), from: from, to: to, width: shape[1], fresh: fresh))
    case ("position_embedding", .gpt), ("position_embedding", .multimodal):
      guard old != shape else { return nil }
      return .resized(ArrayResizing.positions(try values(), from: old[0], to: shape[0], width: shape[1]))
    case ("head.weight", .vit), ("head.bias", .vit), ("classifier.weight", .multimodal),
      ("classifier.bias", .multimodal):
      guard let from = source.classes, let to = target.classes, from != to else { return nil }
      guard let rows = ArrayResizing.classes(try values(), from: from, to: to, fresh: fresh) else {
        return .unfit("none of the \(to.count) classes is among the source's \(from.count)")
      }
      return .resized(rows)
    case ("token_embedding", .gpt), ("token_embedding", .multimodal), ("head.weight", .gpt),
      ("language_head.weight", .multimodal):
      guard let from = sourceTokenizer, let to = target.tokenizer else { return nil }
      guard from.fingerprint != to.fingerprint else {
        // Other models have more rows than tokens, or tokens that got no rows.
        return old == shape ? nil : .resized(ArrayResizing.rows(try values(), fresh: fresh, width: shape[1]))
      }
      return .resized(
        try ArrayResizing.tokens(values(), rows: old[0], from: from, to: to, fresh: fresh, width: shape[1]))
    default:
      guard old != shape, PathPattern("*.moe.gate*.weight").matches(name) else { return nil }
      return .resized(
        ArrayResizing.gate(try values(), from: old[0], to: shape[0]),
        firstCopy: shape[0] > old[0] ? old[0] * shape[1] : nil)
    }
  }
}
