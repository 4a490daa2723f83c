import MMoEFiles
import MMoEModels
import MMoETensor

/// Arithmetic and memory traffic of a step's operations, by the names under which they run: sums over the model's operations.
///
/// FLOPs are those of matrix products, as `ModelCosts` counts them. Bytes are the least that must move: every array that
/// an operation reads or writes, once; operands of products in the type that they are read in.
struct OperationCosts {
  /// Work of a step; backward parts end in ′, as in `OperationProfile`.
  private(set) var work: [String: ModelOperation.Work] = [:]

  /// - Parameter computed: share of the choices that an expert computes: the others were dropped, or are an identity's.
  /// - Throws: `ModelError` for an impossible configuration.
  init(
    _ config: ModelConfig, _ optimizer: OptimizerConfig = OptimizerConfig(), batch: Int, training: Bool,
    dtype: DType = .float32, computed: Double = 1
  ) throws {
    for operation in try Architecture(config, training: training).operations {
      let (forward, backward) = operation.work(
        samples: batch, recorded: training, operandBytes: dtype == .bf16 ? 2 : 4, computed: computed)
      add(operation.name, forward)
      if let backward { add(operation.name + " ′", backward) }
    }
    guard training else { return }
    let (name, rule) = (optimizer.kind.rawValue, optimizer.kind.make(optimizer))
    for parameter in try config.makeModel(seed: nil, engine: Engine(threads: 1), describes: true).parameters {
      let bytes = 4 * Double(parameter.count)
      add(name, flops: rule.flops(of: parameter), bytes: bytes * Double(rule.passes(of: parameter)))
      add("gradient norm", bytes: bytes)
    }
  }

  private mutating func add(_ name: String, _ own: ModelOperation.Work) {
    guard own != ModelOperation.Work() else { return }
    work[name, default: ModelOperation.Work()] += own
  }

  private mutating func add(_ name: String, flops: Double = 0, bytes: Double) {
    var own = ModelOperation.Work()
    (own.flops, own.bytes) = (flops, bytes)
    add(name, own)
  }
}
