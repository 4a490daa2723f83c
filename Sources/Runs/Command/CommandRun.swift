import MMoEConfig
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor

/// Where a command's words go.
public struct CommandSinks {
  public let output, errors: any TextSink

  public init(output: any TextSink, errors: any TextSink) { (self.output, self.errors) = (output, errors) }

  public static var standard: CommandSinks {
    CommandSinks(output: StandardStream.output, errors: StandardStream.error)
  }
}

/// A command at work in this process: alone, or as one of the ranks that a launcher started, of which the first speaks.
package struct CommandRun {
  /// All ranks; this process alone where nothing launched it as one.
  package let world: Communicator
  package let output, errors: any TextSink
  /// Text for people. Beside JSON it leaves standard output to the JSON.
  package let human: any TextSink

  private init(_ world: Communicator, _ sinks: CommandSinks, printsJSON: Bool) {
    self.world = world
    let isHeard = world.rank == 0
    (output, errors) = isHeard ? (sinks.output, sinks.errors) : (DiscardedText(), DiscardedText())
    human = printsJSON ? errors : output
  }

  /// Runs a command's work. An error of one rank ends all of them.
  ///
  /// - Throws: what `body` throws where this process is alone; `ParallelError` where MPI cannot be started.
  package static func onRanks<Result>(
    _ sinks: CommandSinks, printsJSON: Bool, _ body: (CommandRun) throws -> Result
  ) throws -> Result {
    guard ParallelProcess.isLaunched else {
      try ParallelProcess.requireRanks()
      return try body(CommandRun(Communicator.single(), sinks, printsJSON: printsJSON))
    }
    let world = try Communicator.world(timeout: ParallelConfig().timeout)
    let result: Result
    do {
      result = try body(CommandRun(world, sinks, printsJSON: printsJSON))
    } catch {
      ParallelProcess.stop(for: error)
    }
    ParallelProcess.finish()
    return result
  }

  /// A text that the first rank finds, such as a file's name, for all ranks.
  package func agreed(_ find: () throws -> String) rethrows -> String {
    let own = try world.rank == 0 ? Array(find().utf8) : []
    return String(decoding: world.broadcast(own, patiently: true), as: UTF8.self)
  }

  /// Work of which the first rank makes what is missing, and which the others then find.
  package func firstRankFirst<Result>(_ work: () throws -> Result) rethrows -> Result {
    if world.rank > 0 { world.barrier(patiently: true) }
    let result = try work()
    if world.rank == 0, world.size > 1 { world.barrier(patiently: true) }
    return result
  }

  /// What computes here; ranks of one host share its cores.
  ///
  /// - Throws: `EngineError` for what this machine or build cannot do.
  package func engine(_ config: TensorConfig) throws -> Engine {
    try config.makeEngine(threads: world.size > 1 ? world.coreShare() : nil)
  }

  /// Refuses ranks that share out experts where there is one process: who forgot `--ranks` would believe that they did.
  ///
  /// - Throws: `ParallelError` naming the number.
  package func requireRanks(for config: ParallelConfig) throws {
    guard world.size == 1, config.expert > 1 else { return }
    throw ParallelError(
      field: "parallel.expert", found: "\(config.expert), but this is one process",
      remedy: "start ranks with --ranks, mpirun or srun, or leave it out")
  }

  /// The ranks as they share a model's experts; nil for a process that is alone. Every rank must ask.
  ///
  /// - Throws: `ParallelError` when ranks or experts cannot be divided; `ConfigError` for an impossible configuration.
  package func team(_ config: ParallelConfig, _ model: ModelConfig, _ engine: Engine) throws -> RankTeam? {
    try requireRanks(for: config)
    world.timeout = config.timeout
    return try world.size > 1 ? RankTeam(world, config.options(), model: model, engine: engine) : nil
  }

  /// Starts this command as several ranks under mpirun and waits for their end.
  ///
  /// - Returns: the exit status; nil where this process is a rank already.
  /// - Throws: `ParallelError` when mpirun cannot be started.
  package static func launch(ranks: Int) throws -> Int32? {
    guard !ParallelProcess.isLaunched else { return nil }
    var words = Array(CommandLine.arguments.dropFirst())
    if let at = words.firstIndex(of: "--ranks") { words.removeSubrange(at...min(at + 1, words.count - 1)) }
    words.removeAll { $0.hasPrefix("--ranks=") }
    let output = StandardStream.output
    return try RankLauncher.launch(
      ranks: ranks, arguments: words,
      environment: [LauncherTerminal.variable: "\(LauncherTerminal.of(output).columns)"]
    ) { output.write(bytes: $0) }
  }
}
