import ArgumentParser
import MMoERuns
import MMoETrain
import MMoEWeights

extension OffloadMode: ExpressibleByArgument {}

struct GenerateCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continue texts with a language model.",
    discussion: "--checkpoint may also be a folder with config.json and model.safetensors.")

  @OptionGroup var source: CheckpointOption
  @Option(help: "The beginning of the text; repeatable.") var prompt: [String] = []
  @Option(help: "Tokens to make at most, for each prompt.") var tokens = 256
  @Option(help: "Divides the logits; 0 = always the most probable token.") var temperature = 0.8
  @Option(help: "Only the k most probable tokens; 0 = all.") var topK = 0
  @Option(help: "Only the smallest set of tokens with this probability in sum.") var topP = 1.0
  @Option(help: "Makes tokens seen before less probable; 1 = off.") var repetitionPenalty = 1.0
  @Option(help: "Seed of the draws.") var seed: UInt64 = 0
  @Option(help: "End before this text; repeatable.") var stop: [String] = []
  @Option(
    help: "Keep experts in the checkpoint: none, blocking (read when needed) or async (read from the gate's choice on)."
  )
  var offload = OffloadMode.none
  @Option(help: "With --offload: experts kept in memory, of all layers together; a quarter by default.")
  var expertCache: Int?
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var team: TeamOption
  @OptionGroup var format: JSONOnlyOption

  func validate() throws {
    if tokens < 1 { throw ValidationError("--tokens is \(tokens); at least 1 is needed") }
    if let expertCache, expertCache < 1 || offload == .none {
      throw ValidationError(
        expertCache < 1
          ? "--expert-cache is \(expertCache); at least 1 is needed"
          : "--expert-cache needs --offload blocking or async")
    }
  }

  func run() throws {
    try team.start.launch()
    var options = GenerateSession.Options()
    options.checkpoint = source.checkpoint
    options.prompts = prompt.isEmpty ? [""] : prompt
    options.tokens = tokens
    options.sampling = SamplingOptions(
      temperature: temperature, topK: topK, topP: topP, repetitionPenalty: repetitionPenalty, seed: seed)
    options.stops = stop
    options.threads = compute.threads
    options.expertParallel = team.expertParallel ?? 0
    options.offload = offload
    options.expertCache = expertCache
    options.printsJSON = format.json
    try GenerateSession(options).run()
  }
}
