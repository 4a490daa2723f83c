import MMoEFiles
import MMoEParallel
import MMoEReport

/// How ranks share the work. Nothing here changes what a run computes beyond rounding, and nothing of it is in a
/// checkpoint.
public struct ParallelConfig: Sendable, Equatable {
  /// Ranks that share out the experts; 0 = as many as the ranks and the experts allow.
  public var expert = 0
  /// An `OverlapStrategy`.
  public var overlap = OverlapStrategy.shortcut.description
  public var wire = WireFormat.float32
  /// Stage of ZeRO: 0 = every rank has all of the optimizer's moments, 1 = its share of them.
  public var zero = 0
  /// Seconds after which a wait for another rank ends the job.
  public var timeout = ParallelOptions().timeout

  public init() {}

  /// - Throws: `ConfigError` when the strategy is none.
  package func options() throws -> ParallelOptions {
    guard let strategy = OverlapStrategy(overlap) else {
      throw ConfigError(field: "parallel.overlap", found: "'\(overlap)'", remedy: "valid are \(OverlapStrategy.forms)")
    }
    var options = ParallelOptions()
    (options.expert, options.overlap) = (expert, strategy)
    (options.wire, options.timeout) = (wire, timeout)
    return options
  }
}

extension RunConfig {
  static let parallelEntries: [ConfigEntry<RunConfig>] = [
    .int(
      "parallel.expert", \.parallel.expert, range: 0...65536,
      "ranks that share out the experts; 0 = as many as ranks and experts allow"),
    .int(
      "parallel.zero", \.parallel.zero, range: 0...1,
      "ZeRO stage: 1 = each rank keeps its share of the optimizer's moments"),
    .string("parallel.overlap", \.parallel.overlap, OverlapStrategy.forms),
    .choice("parallel.wire", \.parallel.wire, "form of token rows between ranks"),
    .double(
      "parallel.timeout", \.parallel.timeout, range: 0.1...1e6,
      "seconds after which a wait for another rank ends the job"),
  ]
}
