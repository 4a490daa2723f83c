import ArgumentParser
import Foundation
import MMoEBench
import MMoEConfig
import MMoEData
import MMoEReport
import MMoETensor
import MMoETrain

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Time training steps and their parts on this machine.",
    subcommands: [
      Train.self, Forward.self, Generate.self, Gemm.self, Kernels.self, DataLoading.self, Checkpoint.self,
      Exchange.self, Overlap.self,
    ])

  /// A preset with settings over it.
  private static func configuration(_ preset: String, _ settings: [String], for use: ConfigUse) throws -> RunConfig {
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    return try config.applying(settings, for: use)
  }

  struct StepOptions: ParsableArguments {
    @Option(help: HelpText.preset, completion: HelpText.presets) var preset = "vit-tiny"
    @OptionGroup var variant: VariantOption
    @OptionGroup var compute: ThreadsOption
    @Option(help: "Measured steps, after three of warm-up.") var steps = 20
    @Option(help: "Images or windows of text of a step; the preset's by default.") var batch: Int?
    @OptionGroup var overrides: SettingsOption
    @Flag(help: "Also print time, FLOPs and bytes of every operation.") var profile = false
    @OptionGroup var format: JSONOption

    func validate() throws {
      if steps < 1 { throw ValidationError("--steps is \(steps); at least 1 is needed") }
    }

    func run(_ mode: StepBenchmark.Mode) throws {
      let config = try BenchCommand.configuration(
        preset,
        variant.settings + compute.settings + (batch.map { ["data.batch=\($0)"] } ?? []) + overrides.settings,
        for: mode == .train ? .trainingSteps : .forwardPasses)
      let engine = try config.tensor.makeEngine()
      let result = try StepBenchmark(
        config: config.model, optimizer: config.optimizer, preset: preset, mode: mode,
        batch: config.data.batch, steps: steps
      ).run(engine: engine, profiled: profile)
      let output = StandardStream.output
      output.write(result.text)
      if format.json { output.line(JSONValue.line(result)) }
    }
  }

  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Whole training steps.")
    @OptionGroup var options: StepOptions
    func run() throws { try options.run(.train) }
  }

  struct Forward: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Forward passes.")
    @OptionGroup var options: StepOptions
    func run() throws { try options.run(.forward) }
  }

  struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "One sequence of a language model with cached keys and values.")
    @Option(help: HelpText.preset, completion: HelpText.presets) var preset = "gpt-small"
    @OptionGroup var compute: ThreadsOption
    @Option(help: "Tokens of the prompt.") var prompt = 32
    @Option(help: "Tokens to make.") var tokens = 128
    @Option(help: "Repetitions, of which the best counts.") var repetitions = 3
    @OptionGroup var overrides: SettingsOption
    @OptionGroup var format: JSONOption

    func validate() throws {
      for (name, value) in [("prompt", prompt), ("tokens", tokens), ("repetitions", repetitions)] where value < 1 {
        throw ValidationError("--\(name) is \(value); at least 1 is needed")
      }
    }

    func run() throws {
      let config = try BenchCommand.configuration(
        preset, compute.settings + overrides.settings, for: .generation)
      let result = try GenerationBenchmark.run(
        config.model, preset: preset, promptTokens: prompt, newTokens: tokens, repetitions: repetitions,
        engine: config.tensor.makeEngine())
      StandardStream.output.line(
        "\(preset) \(result.variant), \(result.experts) experts: \(HumanFormat.fixed(result.tokensPerSecond, 1)) tokens/s after a prompt of \(prompt) in \(HumanFormat.fixed(result.promptMs, 1)) ms; \(result.threads) threads"
      )
      if format.json { StandardStream.output.line(JSONValue.line(result)) }
    }
  }

  struct Gemm: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Matrix products of a preset's shapes with each BLAS.")
    @OptionGroup var compute: ThreadsOption
    @Option(help: "Rows, such as tokens of a batch.") var rows = 4096
    @Option(help: HelpText.width) var width = 192
    @OptionGroup var format: JSONOption

    func run() throws {
      let rows = try ProductBenchmark.table(
        threads: compute.threads ?? ProcessInfo.processInfo.activeProcessorCount, rows: rows, width: width,
        hidden: 4 * width)
      var table = TextTable(columns: [
        .left("backend"), .left("A"), .left("B"), .right("m"), .right("n"), .right("k"),
        .right("GFLOP/s"),
      ])
      for row in rows {
        table.add([
          row.backend, row.transposeA ? "Aᵀ" : "A", row.transposeB ? "Bᵀ" : "B", "\(row.m)",
          "\(row.n)", "\(row.k)", HumanFormat.fixed(row.gflops, 1),
        ])
      }
      StandardStream.output.write(table.render(for: StandardStream.output))
      if format.json { StandardStream.output.line(JSONValue.line(rows)) }
    }
  }

  struct Kernels: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Element-wise kernels on one core.")
    @OptionGroup var format: JSONOption

    func run() throws {
      let rows = KernelBenchmark.table()
      var table = TextTable(columns: [
        .left("kernel"), .right("rows"), .right("columns"), .right("G elements/s"), .right("GB/s"),
      ])
      for row in rows {
        table.add([
          row.kernel, "\(row.rows)", "\(row.columns)",
          HumanFormat.fixed(row.gelementsPerSecond, 2), HumanFormat.fixed(row.gigabytesPerSecond, 1),
        ])
      }
      StandardStream.output.write(table.render(for: StandardStream.output))
      if format.json { StandardStream.output.line(JSONValue.line(rows)) }
    }
  }

  struct Checkpoint: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Saving and loading a preset's whole training state, beside dd on the same disk.")
    @Option(help: HelpText.preset, completion: HelpText.presets) var preset = "gpt2-moe-small"
    @Option(help: "Where the files are written, some GB; removed at the end.") var folder = OutputPath(".")
    @Option(help: "How often each is done; dd reads first in one half of them.") var rounds = 4
    @OptionGroup var overrides: SettingsOption
    @OptionGroup var format: JSONOption

    func validate() throws {
      if rounds < 2 { throw ValidationError("--rounds is \(rounds); at least 2 are needed") }
    }

    func run() throws {
      let folder = try folder.folder("--folder")
      let config = try BenchCommand.configuration(preset, overrides.settings, for: .saving)
      let result = try CheckpointBenchmark.run(
        config, preset: preset, folder: folder, rounds: rounds, engine: config.tensor.makeEngine())
      StandardStream.output.write(result.text)
      if format.json { StandardStream.output.line(JSONValue.line(result)) }
    }
  }

  struct DataLoading: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "data", abstract: "PNG files to augmented batches, or token shards to windows.")
    @Option(help: "An image folder or one of token shards; rendered shapes of the given size by default.")
    var data: String?
    @Option(help: "Side of the images in pixels.") var size = 64
    @OptionGroup var compute: ThreadsOption
    @OptionGroup var format: JSONOption

    func run() throws {
      if let data, TokenCorpus.isShardFolder(data) {
        let result = try DataBenchmark.runTokens(path: data, threads: compute.threads ?? 1)
        StandardStream.output.line(
          "\(HumanFormat.grouped(result.tokens)) tokens, batches of \(result.batch) windows of \(result.length), "
            + "\(result.threads) threads: \(HumanFormat.grouped(Int(result.tokensPerSecond))) tokens/s")
        if format.json { StandardStream.output.line(JSONValue.line(result)) }
        return
      }
      let made = data == nil ? NSTemporaryDirectory() + "mmoe-bench-\(getpid())" : nil
      defer { if let made { try? FileManager.default.removeItem(atPath: made) } }
      if let made {
        try ShapeSynthesizer(classes: 10, imageSize: size).write(
          to: made, trainPerClass: 600, valPerClass: 1)
      }
      let result = try DataBenchmark.run(
        path: data ?? made!, imageSize: size,
        threads: compute.threads ?? ProcessInfo.processInfo.activeProcessorCount)
      StandardStream.output.line(
        "\(result.images) images of \(size) x \(size), \(result.threads) threads: "
          + "\(HumanFormat.grouped(Int(result.decodingImagesPerSecond))) images/s decoded and augmented, "
          + "\(HumanFormat.grouped(Int(result.cachedImagesPerSecond))) images/s from the cache")
      if format.json { StandardStream.output.line(JSONValue.line(result)) }
    }
  }
}
