import MMoEConfig
import MMoEData
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain
import MMoEWeights

/// `mmoe generate`: text from a language model's checkpoint.
package struct GenerateSession {
  /// What the command line said.
  package struct Options: Sendable {
    /// A checkpoint, a run's folder, or one of Hugging Face's layout; nil = the latest run of a language model.
    package var checkpoint: String?
    package var prompts: [String] = []
    /// Tokens of a continuation at most.
    package var tokens = 256
    package var sampling = SamplingOptions()
    package var stops: [String] = []
    package var threads: Int?
    /// Ranks that share out the experts; 0 = as many as ranks and experts allow.
    package var expertParallel = 0
    /// Where routed experts are.
    package var offload = OffloadMode.none
    /// Experts kept in memory, of all layers together; nil = a quarter of them.
    package var expertCache: Int?
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// Continues every prompt; text goes to the output as it comes, speed to the error stream.
  ///
  /// - Throws: the first thing that is wrong, one line each.
  package func run() throws {
    try options.sampling.validate()
    try CommandRun.onRanks(sinks, printsJSON: options.printsJSON, generate)
  }

  private func generate(_ run: CommandRun) throws {
    let (output, errors) = (run.output, run.errors)
    var tensor = TensorConfig()
    tensor.threads = options.threads
    let engine = try run.engine(tensor)
    let checkpoint = try run.agreed {
      try options.checkpoint ?? RunFolder.checkpoint(at: nil, task: TaskKind.lm.name)
    }
    if options.checkpoint == nil { errors.line("checkpoint \(checkpoint)") }
    guard options.offload == .none || run.world.size == 1 else {
      throw RunError(
        "--offload", found: "\(options.offload) on \(run.world.size) ranks, which share out the experts",
        remedy: "use --offload none, or one process")
    }
    let offloading = try OffloadedModel(
      checkpoint, options.offload, experts: options.expertCache, engine: engine)
    var parallel = ParallelConfig()
    parallel.expert = options.expertParallel
    let language =
      try offloading?.language
      ?? LoadedLanguageModel(checkpoint, engine: engine) { try run.team(parallel, $0, engine) }
    defer { offloading?.cache.close() }
    var generator = TextGenerator(
      language.model, language.tokenizer, engine: engine, sampling: options.sampling, stops: options.stops,
      team: language.team)
    var (made, seconds) = (0, 0.0)
    for (index, text) in options.prompts.enumerated() {
      let prompt = try language.promptIDs(text)
      if !options.printsJSON {
        if index > 0 { output.write("\n\n") }
        output.write(text)
      }
      var continuation = ""
      let outcome = try generator.run(prompt, tokens: options.tokens) { part in
        try offloading?.cache.check()
        continuation += part
        if !options.printsJSON { output.write(part) }
      }
      try offloading?.cache.check()
      made += outcome.ids.count
      seconds += outcome.seconds
      guard options.printsJSON else { continue }
      output.line(
        JSONValue.object([
          "prompt": .string(text), "text": .string(continuation), "stopped_by": .string(outcome.reason.rawValue),
          "ids": .array(outcome.ids.map { .int(Int($0)) }), "prompt_tokens": .int(prompt.count),
          "prompt_seconds": .double(outcome.promptSeconds), "tokens_per_s": .double(outcome.tokensPerSecond),
        ]).line)
    }
    if !options.printsJSON { output.line() }
    if let report = offloading?.cache.report {
      if options.printsJSON { output.line(JSONValue.object(["offload": report.json]).line) }
      for line in report.lines { errors.line(line) }
    }
    errors.line(
      "\(made) tokens in \(HumanFormat.duration(seconds)), \(HumanFormat.fixed(Double(made) / max(seconds, 1e-9), 1)) tokens/s, \(engine.threads) threads"
    )
  }
}
