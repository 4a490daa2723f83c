import MMoEConfig
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

/// How a run is divided among ranks, as far as memory is concerned.
struct RunDivision: Equatable {
  var ranks = 1
  /// Ranks on the host with the most of them.
  var ranksOnHost = 1

  init() {}

  /// Of the ranks that run; to be called by all.
  init(_ world: Communicator) {
    guard world.size > 1 else { return }
    (ranks, ranksOnHost) = (world.size, Int(world.allReduce([Double(world.ranksOnHost())], .maximum)[0]))
  }
}

/// What one rank of a run keeps in memory, in bytes, from the configuration and the division alone.
struct RankMemory {
  /// Weights that live on the rank: of stacked experts its share.
  private(set) var weights = 0.0
  /// Of those that are trained.
  private(set) var gradients = 0.0
  /// What the optimizer keeps for each number that is trained, or its slice of it under ZeRO.
  private(set) var moments = 0.0
  /// The state that a checkpoint in the background is written from.
  private(set) var copies = 0.0
  /// What the first rank has beyond it: the experts of all ranks, unless they go to files of their own.
  private(set) var firstRankMore = 0.0
  /// What a recorded forward pass of a micro-batch keeps; an estimate.
  private(set) var activations = 0.0
  /// Pixels and tokens of the micro-batches that are kept at a time.
  private(set) var inputs = 0.0

  var state: Double { weights + gradients + moments }
  var total: Double { state + copies + activations + inputs }

  /// - Throws: `ModelError` for an impossible configuration; `TrainError` for a place of `finetune.*` that matches nothing.
  init(_ config: RunConfig, _ division: RunDivision, costs: ModelCosts) throws {
    let ranks = Double(division.ranks)
    let group = Double(RankTeam.expertRanks(config.parallel.expert, of: division.ranks, config.model))
    let model = try config.model.makeModel(seed: nil, engine: Engine(threads: 1), describes: true)
    let trained = try RankMemory.trained(config, model)
    let optimizer = config.optimizer.kind.make(config.optimizer)
    var (whole, held) = (0.0, 0.0)
    var firstTrained: Int?
    for (parameter, isTrained) in zip(model.parameters, trained) {
      let isExpert = parameter.experts != nil
      let (own, holders) = (Double(parameter.count) / (isExpert ? group : 1), isExpert ? ranks / group : ranks)
      weights += own * 4
      whole += Double(parameter.count) * 4
      held += own * 4
      guard isTrained else { continue }
      firstTrained = min(firstTrained ?? .max, RankMemory.block(of: parameter))
      gradients += own * 4
      let kept = 4 * Double(optimizer.state(of: parameter).count)
      moments += own * kept / (config.parallel.zero > 0 ? holders : 1)
      whole += Double(parameter.count) * kept
      // Slices come together before they are written.
      held += own * kept
    }
    if config.checkpoint.background {
      copies = held
      firstRankMore = config.checkpoint.shards ? 0 : whole - held
    }
    let microBatch = Double(config.data.batch) / Double(config.train.accumulation) / ranks
    // The tape records nothing before it meets a parameter that is trained; of several ranks it records all, whose exchanges
    // must match.
    let blocks = config.model.stacks.reduce(0, +)
    let recorded = division.ranks > 1 ? blocks : blocks - min(firstTrained ?? 0, blocks)
    activations = costs.activationFloats * microBatch * 4 * max(Double(recorded), 0.5) / Double(max(blocks, 1))
    let keepsAll =
      config.train.accumulation > 1
      && (config.model.kind == .multimodal || config.model.judgesWholeBatches(unevenParts: false))
    inputs = RankMemory.inputBytes(config.model) * microBatch * Double(keepsAll ? config.train.accumulation : 1)
  }

  /// Of every parameter, whether some of it is trained.
  private static func trained(_ config: RunConfig, _ model: any TrainableModel) throws -> [Bool] {
    guard config.finetune == FineTuneConfig(), config.model.lora.rank == 0 else {
      return try UpdatePlan(config, model).parts.map { !$0.isEmpty }
    }
    // The plan looks at every expert by its name, of which there may be millions.
    let idle = Set(model.unreached(by: config.trainedTasks).flatMap(\.parameters).map { ObjectIdentifier($0) })
    return model.parameters.map { !idle.contains(ObjectIdentifier($0)) }
  }

  /// The block before which nothing need be recorded when a parameter is trained: what is after the blocks comes last.
  private static func block(of parameter: Parameter) -> Int {
    let words = parameter.path.split(separator: ".")
    if words[0] == "blocks" { return Int(words[1]) ?? 0 }
    return parameter.role == .head || parameter.path.hasPrefix("norm.") ? .max : 0
  }

  /// Samples in float32, tokens and targets in 32 bits.
  private static func inputBytes(_ model: ModelConfig) -> Double {
    let pixels = Double(model.vision.channels * model.vision.image * model.vision.image * 4)
    let tokens = Double(model.text.context * 8)
    let samples =
      model.kind == .multimodal
      ? model.sampledModalities.reduce(0) { $0 + Double($1.shape(model).reduce(4, *)) } : pixels
    return (model.kind.readsImages ? samples : 0) + (model.kind.readsText ? tokens : 0)
  }
}

/// What is compared with what a run needs.
struct MemoryBounds {
  /// Of all processes of a host.
  var host = MemoryLimit.hostBytes
  /// Whether a control group sets it.
  var isContainer = MemoryLimit.containerBytes.map { $0 <= MemoryLimit.hostBytes } ?? false
  /// Of one process; nil = no limit.
  var process = MemoryLimit.virtualBytesForBuffers

  /// Stops what cannot be held before memory is taken: the system would end it later without a word.
  ///
  /// - Throws: `RunError` naming both sizes.
  func require(_ config: RunConfig, _ division: RunDivision) throws {
    let memory = try RankMemory(config, division, costs: ModelCosts(config.model))
    let one = memory.total + memory.firstRankMore
    let all = one + memory.total * Double(division.ranksOnHost - 1)
    let limit: (bytes: Int, words: String)
    if let process, one > Double(process) {
      limit = (process, "ulimit -v leaves buffers")
    } else if all > Double(host) {
      limit = (host, isContainer ? "this container or job may take" : "this machine has")
    } else {
      return
    }
    func bytes(_ count: Double) -> String { HumanFormat.bytes(Int(min(count, 1e18))) }
    let sum = division.ranksOnHost > 1 ? ", \(bytes(all)) for the \(division.ranksOnHost) ranks of a host" : ""
    let spread =
      division.ranksOnHost > 1
      ? "lower them, raise train.accumulation, put fewer ranks on a host, or set parallel.zero=1"
      : "lower them or raise train.accumulation"
    throw RunError(
      "model.width \(config.model.width), model.layers \(config.model.layers), moe.experts \(config.model.moe.experts) and data.batch \(config.data.batch) need about \(bytes(one)) of memory\(division.ranks > 1 ? " a rank" : "")\(sum), \(limit.words) \(HumanFormat.bytes(limit.bytes)); \(spread)"
    )
  }
}
