import MMoEConfig
import MMoETensor
import MMoETrain

/// A checkpoint's weights as products read them: an adapter's change (`lora.rank`) is added to its weight, one array at a
/// time.
struct MergedWeights {
  private let checkpoint: LoadedCheckpoint
  private let engine: Engine
  private let shapes: [String: [Int]]
  /// α / rank.
  private let scale: Float
  /// All but the adapters', in the order of their paths.
  let arrays: [(name: String, shape: [Int])]

  init(_ checkpoint: LoadedCheckpoint, _ engine: Engine) {
    (self.checkpoint, self.engine) = (checkpoint, engine)
    let (all, lora) = (checkpoint.modelArrays(), checkpoint.info.config.model.lora)
    shapes = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0.shape) })
    arrays = all.filter { lora.rank == 0 || !PathPattern("*.lora_*").matches($0.name) }
    scale = lora.rank == 0 ? 0 : Float(lora.alpha / Double(lora.rank))
  }

  /// Weights that have an adapter, those of a bank's experts counted as one.
  var adapted: Int {
    let weights = arrays.lazy.map(\.name).filter { adapter(of: $0) != nil }
    return Set(
      weights.map { name in
        PathPattern("*.experts.*.*").captures(in: name).map { "\($0[0]).experts.\($0[2])" } ?? name
      }
    ).count
  }

  /// The names of an array's adapter; nil where it has none.
  private func adapter(of name: String) -> (a: String, b: String)? {
    guard name.hasSuffix(".weight") else { return nil }
    let (a, b) = (name.dropLast(6) + "lora_a", name.dropLast(6) + "lora_b")
    return shapes[String(a)] != nil ? (String(a), String(b)) : nil
  }

  /// The numbers of one of `arrays`.
  ///
  /// - Throws: `HDF5Error` when there is none of that name, or it cannot be read.
  func values(_ name: String) throws -> [Float] {
    let own = try checkpoint.modelArray(name)
    guard let adapter = adapter(of: name), let shape = shapes[name] else { return own }
    let (a, b) = (try checkpoint.modelArray(adapter.a), try checkpoint.modelArray(adapter.b))
    let (out, inner) = (shape[0], shape[1])
    func parameter(_ values: [Float], _ shape: [Int]) -> Parameter {
      Parameter(path: name, role: .mlp, value: Tensor(values, shape: shape), decays: true)
    }
    let weight = parameter(own, shape)
    weight.adapter = LowRankAdapter(
      a: parameter(a, [a.count / inner, inner]), b: parameter(b, [out, b.count / out]), scale: scale)
    weight.mergeAdapter(engine)
    return weight.value.values
  }
}
