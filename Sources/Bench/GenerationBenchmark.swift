import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// Times the generation of one sequence with cached keys and values, on random weights.
package enum GenerationBenchmark {
  /// One benchmark's figures; the last line of `mmoe bench generate … --json`.
  package struct Result: Codable, Sendable {
    package var mode = "generate"
    package var preset: String
    package var variant: String
    package var experts: Int
    package var backend: String
    package var threads: Int
    package var promptTokens: Int
    package var newTokens: Int
    /// Of the best repetition, prompt left out.
    package var tokensPerSecond: Double
    package var promptMs: Double
    package var peakRssMb: Double

    private enum CodingKeys: String, CodingKey {
      case mode, preset, variant, experts, backend, threads
      case promptTokens = "prompt_tokens"
      case newTokens = "new_tokens"
      case tokensPerSecond = "tokens_per_s"
      case promptMs = "prompt_ms"
      case peakRssMb = "peak_rss_mb"
    }
  }

  /// - Throws: `ModelError` for an impossible configuration, `BenchError` for a model that makes no text.
  package static func run(
    _ config: ModelConfig, preset: String, promptTokens: Int, newTokens: Int, repetitions: Int, engine: Engine
  ) throws -> Result {
    guard config.kind == .gpt else {
      throw BenchError("preset \(preset): model.kind is \(config.kind.rawValue), expected gpt; choose a language model")
    }
    guard promptTokens + newTokens <= config.text.context else {
      throw BenchError(
        "\(promptTokens) + \(newTokens) tokens, expected at most model.context \(config.text.context); lower --tokens")
    }
    let model = try GPT(config, seed: 1, engine: engine)
    var generator = TextGenerator(
      model, ByteTokenizer(), engine: engine, sampling: SamplingOptions(temperature: 0))
    let prompt = (0..<promptTokens).map { Int32($0 % config.text.vocabulary) }
    // The first repetition warms up.
    let outcomes = try (0...repetitions).map { _ in try generator.run(prompt, tokens: newTokens) { _ in } }.dropFirst()
    return Result(
      preset: preset, variant: config.moe.variant, experts: config.moe.experts,
      backend: engine.backendDescription, threads: engine.threads, promptTokens: promptTokens, newTokens: newTokens,
      tokensPerSecond: outcomes.map(\.tokensPerSecond).max() ?? 0,
      promptMs: (outcomes.map(\.promptSeconds).min() ?? 0) * 1e3, peakRssMb: peakResidentMegabytes())
  }
}
