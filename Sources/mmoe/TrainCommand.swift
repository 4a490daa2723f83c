import ArgumentParser
import MMoEConfig
import MMoEModels
import MMoEReport
import MMoERuns
import MMoETrain

struct TrainCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a model, or go on with a run.",
    discussion: """
      Without --data a new run uses the task's embedded data set, a resumed one its own. Exit status: 0, 1 failure, 64 usage, 130 interrupted and \
      saved.
      """)

  @Option(
    help:
      "What to train: imagenet-subset, lm or multimodal; by default what the run, the preset or the initial weights are of."
  )
  var task: String?
  @Option(help: "A preset's name (`mmoe presets`) or a YAML file.") var preset: String?
  @Option(
    help:
      "A folder with train/<class>/*.png and val/<class>/*.png; for lm text, JSONL, or shards; for multimodal a folder with captions.jsonl; - for the embedded data."
  )
  var data: String?
  @Option(help: "The run's folder.") var out: OutputPath?
  @Option(
    help:
      "Start from a checkpoint, a run's folder, or one with config.json and model.safetensors (GPT-2, Llama, CLIP, …); vision=PATH and language=PATH for a model of both."
  )
  var initFrom: [String] = []
  @Option(help: "With --init-from: 'TARGET = SOURCE' (patterns of parameter paths), or a file of them; repeatable.")
  var map: [String] = []
  @Option(help: "Keep these parameters: a pattern, or \(FineTuneConfig.words); repeatable.")
  var freeze: [String] = []
  @Option(help: "Train only these parameters, named as above (head = linear probe); repeatable.")
  var trainOnly: [String] = []
  @Option(help: "The MoE variant: \(MoEVariant.listing).") var moe: String?
  @Option(help: "Optimiser steps.") var steps: Int?
  @Option(help: "Passes over the data.") var epochs: Int?
  @Option(help: "Seed of everything random.") var seed: Int?
  @Option(help: "Computing threads; all cores by default.") var threads: Int?
  @Option(help: "Start so many ranks under mpirun on this host.") var ranks: Int?
  @Option(help: "Ranks that share out the experts; by default as many as divide both.") var expertParallel: Int?
  @Option(help: "sequential, pipelined:N, shortcut, shortcut+pipelined:N or auto.") var overlap: String?
  @Option(help: "Write a timeline of some steps, of all ranks, for Perfetto or chrome://tracing.") var trace:
    OutputPath?
  @Option(help: "At an unreadable image: error or skip.") var onBadImage: String?
  @Option(
    defaultAsFlag: "",
    help:
      "Go on with a run's folder or checkpoint; without a value with --out, which begins where it has no checkpoint yet, else with the latest run."
  )
  var resume: String?
  @Option(name: .customLong("set"), help: "key=value of the configuration (`mmoe config`); repeatable.")
  var settings: [String] = []
  @Flag(help: "Print parameters, memory, FLOPs and what --data holds; train nothing.") var dryRun = false
  @Flag(help: "End with one line of JSON on standard output.") var json = false

  func run() throws {
    if steps != nil && epochs != nil {
      throw ValidationError("give either --steps or --epochs")
    }
    // An unset variable of a shell must not be taken for the option without a value.
    let words = CommandLine.arguments
    if words.contains("--resume=") || zip(words, words.dropFirst()).contains(where: { $0 == "--resume" && $1.isEmpty })
    {
      throw ValidationError("--resume is given an empty name; name a run, or give no value for the latest one")
    }
    // With --out the run begins from those weights where it has no checkpoint yet.
    if let resume, !initFrom.isEmpty, !resume.isEmpty || out == nil {
      throw ValidationError("give either --resume or --init-from: a resumed run has its weights")
    }
    if task == nil, preset == nil, resume == nil, initFrom.isEmpty {
      throw ValidationError("nothing says what to train; give --task imagenet-subset, lm or multimodal")
    }
    if initFrom.isEmpty && !map.isEmpty {
      throw ValidationError("--map says what to take from a source; give --init-from too")
    }
    if !dryRun { OutputLoss.outlive() }
    let (outFolder, traceFile) = (try out?.folder("--out"), try trace?.file("--trace"))
    if let ranks {
      guard (1...4096).contains(ranks) else {
        throw ValidationError("--ranks is \(ranks), expected 1 to 4096")
      }
      if let status = try TrainSession.launch(ranks: ranks) { throw ExitCode(status) }
    }
    var options = TrainSession.Options()
    options.trace = traceFile
    options.task = task
    options.preset = preset
    options.data = data
    options.out = outFolder
    options.initFrom = initFrom
    options.map = map
    options.resume = resume
    options.isDryRun = dryRun
    options.printsJSON = json
    let flags: [(String, String?)] = [
      ("moe.variant", moe), ("train.steps", steps.map(String.init)),
      ("train.steps", epochs.map { _ in "none" }), ("train.epochs", epochs.map(String.init)),
      ("seed", seed.map(String.init)), ("tensor.threads", threads.map(String.init)),
      ("data.on_bad_image", onBadImage),
      ("finetune.freeze", freeze.isEmpty ? nil : freeze.joined(separator: ",")),
      ("finetune.train_only", trainOnly.isEmpty ? nil : trainOnly.joined(separator: ",")),
      ("parallel.expert", expertParallel.map(String.init)), ("parallel.overlap", overlap),
    ]
    options.settings = flags.compactMap { key, value in value.map { "\(key)=\($0)" } } + settings
    let status = try TrainSession(options).run()
    if status != 0 { throw ExitCode(status) }
  }
}
