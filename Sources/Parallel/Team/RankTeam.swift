import MMoEFiles
import MMoEModels
import MMoETensor

/// How ranks share the work of a run.
public struct ParallelOptions: Sendable, Equatable {
  /// Ranks that share out the experts; 0 = as many as ranks and experts allow.
  public var expert = 0
  public var overlap = OverlapStrategy.shortcut
  public var wire = WireFormat.float32
  /// Numbers from which a bucket of gradients leaves: long enough for a link's full rate, short enough to leave early.
  package var bucket = 1 << 19
  /// Seconds after which a wait for another rank ends the job.
  package var timeout = 25.0
  public init() {}
}

/// The ranks that train one model together, seen from one of them: what the loop and the model's forward pass need of the
/// others.
public final class RankTeam: PassCoordinator {
  package let grid: ProcessGrid
  public let dispatcher: any Dispatcher
  private let queue: ExchangeQueue
  private let planner: OverlapPlanner
  private let sumStream: Communicator
  private let engine: Engine
  private var sums: [(operation: PendingOperation, buffer: DoubleBuffer)] = []
  private var sync: GradientSync?
  /// Who updates what under ZeRO: of every parameter the slices of its holders, by their ranks.
  var slices: [ObjectIdentifier: [Range<Int>]] = [:]
  private let reach: Int
  private let bucket: Int
  private let model: ModelConfig

  /// - Parameter world: all ranks, at least one.
  /// - Throws: `ParallelError` when the ranks or the experts cannot be divided, or parts of routes are out of range;
  ///   `ModelError` for an impossible configuration.
  public init(
    _ world: Communicator, _ options: ParallelOptions, model: ModelConfig, engine: Engine
  ) throws {
    try model.validate()
    guard OverlapStrategy(options.overlap.description) != nil else {
      throw ParallelError(
        field: "the overlap of ranks", found: options.overlap.description, expected: OverlapStrategy.forms)
    }
    let isDense = model.moe.variant == "dense"
    let banks = model.towers.map(\.moe.experts)
    let group = RankTeam.expertRanks(options.expert, of: world.size, model)
    guard group >= 1 else {
      throw ParallelError(field: "parallel.expert", found: "\(group)", expected: "0 or more")
    }
    if !isDense, let odd = banks.first(where: { $0 % group != 0 }) {
      let name =
        model.moe.groups != nil && banks.count > 1 ? "the \(odd) experts of a tower (moe.groups)" : "moe.experts \(odd)"
      throw ParallelError(
        field: "parallel.expert", found: "\(group), which does not divide \(name)", remedy: "choose a divisor")
    }
    guard group == 1 || model.towers.allSatisfy({ $0.expertStacks.count == 1 }) else {
      throw ParallelError(
        field: "parallel.expert", found: "\(group) for moe.groups \(model.moe.groups ?? ""), of several widths",
        expected: "1: experts of several widths are not shared out",
        remedy: "set parallel.expert=1, give all groups one width, or use fusion.kind=late")
    }
    grid = try ProcessGrid(world, expertParallel: group)
    queue = ExchangeQueue(grid.expertGroup, engine: engine)
    dispatcher = ExpertParallelDispatcher(queue, wire: options.wire, engine: engine)
    planner = try OverlapPlanner(options.overlap, model, world, queue, engine: engine)
    sumStream = world.duplicate()
    reach = isDense ? 0 : try MoEVariant.resolve(model.moe).reach
    (self.model, bucket) = (model, options.bucket)
    self.engine = engine
    activate()
    let queue = queue
    for stream in [world, sumStream] { stream.whileWaiting = { queue.poll() } }
  }

  /// The ranks of a group that shares out the experts of a model.
  ///
  /// - Parameter wanted: `parallel.expert`; 0 = as many as ranks and experts allow.
  package static func expertRanks(_ wanted: Int, of ranks: Int, _ model: ModelConfig) -> Int {
    guard wanted == 0 else { return wanted }
    // Of every tower's bank each rank has as many.
    let isWhole = model.moe.variant == "dense" || model.towers.contains { $0.expertStacks.count > 1 }
    let shareable = isWhole ? 1 : model.towers.map(\.moe.experts).reduce(0, greatestCommonDivisor)
    return ProcessGrid.largestGroup(ranks: ranks, experts: shareable)
  }

  /// The same ranks and experts under another strategy.
  ///
  /// - Throws: `ModelError` for a variant that is none.
  package init(_ other: RankTeam, overlap: OverlapStrategy, model: ModelConfig) throws {
    (grid, dispatcher, queue) = (other.grid, other.dispatcher, other.queue)
    (sumStream, engine, reach, bucket, self.model) = (other.sumStream, other.engine, other.reach, other.bucket, model)
    planner = try OverlapPlanner(overlap, model, other.world, other.queue, engine: other.engine)
  }

  /// Makes the engine advance this team's exchanges; for processes that hold several teams in turn.
  package func activate() {
    let queue = queue
    engine.progress = { queue.poll() }
  }

  public var world: Communicator { grid.world }
  /// Ranks that share out the experts; the first ones of the world are one such group.
  package var expertRanks: Int { grid.expertGroup.size }
  public var isRoot: Bool { world.rank == 0 }
  package var overlap: OverlapStrategy { planner.strategy }
  /// What the overlap planner decided; empty before.
  package var overlapReport: [String] { planner.report }
  package var hasDecidedOverlap: Bool { planner.isDecided }

  /// Names the parameters whose gradients are averaged.
  public func attach(_ parameters: [Parameter]) {
    let sync = GradientSync(parameters, of: model, grid, reach: reach, bucket: bucket, engine: engine)
    self.sync = sync
    queue.alsoAdvance = { sync.advance() }
  }

  public func beginStep() { planner.beginStep() }
  /// - Parameter passes: the step's micro-batches.
  public func endStep(passes: Int = 1) { planner.endStep(passes: passes) }

  /// To be called before the backward pass after which a step's gradients are complete.
  public func armGradientSync() { sync?.arm() }
  /// Waits until all gradients are those of the global batch.
  public func finishGradientSync() { sync?.finish() }

  /// The global norm's square from this rank's sums of squares: replicated gradients count once, every expert once.
  package func globalSquares(replicated: Double, experts: Double) -> Double {
    // Every copy of an expert adds the same number.
    replicated + world.allReduce([experts])[0] / Double(grid.replicas.size)
  }

  /// The mean of each element over the ranks.
  public func mean(_ values: [Double]) -> [Double] {
    world.allReduce(values).map { $0 / Double(world.size) }
  }

  /// Whether it is so on any rank.
  package func any(_ condition: Bool) -> Bool { any([condition])[0] }

  /// For each of these, whether it is so on any rank.
  package func any(_ conditions: [Bool]) -> [Bool] {
    world.allReduce(conditions.map { $0 ? 1 : 0 }, .maximum).map { $0 > 0 }
  }

  // MARK: PassCoordinator

  public var shard: (index: Int, count: Int) { (world.rank, world.size) }

  public func schedule(block: Int, route: Int) -> RouteSchedule {
    planner.schedule(block: block, route: route)
  }

  public func startSum(_ values: [Double]) {
    let buffer = DoubleBuffer(values)
    sums.append((sumStream.startReduction(buffer, .sum, "the sum of expert loads"), buffer))
  }

  public func finishSums() -> [[Double]] {
    let waiting = sums
    sums = []
    return waiting.map { sum in
      sumStream.wait(sum.operation)
      return sum.buffer.values
    }
  }

  public func leftBlock(_ index: Int) { sync?.leftBlock(index) }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
